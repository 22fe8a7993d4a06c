"""The pages keep their word: configurations load, code is cut from what the tests run, links lead somewhere."""

from __future__ import annotations

import re
import shutil
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.config import load_configuration

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        ROOT / "core" / "README.md",
        *ROOT.glob("plugins/*/README.md"),
        *ROOT.glob("contrib/*/README.md"),
    ]
)
CONFIGURATIONS = sorted((ROOT / "configs").rglob("*.yaml"))
TESTS = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

_BLOCK = re.compile(
    r"(?P<notes>(?:^<!-- [^\n]* -->\n)*)^(?P<indent> *)```(?P<language>\w*)(?: title=\"(?P<title>[^\n]*)\")?\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    title: str | None
    notes: dict[str, str] = field(hash=False)

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page):
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        notes = dict(re.findall(r"<!-- (\w+): (.*) -->", found["notes"]))
        line = text.count("\n", 0, found.start("text"))
        yield Block(page, line, found["language"], textwrap.dedent(found["text"]), found["title"], notes)


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
YAML = [block for block in BLOCKS if block.language == "yaml" and re.search("^gateway:", block.text, re.MULTILINE)]
PYTHON = [block for block in BLOCKS if block.language == "python"]


def test_there_is_something_to_test():
    assert len(PAGES) > 20
    assert len(YAML) > 15
    assert len(PYTHON) > 20
    assert CONFIGURATIONS


@pytest.mark.parametrize("block", YAML, ids=str)
def test_configuration_on_a_page_loads(block, tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text(block.text + services_left_out(block))
    plugin_files = []
    if "with" in block.notes:
        plugin = plugin_file(block, tmp_path)
        if plugin.name not in block.text:
            plugin_files.append(plugin)
    environ = dict.fromkeys(re.findall(r"(?<!\$)\$\{(\w+)\}", block.text), "value")
    configuration = load_configuration(file, plugin_files=plugin_files, environ=environ)
    assert configuration.warnings == ()


def services_left_out(block):
    """Return what the README of a plugin, which shows only what it is about, needs to be whole."""
    names = re.findall(r"serviceName: ([\w-]+)", block.text)
    if block.page.name != "README.md" or re.search("registry:|demo:", block.text) or not names:
        return ""
    instances = "instances: [{address: 127.0.0.1, port: 9001}]"
    listed = ", ".join(f"{{name: {name}, {instances}}}" for name in dict.fromkeys(names))
    return f"  registry: {{static: {{services: [{listed}]}}}}\n"


def plugin_file(block, folder):
    """Return the plugin that a configuration is for, in ``folder``: a file, or one that the page itself shows."""
    named = block.notes["with"]
    target = folder / Path(named).name
    if (ROOT / named).is_file():
        shutil.copy(ROOT / named, target)
        return target
    shown = [each for each in blocks_of(block.page) if each.title and each.title.endswith(f"gateway_{named}.py")]
    target = folder / f"gateway_{named}.py"
    target.write_text(shown[0].text)
    return target


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_configuration_file_loads(path):
    configuration = load_configuration(path, environ={})
    assert configuration.warnings == ()
    assert configuration.rules


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_on_a_page_is_run_by_a_test(block):
    if "from" not in block.notes:
        assert block.title, "say where this is cut from: <!-- from: tests/... -->"
        assert f'"{block.page.name}"' in TESTS, "no test runs the files of this page"
        return
    file = ROOT / block.notes["from"]
    assert file.name in TESTS, "no test runs the file this is cut from"
    lines, wanted = code_lines(file.read_text()), code_lines(block.text)
    windows = ("\n".join(lines[start : start + len(wanted)]) for start in range(len(lines)))
    assert "\n".join(wanted) in map(textwrap.dedent, windows), f"this is not in {block.notes['from']}"


def code_lines(text):
    """Return the lines without empty ones, of which a page may have more or fewer."""
    return [line for line in text.splitlines() if line.strip()]


def anchors_of(page):
    """Return the anchors of the headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in anchors_of(linked)):
            broken.append(target)
    assert broken == []


def test_readme_names_only_distributions_that_there_are():
    features = (ROOT / "README.md").read_text().partition("## What there is")[2].partition("\n\n★ comes with")[0]
    named = set(re.findall(r"`(gateway-[\w-]+)`", features))
    manifests = [*ROOT.glob("plugins/*/pyproject.toml"), *ROOT.glob("contrib/*/pyproject.toml")]
    assert named == {"gateway-core", *(f"gateway-{manifest.parent.name}" for manifest in manifests)}


def test_every_page_is_in_the_table_of_contents():
    contents = (DOCS / "README.md").read_text()
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page != DOCS / "README.md"]
    fragments = [page for page in pages if re.match(r"changelog/(\d|\+)", page)]
    assert [page for page in pages if page not in fragments and f"({page})" not in contents] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_is_finished(page):
    assert re.findall(r"\b(?:TODO|FIXME|TBD|XXX)\b", page.read_text()) == []


def test_changelog_fragments_are_named_and_written_as_they_should_be():
    fragments = [path for path in (DOCS / "changelog").iterdir() if path.name != "README.md"]
    kinds = "added|changed|deprecated|removed|fixed|security"
    assert fragments
    for path in fragments:
        assert re.fullmatch(rf"(\d+|\+[a-z0-9-]+)\.({kinds})(\.[a-z0-9-]+)?\.md", path.name), path.name
        assert re.match(r"`gateway[a-z0-9-]*`(, `gateway[a-z0-9-]*`)*: [a-z].*\.\n", path.read_text()), path.name
