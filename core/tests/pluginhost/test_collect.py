"""What plugins return from their hooks, and what is wrong with it."""

from __future__ import annotations

import inspect
import re

import pytest

from gateway import hookspecs
from gateway.pluginhost.collect import HOOKS


def hook(body, name="gateway_register_policies"):
    return f"""
import gateway

def policy(name):
    return gateway.PolicyRegistration(name=name, build=print)

@gateway.hookimpl
def {name}():
    {body}
"""


def test_every_hook_is_known():
    specified = {name for name, _ in inspect.getmembers(hookspecs, inspect.isfunction) if name.startswith("gateway_")}
    assert set(HOOKS) == specified


def test_hooks_are_asked_once_and_their_offers_collected(site):
    source = hook("calls.append(1); return [policy('a'), policy('b')]").replace(
        "import gateway", "import gateway\ncalls = []", 1
    )
    site.install("acme", source)
    plugin = site.plugin("acme")
    assert [offer.name for offer in plugin.registrations] == ["a", "b"]
    import acme  # type: ignore[import-not-found]  # noqa: PLC0415 - installed by the test

    assert acme.calls == [1]


def test_a_hook_may_offer_nothing(site):
    site.install("acme", hook("return []"))
    assert (site.plugin("acme").registrations, site.plugin("acme").error) == ((), None)


def test_an_object_can_be_the_plugin(site):
    source = """
import gateway

class Acme:
    @gateway.hookimpl
    def gateway_register_observers(self):
        return (gateway.ObserverRegistration(name="seen", build=print),)

acme = Acme()
"""
    site.install("acme", source, attribute="acme")
    assert [offer.name for offer in site.plugin("acme").registrations] == ["seen"]


def test_without_hooks_the_registrations_in_the_module_are_offered(site):
    source = """
import gateway

one = another_name = gateway.ObserverRegistration(name="one", build=print)
command = gateway.CommandRegistration(name="greet", run=print)
NOT_ONE = gateway.ObserverRegistration
"""
    site.install("acme", source)
    plugin = site.plugin("acme")
    assert [offer.name for offer in plugin.registrations] == ["one", "greet"]
    assert not plugin.registrations[0].default_on


def test_what_python_does_not_understand_is_named_with_its_line(site):
    site.install("acme", "a = 1\nb = (\n")
    error = site.plugin("acme").error
    assert error is not None
    assert re.fullmatch(r"importing acme raised SyntaxError: '\(' was never closed \(at .*acme\.py:2\)", error)


def test_an_object_without_hooks_offers_nothing(site):
    site.install("acme", "thing = object()", attribute="thing")
    assert (site.plugin("acme").registrations, site.plugin("acme").error) == ((), None)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            "import nowhere_to_be_found",
            "importing acme raised ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        ("raise SystemExit(3)", "importing acme raised SystemExit: 3 (at "),
        ("def f(:", "importing acme raised SyntaxError: invalid syntax"),
        (hook("raise KeyError('x')"), "gateway_register_policies raised KeyError: 'x' (at "),
        (hook("raise SystemExit"), "gateway_register_policies raised SystemExit: "),
        (
            hook("return None"),
            "gateway_register_policies returned None; return a list of registrations, which may be empty",
        ),
        (
            hook("return policy('a')"),
            "gateway_register_policies raised TypeError: 'PolicyRegistration' object is not itera",
        ),
        (hook("return ['a']"), "gateway_register_policies returned 'a'; return a list of PolicyRegistration"),
        (
            hook("return [policy('a')]", "gateway_register_protocols"),
            "gateway_register_protocols returned PolicyRegistration(",
        ),
        (hook("return []", "gateway_register_polices"), "there is no hook 'gateway_register_polices'; did you mean "),
        (hook("return []", "gateway_on_start"), "there is no hook 'gateway_on_start'; the hooks are gateway_register_"),
        (
            hook("return []").replace("@gateway.hookimpl", ""),
            "gateway_register_policies would never be called; put @gatew",
        ),
        (
            hook("return []").replace("policies():", "policies(config):"),
            "Plugin 'acme' for hook 'gateway_register_policies' hookimpl definition: gateway_register_policies(config)",
        ),
        (hook("return [policy('a'), policy('a')]"), "it offers policy 'a' twice; give each its own name"),
        (hook("return [policy('a.b')]"), "policy 'a.b': a name consists of letters, digits, '_' and '-'"),
    ],
)
def test_a_broken_plugin_offers_nothing_and_harms_no_other(site, source, error):
    site.install("acme", source)
    site.install("zeta", hook("return [policy('fine')]"))
    broken, fine = site.discover().plugins
    assert broken.error.startswith(error)
    assert broken.registrations == ()
    assert [offer.name for offer in fine.registrations] == ["fine"]


def test_the_line_that_failed_is_named(site):
    site.install("acme", hook("return undefined"))
    assert site.plugin("acme").error.endswith("acme.py:9)")


def test_half_a_plugin_is_none(site):
    site.install("acme", hook("return [policy('a')]") + hook("raise ValueError", "gateway_register_observers"))
    assert site.plugin("acme").registrations == ()


def test_one_module_cannot_be_two_plugins(site):
    site.install("acme", hook("return []"))
    site.install("acme-again", "", name="again")
    site.entry_points.append(site.entry_points[0].__class__("more", "acme", "gateway"))
    assert "already registered" in site.plugin("more").error
