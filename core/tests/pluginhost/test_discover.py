"""Entry points and files are found, and imported only when they are wanted."""

from __future__ import annotations

import gc
import sys
import weakref
from importlib.metadata import EntryPoint

import pytest

from gateway.pluginhost import PluginHost, host
from gateway.pluginhost.collect import build_manager

HELLO = """
import gateway

@gateway.policy
async def hello(exchange, call_next):
    "Say hello."
    return await call_next(exchange)
"""


def test_plugins_of_installed_distributions_are_found(site):
    site.install("acme-b", HELLO, name="b", version="2.1")
    site.install("acme-a", "", name="a")
    first, second = site.discover().plugins
    assert (first.name, first.registrations, first.error) == ("a", (), None)
    assert (second.name, second.distribution, second.version, second.module) == ("b", "acme-b", "2.1", "acme_b")
    assert [offer.name for offer in second.registrations] == ["hello"]
    assert second.load_s > 0
    assert (second.origin, str(second)) == ("acme-b 2.1", "plugin 'b' of acme-b 2.1")


def test_without_being_told_it_looks_at_the_search_path(site):
    site.install("acme", HELLO, name="acme-for-this-test")
    assert "acme-for-this-test" in {plugin.name for plugin in PluginHost.discover().plugins}


def test_what_is_installed_meanwhile_is_found(site):
    site.install("acme", HELLO, name="acme-for-this-test")
    PluginHost.discover()
    site.install("acme-too", HELLO, name="another-for-this-test")
    names = {plugin.name for plugin in PluginHost.discover().plugins}
    assert {"acme-for-this-test", "another-for-this-test"} <= names


def test_an_entry_point_without_a_distribution(site):
    site.install("acme", HELLO)
    host = PluginHost.discover(entry_points=[EntryPoint("x", "acme", "gateway")])
    assert [(plugin.distribution, plugin.version, plugin.origin) for plugin in host.plugins] == [("acme", "", "acme")]


@pytest.mark.parametrize("name", ["a", "acme-a", "acme_a", "ACME.A"])
def test_disabled_plugins_are_not_even_imported(site, name):
    site.install("acme-a", "import acme_a_was_imported", name="a")
    host = site.discover(disabled={name})
    assert host.plugins == ()
    assert [plugin.name for plugin in host.disabled] == ["a"]
    assert "acme_a" not in sys.modules


# Single files.


def write(folder, source, name="hello.py"):
    path = folder / name
    path.write_text(source)
    return path


def test_a_file_is_a_plugin_and_on_by_default(site, tmp_path):
    path = write(tmp_path, HELLO)
    host = site.discover(files=[path, path])
    (plugin,) = host.plugins
    assert (plugin.name, plugin.distribution, plugin.file, plugin.origin) == ("hello", "hello.py", path, str(path))
    assert plugin.module == "gateway_plugin_files.hello"
    (offer,) = plugin.registrations
    assert offer.default_on
    assert offer.summary == "Say hello."
    assert host.owner(offer) is plugin


def test_a_file_with_hooks(site, tmp_path):
    source = """
import gateway

@gateway.hookimpl
def gateway_register_observers():
    return [gateway.ObserverRegistration(name="seen", build=print)]

@gateway.hookimpl
def gateway_register_commands():
    return [gateway.CommandRegistration(name="greet", run=print)]

@gateway.policy
async def not_registered(exchange, call_next): ...
"""
    offers = site.discover(files=[write(tmp_path, source)]).plugins[0].registrations
    assert sorted((offer.kind, offer.name) for offer in offers) == [("command", "greet"), ("observer", "seen")]


def test_a_file_is_run_anew_each_time(site, tmp_path):
    path = write(tmp_path, HELLO)
    site.discover(files=[path])
    write(tmp_path, HELLO.replace("hello", "goodbye"))
    (plugin,) = site.discover(files=[path]).plugins
    assert [offer.name for offer in plugin.registrations] == ["goodbye"]


def test_a_file_may_use_what_looks_modules_up_by_name(site, tmp_path):
    source = """
from __future__ import annotations
from dataclasses import dataclass, KW_ONLY
import gateway

@dataclass
class State:
    _: KW_ONLY
    count: int = 0

class Greeting(gateway.Config):
    text: str = "hello"

@gateway.policy
async def greet(exchange, call_next, config: Greeting): ...
"""
    (plugin,) = site.discover(files=[write(tmp_path, source)]).plugins
    assert plugin.error is None
    assert list(plugin.registrations[0].config.model_fields) == ["text"]


def test_a_file_does_not_hide_a_module_of_its_name(site, tmp_path):
    site.discover(files=[write(tmp_path, HELLO, "json.py")])
    assert sys.modules["json"].__name__ == "json"


def test_a_broken_file_is_a_problem_and_leaves_the_earlier_one_in_place(site, tmp_path):
    path = write(tmp_path, HELLO)
    site.discover(files=[path])
    before = sys.modules["gateway_plugin_files.hello"]
    write(tmp_path, "def broken(:")
    (problem,) = site.discover(files=[path]).problems
    assert str(problem).startswith(
        f"plugin 'hello' of {path} cannot be used: importing gateway_plugin_files.hello raised "
    )
    assert "SyntaxError" in str(problem)
    assert sys.modules["gateway_plugin_files.hello"] is before
    new = write(tmp_path, "1 / 0", "other.py")
    site.discover(files=[new])
    assert "gateway_plugin_files.other" not in sys.modules


def test_a_file_that_is_not_python(site, tmp_path):
    (problem,) = site.discover(files=[write(tmp_path, "", "hello.txt")]).problems
    assert "is not a Python file; its name must end in .py" in str(problem)


def test_a_file_can_be_disabled(site, tmp_path):
    host = site.discover(files=[write(tmp_path, "1 / 0")], disabled=["hello"])
    assert (host.plugins, host.problems) == ((), ())


def test_a_reload_leaves_the_collector_nothing_of_pluggy(site, monkeypatch):
    """What many rules are loaded with counts as old at once, and what is old is hardly ever looked at."""
    made = []

    def noted():
        manager = build_manager()
        made.append(weakref.ref(manager))
        return manager

    monkeypatch.setattr(host, "build_manager", noted)
    site.install("acme", HELLO, name="a")
    gc.disable()
    try:
        assert site.discover().find("policy", "hello") is not None
        assert [manager() for manager in made] == [None]
    finally:
        gc.enable()
