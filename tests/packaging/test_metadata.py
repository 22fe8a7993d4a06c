"""The distributions of this repository fit together: their versions, their metadata, what they import of each other."""

import ast
import functools
import re
import tomllib
from pathlib import Path

import pytest

import gateway

ROOT = Path(__file__).parents[2]
OURS = sorted(manifest.parent for manifest in ROOT.glob("plugins/*/pyproject.toml"))
CONTRIBUTED = sorted(manifest.parent for manifest in ROOT.glob("contrib/*/pyproject.toml"))
PLUGINS = [*OURS, *CONTRIBUTED]
PUBLIC_MODULES = {
    "gateway",
    "gateway.blocking",
    "gateway.credentials",
    "gateway.embedding",
    "gateway.forwarding",
    "gateway.handover",
    "gateway.hash_ring",
    "gateway.interfaces",
    "gateway.metrics",
    "gateway.concurrency",
    "gateway.dialing",
    "gateway.semantics",
    "gateway.testing",
    "gateway.tls",
    "gateway.trust",
}

every_plugin = pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
every_distribution = pytest.mark.parametrize(
    "distribution", [ROOT, ROOT / "core", *PLUGINS], ids=lambda distribution: distribution.name
)


def manifest_of(distribution):
    return tomllib.loads((distribution / "pyproject.toml").read_text())


def project_of(distribution):
    return manifest_of(distribution)["project"]


def parse_requirement(requirement):
    """Split ``name[extras]>=1,<2; marker`` into the name and its version specifiers."""
    match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?([^;]*)", requirement)
    assert match, requirement
    return match[1], {specifier.strip() for specifier in match[2].split(",") if specifier.strip()}


def requirements_of(distribution):
    return dict(parse_requirement(requirement) for requirement in project_of(distribution)["dependencies"])


def extras_of(distribution):
    return project_of(distribution).get("optional-dependencies", {})


def package_of(plugin):
    return f"gateway_{plugin.name.replace('-', '_')}"


@functools.cache
def imports_of(folder):
    """Return ``(where, module, name)`` for every import below a folder; the name is None for ``import module``."""
    found: list[tuple[str, str | None, str | None]] = []
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(), file)):
            if isinstance(node, ast.Import):
                found += [(where(file, node), alias.name, None) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found += [(where(file, node), node.module, alias.name) for alias in node.names]
    return found


def where(file, node):
    return f"{file.relative_to(ROOT)}:{node.lineno}"


def is_public(module, name):
    """Say whether a plugin may import this name (None: the module itself) from this module of the core."""
    if module not in PUBLIC_MODULES:
        return False
    return module != "gateway" or name is None or name in gateway.__all__ or f"gateway.{name}" in PUBLIC_MODULES


def test_there_are_plugins():
    assert PLUGINS


def test_all_distributions_have_one_version():
    versions = {str(folder): project_of(folder)["version"] for folder in [ROOT, ROOT / "core", *PLUGINS]}

    assert len(set(versions.values())) == 1, versions


def test_the_core_tells_the_version_it_is_published_as():
    assert gateway.__version__ == project_of(ROOT / "core")["version"]


@every_distribution
def test_every_distribution_has_a_readme_and_says_what_it_needs(distribution):
    project = project_of(distribution)

    assert (distribution / project["readme"]).read_text().strip()
    assert project["description"]
    assert project["license"] == "MIT"
    assert project["requires-python"] == project_of(ROOT)["requires-python"]


@every_distribution
def test_our_distributions_ask_for_each_other_by_range(distribution):
    requirements = requirements_of(distribution)
    extras = [parse_requirement(each) for extra in extras_of(distribution).values() for each in extra]
    ours = {name: specifiers for name, specifiers in [*requirements.items(), *extras] if name.startswith("gateway-")}

    assert all(re.fullmatch(r"<\d+ >=\d+\.\d+", " ".join(sorted(specifiers))) for specifiers in ours.values()), ours


@every_distribution
def test_only_the_root_has_tool_settings(distribution):
    tools = set(manifest_of(distribution)["tool"])

    assert distribution == ROOT or tools == {"hatch"}


@every_plugin
def test_every_plugin_has_its_files(plugin):
    package = plugin / "src" / package_of(plugin)

    assert (package / "py.typed").is_file()
    assert (package / "__init__.py").is_file()
    assert (package / "plugin.py").is_file()
    assert [each.name for each in (plugin / "src").iterdir() if each.name != "__pycache__"] == [package.name]


@every_plugin
def test_every_plugin_is_named_for_its_folder_and_has_one_entry_point(plugin):
    project = project_of(plugin)

    assert project["name"] == f"gateway-{plugin.name}"
    assert project["entry-points"] == {"gateway": {plugin.name: f"{package_of(plugin)}.plugin"}}


@every_plugin
def test_every_plugin_depends_on_the_core(plugin):
    assert "gateway-core" in requirements_of(plugin)


@every_plugin
def test_every_plugin_is_known_to_the_root(plugin):
    manifest = manifest_of(ROOT)
    extras, tools, package = extras_of(ROOT), manifest["tool"], package_of(plugin)

    assert [parse_requirement(each)[0] for each in extras[plugin.name]] == [f"gateway-{plugin.name}"]
    assert (plugin.name in re.findall(r"[\w-]+", extras["all"][0])) == (plugin in OURS)
    assert f"{plugin.relative_to(ROOT)}/src" in tools["mypy"]["mypy_path"]
    assert package in tools["mypy"]["packages"]
    assert package in tools["coverage"]["run"]["source_pkgs"]


def test_the_meta_distribution_names_only_plugins_that_exist():
    names = {plugin.name for plugin in PLUGINS}

    assert set(extras_of(ROOT)) == {*names, "all"}
    assert set(requirements_of(ROOT)) <= {"gateway-core", *(f"gateway-{name}" for name in names)}


def test_the_core_imports_no_plugin():
    offences = [
        f"{place}: {module}" for place, module, _ in imports_of(ROOT / "core/src") if module.startswith("gateway_")
    ]

    assert not offences, offences


@every_plugin
def test_plugins_import_only_what_the_core_publishes(plugin):
    offences = [
        f"{place}: {module}: {name}"
        for place, module, name in imports_of(plugin / "src")
        if module.split(".")[0] == "gateway" and not is_public(module, name)
    ]

    assert not offences, offences


@every_plugin
def test_plugins_import_other_plugins_only_if_they_depend_on_them(plugin):
    allowed = {name.replace("-", "_") for name in (f"gateway-{plugin.name}", *requirements_of(plugin))}
    offences = [
        f"{place}: {module}"
        for place, module, _ in imports_of(plugin / "src")
        if module.startswith("gateway_") and module.split(".")[0] not in allowed
    ]

    assert not offences, offences


def test_constraints_hold_names_and_exact_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin)] == []


def test_every_requirement_is_pinned():
    pins = {normalised(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    development = [line.split("#")[0].strip() for line in (ROOT / "requirements-dev.txt").read_text().splitlines()]
    required = {normalised(name) for name in development if name}
    for distribution in [ROOT, ROOT / "core", *PLUGINS]:
        build = [parse_requirement(each)[0] for each in manifest_of(distribution)["build-system"]["requires"]]
        names = [*requirements_of(distribution), *build]
        required.update(normalised(name) for name in names if not name.startswith("gateway-"))

    assert required - pins == set()


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()
