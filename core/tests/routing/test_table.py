"""Which route a request gets."""

import itertools

import pytest

from gateway.routing import (
    Miss,
    RouteEntry,
    RouteTable,
    parse_header_conditions,
    parse_pattern,
    parse_query_conditions,
)


class Fields:
    """The header fields of a request, by lower-case name; remembers what was asked for."""

    def __init__(self, fields=()):
        self.fields = [(name.lower(), value) for name, value in dict(fields).items()]
        self.asked = []

    def get(self, name):
        return next(iter(self.get_all(name)), None)

    def get_all(self, name):
        self.asked.append(name)
        return [value for key, value in self.fields if key == name]


def rule(id, path, path_type="template", *, methods=None, headers=None, query=None, **fields):  # noqa: A002
    """Make an entry whose target is its id, as the configuration would."""
    return RouteEntry(
        id=id,
        pattern=parse_pattern(path, path_type),
        methods=frozenset(methods) if methods else None,
        headers=parse_header_conditions(headers),
        query=parse_query_conditions(query),
        target=id,
        **fields,
    )


def route(rules, path, method="GET", *, host="example.com", query="", headers=()):
    """Return the id of the route, or the ``Miss``; the same for every order of a few rules."""
    orders = itertools.permutations(rules) if len(rules) <= 4 else [rules, rules[::-1]]
    tables = [RouteTable(order, pseudo_methods=("WEBSOCKET", "SSE")) for order in orders]
    answers = {match(table, path, method, host, query, headers) for table in tables}
    assert len(answers) == 1
    return answers.pop()


def match(table, path, method, host, query, headers):
    found = table.match(method, host, path, query, Fields(headers))
    return found if isinstance(found, Miss) else found[0]


# The documented table, row by row.


def test_path_types():
    rules = [
        rule("regex", r"/v\d+/(?P<kind>users|groups)/.*", "regex"),
        rule("template", "/files/{folder}/{file}"),
        rule("exact", "/status", "exact"),
        rule("prefix", "/assets", "prefix"),
    ]
    assert route(rules, "/v2/users/7") == "regex"
    assert route(rules, "/files/a/b") == "template"
    assert route(rules, "/status") == "exact"
    assert route(rules, "/assets/logo.png") == "prefix"
    assert route(rules, "/v2/things/7") == Miss()


def test_capture_groups_of_a_regex_are_parameters():
    table = RouteTable([rule("regex", r"/v(\d+)/(?P<kind>\w+)", "regex")])
    assert table.match("GET", "", "/v2/users", "", Fields()) == ("regex", {"1": "2", "kind": "users"})


def test_star_in_the_middle_matches_one_segment_and_there_may_be_several():
    rules = [rule("posts", "/*/users/*/posts"), rule("all", "/*")]
    assert route(rules, "/v1/users/7/posts") == "posts"
    assert route(rules, "/v1/x/users/7/posts") == "all"


def test_higher_priority_comes_first():
    rules = [rule("exact", "/users/me"), rule("star", "/users/*", priority=10), rule("low", "/users/:id", priority=-1)]
    assert route(rules, "/users/me") == "star"
    assert route([rules[0], rules[2]], "/users/me") == "exact"


