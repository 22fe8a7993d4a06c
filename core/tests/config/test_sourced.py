"""Rules of route sources in a configuration: which are let in, and in what order they win."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import RouteSourceConfig, SourcedRule
from gateway.config.admission import Admission, NotAdmitted, clean
from gateway.config.places import plain

KEYS = st.sampled_from(
    ["path", "auth", "authRequired", "required", "scopes", "host", "hosts", "plugins", "metadata", "x"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=2)
RULES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


class _Configured:
    where = "gateway.yaml:1:1"
    name = "live"

    def __init__(self, **config: Any) -> None:
        self.config = RouteSourceConfig.model_validate(config)


def admission(**config: Any) -> Admission:
    return Admission(_Configured(**config), {"metadata.authRequired": "authRequired"})  # type: ignore[arg-type]  # has what is read of it


@given(st.dictionaries(KEYS, RULES, max_size=5))
def test_whatever_is_let_in_sets_nothing_that_is_not_allowed(keys):
    try:
        block = admission().block(SourcedRule(rule=keys, where="here"))
    except NotAdmitted:
        return
    assert block.keys() <= {"path", "host", "hosts", "auth", "authRequired"}
    assert block.get("authRequired", True) is True
    assert plain(block.get("auth", {})).keys() <= {"scopes", "required"}
    assert plain(block.get("auth", {})).get("required", True) is True


def test_a_deep_or_endless_rule_is_refused():
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    endless: dict[str, Any] = {}
    endless["path"] = endless
    for value in ({"path": deep}, endless, {"path": ["x"] * 2000}):
        with pytest.raises(NotAdmitted, match="too large"):
            admission().block(SourcedRule(rule=value, where="here"))
    while isinstance(deep, list):  # or freeing it would recurse
        deep = deep.pop()


def test_environment_variables_are_not_expanded():
    block = admission().block(SourcedRule(rule={"path": "/${HOME}"}, where="here"))
    assert block["path"] == "/${HOME}"


def test_a_block_of_the_operator_that_is_wrong_is_said():
    problems = [str(each) for each in admission(hosts=["a b"], pathPrefixes=["x"]).problems]
    assert problems == [
        "gateway.yaml:1:1: hosts: 'a b' is not a host; write 'example.com', '*.example.com' or '*'",
        "gateway.yaml:1:1: pathPrefixes: 'x' is not a path; begin it with '/'",
    ]


def test_what_strangers_write_stands_on_one_line():
    assert clean("a\nb\x1b[31m\u202e" + "c" * 300) == "a?b?[31m?" + "c" * 191
