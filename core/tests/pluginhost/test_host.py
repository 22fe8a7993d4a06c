"""Who provides what, and who is to blame."""

from __future__ import annotations

import sys

import pytest

from gateway import BalancerRegistration, CommandRegistration, ConnectorRegistration, PolicyRegistration
from gateway.pluginhost import Plugin, PluginHost


def plugin(name, *offers, **options):
    return Plugin(**{"name": name, "distribution": f"acme-{name}", "version": "1.0", "registrations": offers} | options)


def policy(name):
    return PolicyRegistration(name=name, build=print)


def connector(name, protocol, *schemes):
    return ConnectorRegistration(name=name, build=print, protocol=protocol, schemes=schemes)


def problems(*plugins):
    return [str(problem) for problem in PluginHost(plugins).problems]


def test_offers_are_found_by_kind_and_name():
    a: PolicyRegistration = policy("a")
    b = policy("b")
    command = CommandRegistration(name="a", run=lambda arguments: 0)
    host = PluginHost([plugin("x", b, command), plugin("y", a)])
    assert a is host.find("policy", "a")
    assert host.find("command", "a") is command
    assert host.find("policy", "c") is None
    assert host.of_kind("policy") == (a, b)
    assert host.of_kind("observer") == ()
    assert host.owner(a).name == "y"
    with pytest.raises(KeyError):
        host.owner(policy("a"))


def test_balancers_are_found_by_other_names_too():
    weighted = BalancerRegistration(name="weighted_random", build=print, other_names=("random",))
    assert PluginHost([plugin("x", weighted)]).find("balancer", "random") is weighted


def test_two_providers_of_one_name_are_both_named():
    assert problems(plugin("x", policy("a")), plugin("y", policy("a"), version="2.0")) == [
        (
            "policy 'a' is offered by both acme-x 1.0 (plugin 'x') and acme-y 2.0 (plugin 'y'); uninstall one of them, "
            "or name its plugin in gateway.disabledPlugins"
        )
    ]


def test_other_names_and_schemes_belong_to_one_offer_too():
    random = BalancerRegistration(name="random", build=print)
    other = BalancerRegistration(name="other", build=print, other_names=("random",))
    assert "balancer 'random' is offered by both" in problems(plugin("x", random), plugin("y", other))[0]
    assert problems(plugin("x", random, other)) == [
        "plugin 'x' of acme-x 1.0 offers balancer 'random' twice; give each offer its own name"
    ]
    first, second = connector("a", "http", "http"), connector("b", "http", "https", "http")
    (problem,) = problems(plugin("x", first), plugin("y", second))
    assert problem.startswith("connector for protocol 'http' and scheme 'http' is offered by both acme-x 1.0")


def test_connectors_may_share_a_protocol_or_a_scheme():
    connectors = [connector("a", "http", "http"), connector("b", "http", "demo"), connector("c", "grpc", "http")]
    assert problems(plugin("x", *connectors)) == []


def test_two_distributions_with_one_plugin_name_are_both_named(site):
    site.install("acme-jwt", "", name="jwt", version="2.0")
    site.install("gateway-jwt", "", name="jwt", version="0.1")
    host = site.discover()
    assert [str(problem) for problem in host.problems] == [
        (
            "there are two plugins named 'jwt', of acme-jwt 2.0 and of gateway-jwt 0.1; uninstall one of them, or name "
            "its distribution in gateway.disabledPlugins"
        )
    ]
    assert [plugin.distribution for plugin in host.plugins] == ["acme-jwt"]
    assert site.discover(disabled=["acme-jwt"]).problems == ()


def test_broken_plugins_are_warnings():
    host = PluginHost([plugin("x", error="oh"), plugin("y")])
    assert [str(warning) for warning in host.warnings] == ["plugin 'x' of acme-x 1.0 cannot be used: oh"]


# Blame.

CALLER = """
import gateway

def call(function):
    return function()

@gateway.policy
async def {name}(exchange, call_next): ...
"""


def traceback_of(function):
    try:
        function()
    except ZeroDivisionError as error:
        return error.__traceback__
    raise AssertionError


def test_the_innermost_plugin_is_to_blame(site, tmp_path):
    site.install("acme-a", CALLER.format(name="a"), module="acme_a.plugin")
    site.install("acme-b", CALLER.format(name="b"), module="acme_b.plugin")
    (tmp_path / "acme_a" / "__init__.py").touch()
    (tmp_path / "acme_a" / "inner.py").write_text("def fail():\n    import json\n    return 1 / 0\n")
    host = site.discover()
    a, b = sys.modules["acme_a.plugin"], sys.modules["acme_b.plugin"]
    from acme_a.inner import fail  # type: ignore[import-not-found]  # noqa: PLC0415 - installed by the test

    def divide():
        return 1 / 0

    assert host.blame(traceback_of(lambda: a.call(lambda: b.call(divide)))).name == "acme-b"
    assert host.blame(traceback_of(lambda: b.call(lambda: a.call(divide)))).name == "acme-a"
    assert host.blame(traceback_of(lambda: b.call(fail))).name == "acme-a"
    assert host.blame(traceback_of(divide)) is None
    assert host.blame(None) is None


def test_plugins_may_share_an_outer_package(site, tmp_path):
    site.install("acme-a", CALLER.format(name="a"), module="acme.a.plugin")
    site.install("acme-b", CALLER.format(name="b"), module="acme.b.plugin")
    for name in "ab":
        (tmp_path / "acme" / name / "__init__.py").touch()
    host = site.discover()
    call = sys.modules["acme.b.plugin"].call
    assert host.blame(traceback_of(lambda: call(lambda: 1 / 0))).name == "acme-b"


def test_a_file_is_to_blame_for_its_code(site, tmp_path):
    (tmp_path / "hello.py").write_text(CALLER.format(name="hello"))
    host = site.discover(files=[tmp_path / "hello.py"])
    call = sys.modules["gateway_plugin_files.hello"].call
    assert host.blame(traceback_of(lambda: call(lambda: 1 / 0))).name == "hello"