def test_regex_comes_last_unless_its_priority_is_higher():
    assert route([rule("regex", "/a/.*", "regex"), rule("star", "/*")], "/a/b") == "star"
    assert route([rule("regex", "/a/.*", "regex", priority=1), rule("star", "/*")], "/a/b") == "regex"
    assert route([rule("regex", "/a/.*", "regex", priority=1), rule("exact", "/a/b", priority=2)], "/a/b") == "exact"


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        # Exact before everything.
        ("/users/me", "/users/:id", "/users/me"),
        ("/users", "/users/*", "/users"),
        ("/users/", "/users/*", "/users/"),
        # Fewer wildcards.
        ("/users/:id/posts", "/users/:id/:tab", "/users/7/posts"),
        ("/:a/b/c", "/:a/:b/c", "/a/b/c"),
        ("/:a/b/c/d", "/a/:b/c/:d", "/a/b/c/d"),
        ("/a/b/*", "/:x/:y/:z", "/a/b/c"),
        ("/users/:id/posts/:post", "/users/*", "/users/7/posts/8"),
        # More literal text.
        ("/users/:id", "/:kind/7", "/users/7"),
        ("/v1*/x", "/v*/x", "/v12/x"),
        ("/v*-*/x", "/v*/x", "/v1-2/x"),
        ("/{file}.json", "/:file", "/a.json"),
        ("/long/:id", "/:kind/id", "/long/id"),
        # A single segment before the rest, and the longer before the shorter.
        ("/users/:id", "/users/*", "/users/7"),
        ("/:a/:b", "/*", "/a/b"),
        ("/api/:v/*", "/api/*", "/api/v1/x"),
        ("/api/v1/*", "/api/*", "/api/v1/x"),
        ("/:tenant/api/*", "/*", "/acme/api/x"),
        # Literal text further left.
        ("/ab/:x", "/:x/cd", "/ab/cd"),
        ("/ab*/:x", "/:x/ab*", "/ab/ab"),
        ("/ab*", "/*ab", "/abab"),
    ],
)
def test_more_specific_path_comes_first(first, second, path):
    rules = [rule("first", first), rule("second", second)]
    assert route([rules[1]], path) == "second"
    assert route(rules, path) == "first"


def test_methods():
    rules = [rule("read", "/users/:id", methods=["GET", "HEAD"]), rule("write", "/users/:id", methods=["PUT", "PATCH"])]
    assert route(rules, "/users/7") == "read"
    assert route(rules, "/users/7", "PATCH") == "write"


def test_header_by_name_and_value_or_glob():
    rules = [
        rule("mobile", "/", headers={"User-Agent": "Mobile/*"}),
        rule("acme", "/", headers={"X-Tenant": "acme"}),
        rule("other", "/"),
    ]
    assert route(rules, "/", headers={"user-agent": "Mobile/2.1"}) == "mobile"
    assert route(rules, "/", headers={"x-tenant": "acme"}) == "acme"
    assert route(rules, "/", headers={"X-Tenant": "ACME", "User-Agent": "curl"}) == "other"
    # A value asks for more than a glob.
    assert route(rules, "/", headers={"user-agent": "Mobile/2.1", "x-tenant": "acme"}) == "acme"


def test_header_by_regex_presence_or_list_of_values():
    rules = [
        rule("regex", "/a", headers={"X-Version": {"match": "regex", "value": r"v\d+"}}),
        rule("present", "/b", headers=[{"name": "X-Beta", "present": True}]),
        rule("values", "/c", headers=[{"name": "X-Region", "values": ["eu", "us"]}]),
    ]
    assert route(rules, "/a", headers={"X-Version": "v12"}) == "regex"
    assert route(rules, "/a", headers={"X-Version": "v12b"}) == Miss()
    assert route(rules, "/b", headers={"X-Beta": ""}) == "present"
    assert route(rules, "/b") == Miss()
    assert route(rules, "/c", headers={"X-Region": "us"}) == "values"
    assert route(rules, "/c", headers={"X-Region": "asia"}) == Miss()


def test_query_parameter_by_presence_value_or_regex():
    rules = [
        rule("present", "/a", query={"debug": {"present": True}}),
        rule("value", "/b", query={"version": {"value": "2 beta"}}),
        rule("regex", "/c", query={"id": {"match": "regex", "value": "[0-9]+"}}),
    ]
    assert route(rules, "/a", query="debug") == "present"
    assert route(rules, "/a", query="Debug=1") == Miss()
    assert route(rules, "/b", query="x=1&version=2+beta") == "value"
    assert route(rules, "/b", query="version=1&version=2%20beta") == "value"
    assert route(rules, "/b", query="version=2") == Miss()
    assert route(rules, "/c", query="id=12") == "regex"
    assert route(rules, "/c", query="id=12x") == Miss()


def test_content_type_is_a_header():
    rules = [
        rule("json", "/", headers={"Content-Type": ["application/json", "application/json;*"]}),
        rule("other", "/"),
    ]
    assert route(rules, "/", "POST", headers={"Content-Type": "application/json; charset=utf-8"}) == "json"
    assert route(rules, "/", "POST", headers={"Content-Type": "application/xml"}) == "other"


# Conditions.


