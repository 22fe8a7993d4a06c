"""How rules write conditions on header fields and the query."""

import re
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing import HeaderCondition, QueryCondition, parse_header_conditions, parse_query_conditions
from gateway.routing.conditions import Facts, build_test


@pytest.mark.parametrize(
    ("raw", "condition"),
    [
        ({"X-A": "v1"}, HeaderCondition(name="x-a", values=("v1",))),
        ({"X-A": "Mobile/*"}, HeaderCondition(name="x-a", values=("Mobile/*",))),
        ({"X-A": ["v1", "v2", "v1"]}, HeaderCondition(name="x-a", values=("v1", "v2"))),
        ({"X-A": {"value": "v1"}}, HeaderCondition(name="x-a", values=("v1",))),
        ({"X-A": {"values": ["v1"]}}, HeaderCondition(name="x-a", values=("v1",))),
        ({"X-A": {"present": True}}, HeaderCondition(name="x-a")),
        ({"X-A": {"present": False}}, HeaderCondition(name="x-a", present=False)),
        ({"X-A": {"match": "regex", "value": "v[0-9]"}}, HeaderCondition(name="x-a", regex="v[0-9]")),
        ([{"name": "X-A", "present": True}], HeaderCondition(name="x-a")),
        ([{"name": "X-A", "values": ["v1", "v2"]}], HeaderCondition(name="x-a", values=("v1", "v2"))),
        ([{"name": "X-A", "value": "v1"}], HeaderCondition(name="x-a", values=("v1",))),
        ([{"name": "X-A", "match": "regex", "value": "v"}], HeaderCondition(name="x-a", regex="v")),
    ],
)
def test_every_documented_shape(raw, condition):
    assert parse_header_conditions(raw) == (condition,)
    renamed = (
        [{"name": "x-a", **item} if "name" not in item else item | {"name": "x-a"} for item in raw]
        if isinstance(raw, list)
        else {"x-a": raw["X-A"]}
    )
    fields = {"name": "x-a", "present": condition.present, "values": condition.values, "regex": condition.regex}
    assert parse_query_conditions(renamed) == (QueryCondition(**fields),)


@pytest.mark.parametrize("raw", [None, {}, [], ()])
def test_no_conditions(raw):
    assert parse_header_conditions(raw) == ()
    assert parse_query_conditions(raw) == ()


def test_values_that_yaml_does_not_read_as_text():
    assert parse_header_conditions({"X-Flag": True, "X-Version": 2, "X-Any": [False, 3]}) == (
        HeaderCondition(name="x-flag", values=("true",)),
        HeaderCondition(name="x-version", values=("2",)),
        HeaderCondition(name="x-any", values=("false", "3")),
    )


def test_names_of_query_parameters_have_case_and_those_of_fields_have_not():
    assert parse_query_conditions({"Debug": "1"})[0].name == "Debug"
    assert parse_header_conditions({"Debug": "1"})[0].name == "debug"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("X-A", "neither a mapping from names to values nor a list"),
        (7, "neither a mapping"),
        (["X-A"], "'X-A' has no name; write '- {name: X-Version, value: v1}'"),
        ([{"present": True}], "has no name"),
        ([{"name": 7, "present": True}], "7 is not a name; write it in quotes"),
        ({"": "v1"}, "'' is not a name"),
        ({"X A": "v1"}, "'X A' is not the name of a header field"),
        ({"X-A": None}, "'X-A': no value; write one, or '{present: true}'"),
        ({"X-A": 1.0}, "'X-A': 1.0 is not text; write it in quotes"),
        ({"X-A": []}, "'X-A': the list of values is empty"),
        ({"X-A": {}}, "'X-A': write one of 'present', 'value' and 'values'"),
        ({"X-A": {"presnt": True}}, "'X-A': unknown key 'presnt'; use present, value, values, match"),
        ({"X-A": {"present": "yes"}}, "'X-A': 'present' is true or false, not 'yes'"),
        ({"X-A": {"present": True, "value": "v1"}}, "'X-A': write one of"),
        ({"X-A": {"match": "prefix", "value": "v1"}}, "'X-A': match 'prefix' is unknown; write 'regex'"),
        ({"X-A": {"match": "regex", "values": ["v1"]}}, "'X-A': 'match: regex' needs the expression as its 'value'"),
        ({"X-A": {"match": "regex", "value": 7}}, "'X-A': 'match: regex' needs the expression as its 'value'"),
        ({"X-A": {"match": "regex", "value": "("}}, "'X-A': '(' is not a regular expression: missing )"),
    ],
)
def test_mistake_is_explained(raw, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_header_conditions(raw)


def test_condition_asks_for_one_thing():
    with pytest.raises(ValueError, match="not several at once"):
        QueryCondition(name="a", values=("1",), regex="2")
    with pytest.raises(ValueError, match="not several at once"):
        QueryCondition(name="a", present=False, values=("1",))


class Fields:
    def __init__(self, *values):
        self.values = list(values)

    def get(self, name):
        return self.values[0] if self.values else None

    def get_all(self, name):
        return self.values


@pytest.mark.parametrize(
    ("wanted", "sent", "holds"),
    [
        ("v1", ["v1"], True),
        ("v1", ["v2", "v1"], True),
        ("v1", ["V1"], False),
        ("v1", [], False),
        ("v*", ["v"], True),
        ("*", [""], True),
        ("*", [], False),
        ("a**b", ["a-b"], True),
        (["v1", "w*"], ["w7"], True),
        (["v1", "w*"], ["x7"], False),
        ({"match": "regex", "value": "v[0-9]+"}, ["v12"], True),
        ({"match": "regex", "value": "v[0-9]+"}, ["xv12"], False),
        ({"match": "regex", "value": "v[0-9]+"}, ["v1\n"], False),
        ({"match": "regex", "value": ".*"}, [], False),
        ({"present": True}, [""], True),
        ({"present": True}, [], False),
        ({"present": False}, [], True),
        ({"present": False}, [""], False),
    ],
)
def test_conditions_hold_alike_for_fields_and_parameters(wanted, sent, holds):
    query = "&".join(f"x={quote_plus(value)}" for value in sent)
    [header_condition] = parse_header_conditions({"x": wanted})
    [query_condition] = parse_query_conditions({"x": wanted})
    assert build_test(header_condition)(Facts("", Fields(*sent))) is holds
    assert build_test(query_condition)(Facts(query, Fields())) is holds


@given(st.text(max_size=40))
def test_any_query_can_be_looked_at(query):
    facts = Facts(query, Fields())
    assert list(facts.parameter("x")) == list(facts.parameter("x"))
