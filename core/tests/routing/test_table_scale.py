"""What a match costs, counted in calls: a clock would measure the machine."""

import sys

import pytest

from gateway.routing import Miss, RouteEntry, RouteTable, parse_header_conditions, parse_pattern


class Nothing:
    """No header fields."""

    def get(self, name):
        return None

    def get_all(self, name):
        return []


def calls_of(table, path, *, host="example.com"):
    """Return the answer of a match and how many functions it called, in Python and in C."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        found = table.match("GET", host, path, "", Nothing())
    finally:
        sys.setprofile(previous)
    return found, calls


def build(count):
    """Make a table of routes of every kind, as many as asked for, and a catch-all."""
    paths = [
        path
        for number in range(count // 5)
        for path in (
            f"/service{number}/status",
            f"/service{number}/users/:id",
            f"/service{number}/files/*",
            f"/service{number}/v*/orders/{{order}}:cancel",
            f"/v{number:04}-*/status",
        )
    ]
    entries = [RouteEntry(id=path, pattern=parse_pattern(path), target=path) for path in paths]
    return RouteTable([*entries, RouteEntry(id="/*", pattern=parse_pattern("/*"), target="/*")])


@pytest.fixture(scope="module")
def few():
    return build(10)


@pytest.fixture(scope="module")
def many():
    return build(10_000)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/service1/status", "/service1/status"),
        ("/service1/users/7", "/service1/users/:id"),
        ("/service1/files/a/b/c", "/service1/files/*"),
        ("/service1/v2/orders/7:cancel", "/service1/v*/orders/{order}:cancel"),
        ("/v0001-beta/status", "/v0001-*/status"),
        ("/nothing/of/the/kind", "/*"),
    ],
)
def test_ten_thousand_routes_cost_what_ten_do(few, many, path, route):
    found, calls = calls_of(few, path)
    assert not isinstance(found, Miss)
    assert found[0] == route
    assert calls_of(many, path) == (found, calls)


def test_ten_thousand_hosts_cost_what_ten_do():
    def build_hosts(count):
        pattern = parse_pattern("/users/:id")
        return RouteTable(
            [
                RouteEntry(id=f"{kind}{number}", pattern=pattern, hosts=(f"{kind}host{number}.example",), target=number)
                for number in range(count // 2)
                for kind in ("", "*.")
            ]
        )

    few, many = build_hosts(10), build_hosts(10_000)
    for host in ("host3.example", "a.b.host3.example:80", "unknown.example"):
        assert calls_of(few, "/users/7", host=host) == calls_of(many, "/users/7", host=host)


def test_ten_thousand_priorities_cost_what_ten_do():
    def build_priorities(count):
        return RouteTable(
            [
                RouteEntry(id=str(number), pattern=parse_pattern(f"/s{number}/:x"), priority=number, target=number)
                for number in range(count)
            ]
        )

    assert calls_of(build_priorities(10), "/s3/x") == calls_of(build_priorities(10_000), "/s3/x")


# Paths and patterns made to be slow.


def test_every_branch_is_taken_at_most_once():
    """All 2^12 mixtures of a literal and a wildcard match one path; the one that may answer is found last."""
    mixtures = [
        "".join("/a" if number >> bit & 1 else "/:p" + str(bit) for bit in range(12)) for number in range(2**12 - 1)
    ]
    wanted = parse_header_conditions({"x-never": "1"})

    entries = [RouteEntry(id=path, pattern=parse_pattern(path), headers=wanted, target=path) for path in mixtures]
    table = RouteTable(entries)
    found, calls = calls_of(table, "/a" * 12)
    assert found == Miss()
    # A match asks each condition once for the route and once for the methods allowed; both are a handful of calls.
    nodes = 2**13
    assert calls < 40 * nodes


def test_cost_does_not_grow_with_the_path_beyond_splitting_it():
    table = RouteTable(
        [
            RouteEntry(id=path, pattern=parse_pattern(path), target=path)
            for path in ("/*/a/*/a/*/a/*/b", "/:x/a/:y", "/a/*")
        ]
    )
    short, long = calls_of(table, "/a" * 10), calls_of(table, "/a" * 10_000)
    assert short[1] == long[1]


def test_deep_patterns_do_not_exhaust_the_stack():
    path = "/a" * 5000
    table = RouteTable([RouteEntry(id="deep", pattern=parse_pattern(path + "/:x"), target="deep")])
    assert table.match("GET", "", path + "/7", "", Nothing()) == ("deep", {"x": "7"})


def test_globs_with_many_stars_do_not_backtrack():
    table = RouteTable([RouteEntry(id="glob", pattern=parse_pattern("/" + "a*" * 20 + "b"), target="glob")])
    found, calls = calls_of(table, "/" + "a" * 5000)
    assert found == Miss()
    assert calls < 100