def test_more_conditions_come_first():
    rules = [
        rule("none", "/x"),
        rule("method", "/x", methods=["GET"]),
        rule("header", "/x", methods=["GET"], headers={"A": "1"}),
        rule("query", "/x", methods=["GET"], headers={"A": "1"}, query={"q": "1"}),
    ]
    assert route(rules, "/x", query="q=1", headers={"A": "1"}) == "query"
    assert route(rules, "/x", query="q=2", headers={"A": "1"}) == "header"
    assert route(rules, "/x", query="q=1", headers={"A": "2"}) == "method"
    assert route(rules, "/x", "POST", query="q=1", headers={"A": "1"}) == "none"


def test_among_equally_many_conditions_methods_come_first_then_headers():
    rules = [
        rule("method", "/x", methods=["GET"]),
        rule("header", "/x", headers={"A": "1"}),
        rule("query", "/x", query={"q": "1"}),
    ]
    assert route(rules, "/x", query="q=1", headers={"A": "1"}) == "method"
    assert route(rules, "/x", "POST", query="q=1", headers={"A": "1"}) == "header"


def test_stricter_condition_comes_first():
    rules = [
        rule("absent", "/", headers={"A": {"present": False}}),
        rule("present", "/", headers={"A": {"present": True}}),
        rule("regex", "/", headers={"A": {"match": "regex", "value": "a.*"}}),
        rule("glob", "/", headers={"A": "a*"}),
        rule("longer", "/", headers={"A": "ab*"}),
        rule("value", "/", headers={"A": "abc"}),
    ]
    assert route(rules, "/", headers={"A": "abc"}) == "value"
    assert route(rules, "/", headers={"A": "abd"}) == "longer"
    assert route(rules, "/", headers={"A": "axy"}) == "glob"
    assert route(rules[:3], "/", headers={"A": "axy"}) == "regex"
    assert route(rules, "/", headers={"A": "xyz"}) == "present"
    assert route(rules, "/") == "absent"


def test_regexes_for_one_header_go_by_id_and_not_by_place():
    rules = [
        rule("b", "/", headers={"A": {"match": "regex", "value": "a.*"}}),
        rule("a", "/", headers={"A": {"match": "regex", "value": ".*b"}}),
    ]
    assert route(rules, "/", headers={"A": "ab"}) == "a"


def test_headers_are_only_looked_at_when_a_condition_asks():
    table = RouteTable(
        [rule("plain", "/a"), rule("picky", "/b", headers={"X-Beta": "1"}), rule("query", "/c", query={"q": "1"})]
    )
    fields = Fields()
    for path in ("/a", "/c", "/nothing"):
        table.match("GET", "", path, "q=1", fields)
    assert fields.asked == []
    table.match("GET", "", "/b", "", fields)
    assert set(fields.asked) == {"x-beta"}


# Falling back to the less specific.


def test_more_specific_route_that_fails_leaves_the_request_to_the_next():
    rules = [
        rule("exact", "/users/me", methods=["DELETE"]),
        rule("tagged", "/users/:id", headers={"X-Tag": "1"}),
        rule("posts", "/users/:id/posts"),
        rule("other", "/:kind/:id", methods=["GET", "POST"]),
        rule("all", "/*", priority=-1),
    ]
    assert route(rules, "/users/me", "DELETE") == "exact"
    assert route(rules, "/users/me", "GET", headers={"X-Tag": "1"}) == "tagged"
    assert route(rules, "/users/me", "GET") == "other"
    assert route(rules, "/users/me", "PUT") == "all"
    assert route(rules, "/users/me/drafts") == "all"


def test_branch_that_leads_nowhere_is_left():
    rules = [rule("deep", "/a/b/c/d"), rule("wild", "/a/:x/c/e"), rule("wilder", "/:x/b/*"), rule("glob", "/a*/b/c/:y")]
    assert route(rules, "/a/b/c/d") == "deep"
    assert route(rules, "/a/b/c/e") == "wild"
    assert route(rules, "/a/b/c/f") == "glob"
    assert route(rules, "/a/b/d") == "wilder"
    assert route(rules, "/a/c/d") == Miss()


