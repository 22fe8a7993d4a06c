"""Which routes cannot stand beside each other."""

import pytest

from gateway.routing import (
    RouteConflicts,
    RouteEntry,
    RouteTable,
    find_conflicts,
    parse_header_conditions,
    parse_pattern,
    parse_query_conditions,
)


def rule(id, path, path_type="template", *, methods=None, headers=None, query=None, **fields):  # noqa: A002
    return RouteEntry(
        id=id,
        pattern=parse_pattern(path, path_type),
        methods=frozenset(methods) if methods else None,
        headers=parse_header_conditions(headers),
        query=parse_query_conditions(query),
        target=None,
        **fields,
    )


def conflicting(*rules):
    return [conflict.ids for conflict in find_conflicts(rules)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a", "/a"),
        ("/a", "/%61"),
        ("/users/:id", "/users/{name}"),
        ("/files/*", "/files/{path...}"),
        ("/a/*/b", "/a/:x/b"),
        ("/v*", "/v{version}"),
        ("/a*b*c", "/a*d*c"),
    ],
)
def test_patterns_that_nothing_tells_apart_conflict(first, second):
    assert conflicting(rule("1", first), rule("2", second)) == [("1", "2")]


def test_path_types_that_come_to_the_same_conflict():
    assert conflicting(rule("1", "/api", "prefix"), rule("2", "/api/*")) == [("1", "2")]
    assert conflicting(rule("1", "/api", "exact"), rule("2", "/api")) == [("1", "2")]
    assert conflicting(rule("1", "/a.*", "regex"), rule("2", "/a.*", "regex")) == [("1", "2")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/a", "/b"),
        ("/a", "/a/"),
        ("/users/:id", "/users/*"),
        ("/users/:id", "/groups/:id"),
        ("/ab/:x", "/cd/:x"),
        ("/:x/ab", "/cd/:x"),
        ("/ab*", "/cd*"),
        ("/ab*", "/*ab"),
        ("/*/a/*", "/*/b/*"),
    ],
)
def test_patterns_that_differ_or_have_an_order_do_not_conflict(first, second):
    assert conflicting(rule("1", first), rule("2", second)) == []


def test_whatever_tells_rules_apart_prevents_a_conflict():
    plain = rule("plain", "/a")
    for other in (
        rule("other", "/a", priority=1),
        rule("other", "/a", hosts=("a.example",)),
        rule("other", "/a", methods=["GET"]),
        rule("other", "/a", headers={"X": "1"}),
        rule("other", "/a", query={"x": "1"}),
    ):
        assert conflicting(plain, other) == []


def test_rules_for_different_methods_do_not_conflict():
    assert conflicting(rule("1", "/a", methods=["GET"]), rule("2", "/a", methods=["POST", "PUT"])) == []
    assert conflicting(rule("1", "/a", methods=["GET"]), rule("2", "/a", methods=["HEAD"])) == []
    assert conflicting(rule("1", "/a", methods=["GET", "PUT"]), rule("2", "/a", methods=["PUT"])) == [("1", "2")]


def test_rules_that_share_a_host_conflict():
    first = rule("1", "/a", hosts=("a.example", "b.example", "c.example"))
    assert conflicting(first, rule("2", "/a", hosts=("d.example",))) == []
    [conflict] = find_conflicts([first, rule("2", "/a", hosts=("C.example:80", "a.example."))])
    assert "the host a.example and c.example" in conflict.shared


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"X": "1"}, {"X": "2"}),
        ({"X": ["1", "2"]}, {"X": ["3", "4"]}),
        ({"X": {"present": True}}, {"X": {"present": False}}),
        ({"X": "a*"}, {"X": "b*"}),
        ({"X": {"match": "regex", "value": "a+"}}, {"X": {"match": "regex", "value": "b+"}}),
        ({"X": "1"}, {"X": {"present": True}}),
        ({"X": "1", "Y": "1"}, {"X": "1", "Y": "2"}),
    ],
)
def test_conditions_on_one_name_that_differ_tell_rules_apart(first, second):
    assert conflicting(rule("1", "/a", headers=first), rule("2", "/a", headers=second)) == []
    assert conflicting(rule("1", "/a", query=first), rule("2", "/a", query=second)) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"X": "1"}, {"X": "1"}),
        ({"X": "1"}, {"Y": "1"}),
        ({"X": ["1", "2"]}, {"X": ["2", "3"]}),
        ({"X": {"present": True}}, {"Y": {"present": True}}),
        ({"X": "a*"}, {"X": "a*"}),
    ],
)
def test_conditions_that_one_request_can_meet_do_not_tell_rules_apart(first, second):
    assert conflicting(rule("1", "/a", headers=first), rule("2", "/a", headers=second)) == [("1", "2")]
    assert conflicting(rule("1", "/a", query=first), rule("2", "/a", query=second)) == [("1", "2")]


def test_ids_are_unique():
    [conflict] = find_conflicts([rule("a", "/a"), rule("a", "/b")])
    assert conflict.ids == ("a", "a")
    assert str(conflict) == "routes 'a' and 'a' share the id; give each route its own"


def test_conflict_names_both_rules_what_they_share_and_the_remedy():
    [conflict] = find_conflicts(
        [
            rule("users", "/users/:id", methods=["GET", "PUT"], hosts=("a.example",)),
            rule("people", "/users/{name}", methods=["PUT", "GET", "POST"], hosts=("a.example",)),
        ]
    )
    assert str(conflict) == (
        "routes 'users' and 'people' share the path '/users/:id' (the other writes '/users/{name}'), "
        "the host a.example, the method GET and PUT; a request can meet the conditions of both; "
        "give one a higher priority, or conditions that exclude the other's"
    )


def test_table_with_conflicts_names_them_all():
    rules = [rule("1", "/a"), rule("2", "/a"), rule("3", "/b/:x"), rule("4", "/b/:y"), rule("4", "/c"), rule("5", "/a")]
    with pytest.raises(RouteConflicts) as caught:
        RouteTable(rules)
    assert [conflict.ids for conflict in caught.value.conflicts] == [
        ("4", "4"),
        ("1", "2"),
        ("1", "5"),
        ("2", "5"),
        ("3", "4"),
    ]
    assert len(str(caught.value).splitlines()) == 5
