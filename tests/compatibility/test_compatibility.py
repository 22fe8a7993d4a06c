"""What is public stays as it is, or the change is told."""

import difflib
import importlib.util
import re
import warnings
from pathlib import Path
from typing import Any

import pluggy
import pytest

import gateway
from gateway import hookspecs, interfaces
from gateway.deprecation import (
    DEPRECATIONS,
    Deprecation,
    GatewayDeprecationWarning,
    deprecated,
    deprecated_hook,
    overdue,
)

ROOT = Path(__file__).parents[2]
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("gateway_")}
PAGES = {name: (ROOT / "docs" / "reference" / name).read_text() for name in ("hooks.md", "compatibility.md")}
OLD = Deprecation(name="gateway_old", since="0.1", removed_in="0.3", instead="gateway_new")


@pytest.fixture
def surface():
    """The module beside this file, which is a program, too."""
    spec = importlib.util.spec_from_file_location("surface", Path(__file__).with_name("surface.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_public_surface_is_as_it_was_told(surface):
    was = surface.SNAPSHOT.read_text().partition("\n\n")[2].splitlines()
    difference = "\n".join(difflib.unified_diff(was, surface.surface().splitlines(), "was", "is", lineterm=""))

    assert not difference, (
        f"The public surface changed:\n{difference}\n"
        "Is it meant so? Then add a fragment to docs/changelog (what is removed or changed was deprecated before, see "
        "docs/reference/compatibility.md), and write the surface down:\n"
        "    python tests/compatibility/surface.py --write <fragment>.md"
    )


def test_the_last_change_was_told_to_users(surface):
    (told,) = re.findall(rf"^{surface.FRAGMENT}(.+)$", surface.SNAPSHOT.read_text(), re.MULTILINE)
    gathered = (ROOT / "CHANGELOG.md").read_text()  # at a release fragments move there

    assert (surface.CHANGELOG / told).is_file() or told in gathered


def test_it_is_not_written_down_without_a_fragment(surface, capsys):
    before = surface.SNAPSHOT.read_text()

    assert surface.main(["--write", "999.changed.nothing.md"]) == 2
    assert "write it first" in capsys.readouterr().err
    assert surface.SNAPSHOT.read_text() == before


def test_a_change_is_seen(surface, monkeypatch):
    before = surface.surface()

    monkeypatch.setattr(gateway.Response, "text", staticmethod(lambda text: None))
    assert surface.surface() != before


# Since when.


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_says_since_when(name):
    assert re.fullmatch(r"\d+\.\d+", HOOKS[name].__since__)
    section = PAGES["hooks.md"].partition(f"### `{name}(")[2].partition("\n### ")[0]
    assert HOOKS[name].__since__ == "0.1" or f"Since {HOOKS[name].__since__}." in section


def test_every_interface_and_registration_says_since_when():
    public = {
        **{name: getattr(interfaces, name) for name in interfaces.__all__},
        **{name: getattr(gateway, name) for name in gateway.__all__ if name.endswith("Registration")},
    }
    classes = {name for name, thing in public.items() if isinstance(thing, type) and _own(thing, name)}
    assert {name for name in classes if "__since__" not in vars(public[name])} == set()


def _own(thing, name):
    return thing.__module__.startswith(("gateway.interfaces.", "gateway.registrations")) and thing.__name__ == name


# Deprecations.


def test_nothing_that_is_deprecated_has_outlived_its_time():
    assert overdue(gateway.__version__) == [], "remove it, or move its version in gateway.deprecation and say why"


@pytest.mark.parametrize(("version", "is_overdue"), [("0.2.9", False), ("0.3", True), ("0.3.0", True), ("1.0", True)])
def test_the_version_in_which_it_goes_is_the_last_moment(version, is_overdue):
    assert (overdue(version, (OLD,)) == [OLD]) == is_overdue


def test_the_page_lists_what_is_deprecated():
    listed = PAGES["compatibility.md"].partition("Deprecated now:")[2].partition("\n## ")[0]

    assert [each.name for each in DEPRECATIONS if each.name not in listed] == []
    assert ("nothing" in listed) == (not DEPRECATIONS)


def test_a_deprecated_function_warns_its_caller():
    @deprecated(OLD)
    def double(number):
        return 2 * number

    with pytest.warns(
        GatewayDeprecationWarning, match="gateway_old is deprecated since 0.1 and goes with 0.3"
    ) as caught:
        assert double(2) == 4
    assert caught[0].filename == __file__


class Specs:
    @deprecated_hook(pluggy.HookspecMarker("some"), OLD)
    def some_old(self):
        pass

    @deprecated_hook(pluggy.HookspecMarker("some"), OLD, arguments=("old",))
    def some_new(self, old, new):
        pass


@pytest.mark.parametrize(
    ("source", "warned"),
    [
        ("def some_old(self): pass", True),
        ("def some_new(self, old): pass", True),
        ("def some_new(self, new): pass", False),
    ],
)
def test_whoever_implements_what_is_deprecated_is_warned(source, warned):
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102 - three functions, as an author might write them
    (name,) = (name for name in names if name.startswith("some_"))
    plugin = type("Plugin", (), {name: pluggy.HookimplMarker("some")(names[name])})()
    manager = pluggy.PluginManager("some")
    manager.add_hookspecs(Specs)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        manager.register(plugin)
    assert [str(each.message) for each in caught] == [str(OLD)] * warned