def test_regexes_are_tried_in_order_until_one_fits():
    rules = [
        rule("a", "/x/[a-z]+", "regex", methods=["GET"], headers={"A": "1"}),
        rule("b", "/x/.*", "regex"),
        rule("c", "/x/[a-z0-9]+", "regex", headers={"A": "1"}),
    ]
    assert route(rules, "/x/abc", headers={"A": "1"}) == "c"
    assert route(rules, "/x/abc") == "b"
    assert route(rules, "/x/-") == "b"
    assert route(rules, "/y") == Miss()


def test_of_two_regexes_the_longer_comes_first():
    assert route([rule("short", "/a.*", "regex"), rule("longer", "/a[b]+", "regex")], "/ab") == "longer"


def test_rank_within_a_regex_is_weighed_against_other_regexes():
    rules = [
        rule("tagged", "/a/.*b.*", "regex", headers={"A": "1"}, priority=2),
        rule("plain", "/a/.*b.*", "regex"),
        rule("between", "/a/.*", "regex", priority=1),
    ]
    assert route(rules, "/a/b") == "between"
    assert route(rules, "/a/b", headers={"A": "1"}) == "tagged"


# No route at all.


def test_no_match_is_a_404():
    assert route([rule("a", "/a")], "/b") == Miss(allowed=())
    assert route([], "/") == Miss()


def test_wrong_method_is_a_405_that_names_the_right_ones():
    rules = [
        rule("read", "/users/:id", methods=["GET"]),
        rule("write", "/users/*", methods=["PUT", "DELETE"]),
        rule("exact", "/users/me", methods=["POST"]),
        rule("regex", "/users/.*", "regex", methods=["PATCH"]),
    ]
    assert route(rules, "/users/me", "QUERY") == Miss(allowed=("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"))
    assert route(rules, "/users/7", "POST") == Miss(allowed=("DELETE", "GET", "HEAD", "PATCH", "PUT"))
    assert route(rules, "/other", "POST") == Miss()


def test_405_only_names_methods_that_would_have_matched():
    rules = [
        rule("picky", "/a", methods=["PUT"], headers={"X-Beta": "1"}),
        rule("hosted", "/a", methods=["POST"], hosts=("other.example",)),
        rule("plain", "/a", methods=["GET"]),
    ]
    assert route(rules, "/a", "DELETE") == Miss(allowed=("GET", "HEAD"))
    assert route(rules, "/a", "DELETE", headers={"X-Beta": "1"}) == Miss(allowed=("GET", "HEAD", "PUT"))
    assert route(rules, "/a", "DELETE", host="other.example") == Miss(allowed=("GET", "HEAD", "POST"))


def test_method_names_have_case():
    """RFC 9110 section 9.1."""
    assert route([rule("a", "/", methods=["GET"])], "/", "get") == Miss(allowed=("GET", "HEAD"))


# HEAD and what else is a GET.


def test_head_is_served_by_the_route_for_get():
    """RFC 9110 section 9.3.2."""
    rules = [rule("get", "/users/:id", methods=["GET"]), rule("all", "/*")]
    assert route(rules, "/users/7", "HEAD") == "get"


def test_route_that_names_head_comes_before_its_equal_for_get():
    rules = [rule("get", "/a", methods=["GET"]), rule("head", "/a", methods=["HEAD"])]
    assert route(rules, "/a", "HEAD") == "head"
    assert route(rules, "/a", "GET") == "get"
    assert route([rule("head", "/a", methods=["HEAD"])], "/a", "GET") == Miss(allowed=("HEAD",))


def test_pseudo_methods_are_gets_that_rules_may_name():
    rules = [rule("socket", "/live", methods=["WEBSOCKET"]), rule("page", "/live", methods=["GET"])]
    assert route(rules, "/live", "WEBSOCKET") == "socket"
    assert route(rules, "/live", "GET") == "page"
    assert route(rules, "/live", "SSE") == "page"
    assert route([rules[0]], "/live", "GET") == Miss()  # nobody could send what the rule is for


# Hosts.


def test_host_ignores_case_port_and_trailing_dot():
    rules = [rule("api", "/", hosts=("API.example.com",)), rule("v6", "/", hosts=("[2001:DB8::1]:8080",))]
    for host in (
        "api.example.com",
        "API.Example.COM",
        "api.example.com:8443",
        "api.example.com.",
        "api.example.com.:80",
    ):
        assert route(rules, "/", host=host) == "api"
    assert route(rules, "/", host="[2001:db8::1]") == "v6"
    assert route(rules, "/", host="[2001:db8::1]:443") == "v6"
    for host in ("example.com", "xapi.example.com", "api.example.com.evil", "", "[2001:db8::2]"):
        assert route(rules, "/", host=host) == Miss()


