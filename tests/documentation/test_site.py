"""The site has every page, and links lead to the page that a file became; `make docs` builds it and checks the rest."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GUIDES = (  # what people who read about gateways look for
    "Getting Started",
    "Configuration",
    "Authentication",
    "Rate Limiting",
    "TLS Setup",
    "gRPC Support",
    "Metrics & Monitoring",
    "Resilience Patterns",
)


@pytest.fixture(scope="module")
def publish():
    """The module that MkDocs is given; it is no part of a package."""
    spec = importlib.util.spec_from_file_location("publish", ROOT / "docs" / "publish.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def leaves(navigation):
    for entry in navigation:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from leaves(below)


def test_every_page_is_in_the_navigation_once(publish):
    assert sorted(leaves(publish.navigation())) == sorted([*publish.pages().values(), "examples/index.md"])


def test_every_page_has_a_file_and_an_address_of_its_own(publish):
    pages = publish.pages()
    assert all((ROOT / source).is_file() for source in pages)
    assert len(set(pages.values())) == len(pages)
    readmes = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("plugins/*/README.md")}
    assert readmes <= set(pages)
    assert {path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/*/*.yaml")} <= set(pages)


@pytest.mark.parametrize(
    ("link", "source", "expected"),
    [
        ("[a](../how-to/tls.md#mutual)", "docs/reference/cli.md", "[a](../how-to/tls.md#mutual)"),
        ("[a](../../plugins/http/README.md#tls)", "docs/how-to/tls.md", "[a](../plugins/http.md#tls)"),
        ("[a](../../docs/how-to/tls.md)", "plugins/http/README.md", "[a](../how-to/tls.md)"),
        ("[a](configs/examples)", "README.md", "[a](examples/index.md)"),
        ("[a](docs/README.md)", "README.md", "[a](contents.md)"),
        ("[`a`](../../configs/examples/tls.yaml)", "docs/how-to/tls.md", "[`a`](../examples/tls.md)"),
        ("[MIT](LICENSE)", "README.md", "MIT"),
        ("[a](https://example.org/x.md)", "README.md", "[a](https://example.org/x.md)"),
        ("[a](#here)", "README.md", "[a](#here)"),
        ("`[a](docs/README.md)`", "README.md", "`[a](docs/README.md)`"),
        ("```\n[a](docs/README.md)\n```", "README.md", "```\n[a](docs/README.md)\n```"),
    ],
)
def test_links_are_set_to_pages_of_the_site(publish, link, source, expected):
    assert publish.with_links(link, source) == expected


def test_an_example_is_shown_with_its_path(publish):
    shown = publish.content("configs/examples/sse.yaml")
    assert shown.startswith('# sse\n\n```yaml title="configs/examples/sse.yaml"\n#')
    assert shown.endswith("\n```\n")


@pytest.mark.parametrize("guide", GUIDES)
def test_guides_are_chapters_of_the_contents(guide):
    chapters = re.split(r"^##+ (.*)$", (ROOT / "docs" / "README.md").read_text(), flags=re.MULTILINE)
    below = dict(zip(chapters[1::2], chapters[2::2], strict=True))
    assert "](how-to/" in below[guide]


def test_nothing_on_the_site_comes_from_elsewhere():
    # Its anchors are made by a function of an extension, which only MkDocs' own loader makes.
    text = re.sub(r"!!python\S+", "", (ROOT / "mkdocs.yml").read_text())
    configuration = yaml.safe_load(text)
    assert configuration["theme"]["font"] is False
    assert configuration["strict"] is True
    assert not {"extra_css", "extra_javascript"} & set(configuration)
    drawn = [page for page in ROOT.glob("docs/**/*.md") if re.search(r"^ *```mermaid", page.read_text(), re.MULTILINE)]
    assert drawn == []  # a browser would fetch what draws them


@pytest.mark.parametrize("tool", ["mkdocs", "mkdocs-material"])
def test_what_builds_the_site_is_pinned(tool):
    assert re.search(rf"^{tool}$", (ROOT / "requirements-docs.txt").read_text(), re.MULTILINE)
    assert re.search(rf"^{tool}==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
