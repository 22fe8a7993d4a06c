"""Two plugins must not read the same key."""

from __future__ import annotations

import pytest

from gateway import ObserverRegistration, PolicyRegistration


def policy(name, **options):
    return PolicyRegistration(name=name, build=print, **options)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"path": "cors"}, "cors"),
        ({"rule_key": "cors"}, "cors"),
        ({"path": "auth"}, "auth"),
        ({"path": "frontend"}, "frontend"),
        ({"path": "workers"}, "workers"),
        ({"path": "router.rules"}, "router.rules"),
        ({"path": "auth.required.more"}, "auth.required.more"),
        ({"rule_key": "path"}, "path"),
        ({"rule_key": "plugins"}, "plugins"),
    ],
)
def test_a_key_that_is_taken(load, index, options, key):
    index.add("cors")
    index.install("acme", policy("zeta", **options))
    (problem,) = load.problems("gateway:\n")
    assert problem.startswith(f"the key '{key}' is read by ")
    assert "policy 'zeta' of plugin 'acme' of acme 0.1.0" in problem or "by plugin 'acme' of acme 0.1.0 too" in problem
    assert problem.endswith("in gateway.disabledPlugins")


def test_a_plugin_may_read_one_block_twice(load, index):
    index.install("acme", policy("a", path="acme"), ObserverRegistration(name="b", build=print, path="acme"))
    configuration = load(load.one_rule + "  acme: {}\n")
    assert (len(configuration.observers), len(configuration.rules[0].policies)) == (1, 1)


def test_blocks_can_stand_in_blocks(load, index):
    index.add("cors")
    index.install("acme", policy("inner", path="cors.inner"), policy("deep", path="acme.group.deep"))
    configuration = load(load.one_rule + "  cors: {maxAge: 5, inner: {}}\n  acme: {group: {deep: {}}}\n")
    assert [each.name for each in configuration.rules[0].policies] == ["cors", "deep", "inner"]
    assert load.problems("gateway: {acme: {grup: {}}}") == [
        "gateway.yaml:1:18: gateway.acme.grup: unknown key; did you mean 'group'?"
    ]
    assert load.problems("gateway: {cors: {innr: {}, inner: {a: 1}}}") == [
        "gateway.yaml:1:18: gateway.cors.innr: unknown key; remove it",
        "gateway.yaml:1:36: gateway.cors.inner.a: unknown key; remove it",
    ]
    assert load.problems("gateway: {cors: 5, acme: 6}") == [
        "gateway.yaml:1:17: gateway.cors: 5 is not a block; write its keys below it, indented",
        "gateway.yaml:1:26: gateway.acme: 6 is not a block; write its keys below it, indented",
    ]