def test_wildcard_host_matches_below_the_domain():
    rules = [rule("wild", "/", hosts=("*.example.com",))]
    assert route(rules, "/", host="a.example.com") == "wild"
    assert route(rules, "/", host="a.b.example.com:80") == "wild"
    assert route(rules, "/", host="example.com") == Miss()
    assert route(rules, "/", host="badexample.com") == Miss()


def test_more_specific_host_comes_first_whatever_the_path():
    rules = [
        rule("name", "/*", hosts=("a.b.example.com",)),
        rule("longer", "/*", hosts=("*.b.example.com",)),
        rule("shorter", "/x/*", hosts=("*.example.com",)),
        rule("any", "/x/y"),
    ]
    assert route(rules, "/x/y", host="a.b.example.com") == "name"
    assert route(rules, "/x/y", host="c.b.example.com") == "longer"
    assert route(rules, "/x/y", host="c.example.com") == "shorter"
    assert route(rules, "/x/y", host="c.example.org") == "any"


def test_request_falls_back_to_less_specific_hosts():
    rules = [
        rule("name", "/a", hosts=("a.b.example.com",), methods=["PUT"]),
        rule("wild", "/b", hosts=("*.example.com",)),
        rule("any", "/*", methods=["GET"]),
    ]
    assert route(rules, "/a", host="a.b.example.com") == "any"
    assert route(rules, "/b", host="a.b.example.com") == "wild"
    assert route(rules, "/a", "POST", host="a.b.example.com") == Miss(allowed=("GET", "HEAD", "PUT"))


def test_priority_decides_before_the_host():
    rules = [
        rule("name", "/*", hosts=("a.example.com",)),
        rule("any", "/health", priority=1),
        rule("other", "/other"),
    ]
    assert route(rules, "/health", host="a.example.com") == "any"
    assert route(rules, "/other", host="a.example.com") == "name"


def test_route_for_several_hosts():
    rules = [rule("both", "/", hosts=("a.example", "*.b.example", "A.example:80")), rule("all", "/", hosts=("*",))]
    assert [route(rules, "/", host=host) for host in ("a.example", "x.b.example", "c.example")] == [
        "both",
        "both",
        "all",
    ]


@pytest.mark.parametrize("host", ["", "a.*", "*a.example", "a b", "-a", "a/b", "::1", "münchen.de", "*."])
def test_what_is_no_host_is_refused(host):
    with pytest.raises(ValueError, match="is not a host; write"):
        RouteTable([rule("a", "/", hosts=(host,))])


# The table itself.


def test_parameters_of_the_winner_are_returned_under_its_own_names():
    table = RouteTable(
        [rule("get", "/users/:id", methods=["GET"]), rule("put", "/users/{name}", methods=["PUT"]), rule("exact", "/x")]
    )
    assert table.match("GET", "", "/users/a%2Cb", "", Fields()) == ("get", {"id": "a,b"})
    assert table.match("PUT", "", "/users/a", "", Fields()) == ("put", {"name": "a"})
    assert table.match("PUT", "", "/x", "", Fields()) == ("exact", {})


def test_entries_are_listed_by_precedence():
    rules = [rule("all", "/*"), rule("one", "/a", hosts=("x.example", "y.example")), rule("first", "/:p", priority=1)]
    assert [entry.id for entry in RouteTable(rules).entries] == ["first", "one", "all"]


def test_target_may_be_anything():
    target: list[str] = []  # not hashable
    table = RouteTable([RouteEntry(id="a", pattern=parse_pattern("/"), target=target)])
    found = table.match("GET", "", "/", "", Fields())
    assert not isinstance(found, Miss)
    assert found[0] is target


def test_route_without_methods_is_refused():
    with pytest.raises(ValueError, match="route 'a' has no method"):
        RouteEntry(id="a", pattern=parse_pattern("/"), methods=frozenset(), target=None)


def test_asterisk_of_options_is_left_to_the_caller():
    assert route([rule("a", "/a/*")], "*", "OPTIONS") == Miss()
