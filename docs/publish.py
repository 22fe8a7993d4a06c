"""Makes a site of this folder: what MkDocs is told by ``mkdocs.yml`` and cannot know.

The pages are written to be read where the code is: they link to READMEs of plugins and to example configurations, which
lie elsewhere. Here those become pages of the site as well, links are set to them, and the navigation is the table of
contents in ``README.md``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

EXAMPLES = "examples/index.md"

_LINK = re.compile(r"\[(?P<text>(?:[^\]`]|`[^`]*`)*)\]\((?P<target>[^)\s]+)\)")
_LINK_OR_CODE = re.compile(rf"^ *```.*?^ *```$|{_LINK.pattern}|`[^`]*`", re.MULTILINE | re.DOTALL)


# MkDocs calls these by their names.


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the navigation."""
    config.nav = navigation()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in this folder."""
    from mkdocs.structure.files import File  # noqa: PLC0415 - the tests of this module need no MkDocs

    for source, address in pages().items():
        if source != f"docs/{address}":
            files.append(File.generated(config, address, content=content(source)))
    files.append(File.generated(config, EXAMPLES, content=_contents_of_examples()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:  # noqa: ANN401 - MkDocs has more to say than is needed
    """Set the links of a page."""
    source = next((source for source, address in pages().items() if address == page.file.src_uri), None)
    return markdown if source is None else with_links(markdown, source)


# The pages.


def pages() -> dict[str, str]:
    """Return the page of each file that has one, both as paths: the first in the repository, the second on the site."""
    found = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
    found["tests/benchmarks/README.md"] = "benchmarks.md"
    for page in _files("docs/**/*.md"):
        if not re.match(r"docs/changelog/[\d+]", page):
            found[page] = page.removeprefix("docs/")
    found["docs/README.md"] = "contents.md"
    found["contrib/README.md"] = "plugins/contributed.md"
    for readme in (*_files("plugins/*/README.md"), *_files("contrib/*/README.md")):
        found[readme] = f"plugins/{Path(readme).parent.name}.md"
    found["core/README.md"] = "plugins/core.md"
    for example in _files("configs/*/*.yaml"):
        found[example] = f"examples/{Path(example).stem}.md"
    return found


def content(source: str) -> str:
    """Return the page of a file, with links as in the repository."""
    text = (ROOT / source).read_text(encoding="utf-8")
    if source.endswith(".md"):
        return text
    return f'# {Path(source).stem}\n\n```yaml title="{source}"\n{text}```\n'


def _files(pattern: str) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob(pattern))]


def _contents_of_examples() -> str:
    examples = [address for address in pages().values() if address.startswith("examples/")]
    lines = [f"- [{Path(address).stem}]({posixpath.basename(address)})" for address in examples]
    return "\n".join(["# Example configurations", "", *lines, ""])


# The links.


def with_links(markdown: str, source: str) -> str:
    """Return the text of a file with its links as they have to be on the site.

    Args:
        markdown: The text.
        source: The file, by its path in the repository.
    """
    return _LINK_OR_CODE.sub(lambda found: _set(found, source), markdown)


def _set(found: re.Match[str], source: str) -> str:
    text, target = found["text"], found["target"]
    path, hash_, anchor = (target or "").partition("#")
    if not path or "://" in path:
        return found[0]
    address = _address_of(posixpath.normpath(posixpath.join(posixpath.dirname(source), path)))
    if address is None:
        return text  # what has no page is named only
    here = posixpath.dirname(pages()[source])
    return f"[{text}]({posixpath.relpath(address, here or '.')}{hash_}{anchor})"


def _address_of(path: str) -> str | None:
    """Return the page of a file or folder."""
    return EXAMPLES if path == "configs/examples" else pages().get(path)


# The navigation.


def navigation() -> list[Any]:
    """Return the navigation, as ``nav`` in ``mkdocs.yml`` has it."""
    plugins = sorted(address for address in pages().values() if address.startswith("plugins/"))
    examples = [EXAMPLES, *(address for address in pages().values() if address.startswith("examples/"))]
    contents = _contents((ROOT / "docs" / "README.md").read_text(encoding="utf-8"))
    more = ["contents.md", "changelog.md", "changelog/README.md", "contributing.md", "benchmarks.md"]
    return [{"Gateway": ["index.md", *more]}, *contents, {"Plugins": plugins}, {"Examples": examples}]


def _contents(text: str) -> Iterator[dict[str, Any]]:
    """Yield the chapters of the table of contents with what they link to, parts of a chapter within it."""
    for title, chapter in _chapters(text, "## "):
        first, _, rest = chapter.partition("\n### ")
        entries: list[Any] = _links(first)
        entries += [{part: _links(below)} for part, below in _chapters(f"\n### {rest}", "### ") if part]
        yield {title: entries}


def _chapters(text: str, mark: str) -> list[tuple[str, str]]:
    found = re.split(rf"^{mark}(.*)$", text, flags=re.MULTILINE)
    return list(zip(found[1::2], found[2::2], strict=True))


def _links(text: str) -> list[str]:
    found = [link["target"] for link in _LINK.finditer(text)]
    return [target for target in found if not target.startswith("../") and not target.startswith("changelog/")]
