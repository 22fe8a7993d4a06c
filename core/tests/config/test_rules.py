"""What a rule says of its requests, its service and its id."""

from __future__ import annotations

import pytest

from gateway.config.matching import name_rule
from gateway.config.model import RuleConfig


def test_a_rule_without_an_id_is_named_for_what_it_matches(load):
    rules = """\
      - {path: /a, serviceName: users, methods: [get, post]}
      - {path: /a, serviceName: users, host: example.org}
      - {path: /a, serviceName: users, hosts: [a.org, b.org], methods: PUT}
      - {path: /a, serviceName: users, id: "", headers: {x: a}}
      - {path: /a, serviceName: users, headers: {x: b}}
"""
    assert [rule.rule.id for rule in load(load.one_rule + rules).rules] == [
        "/*",
        "GET,POST /a",
        "example.org/a",
        "PUT a.org,b.org/a",
        "/a",
        "/a#2",
    ]


def test_a_made_id_keeps_away_from_given_ones():
    taken = {"/a", "/a#2"}
    assert name_rule(RuleConfig(path="/a"), taken) == "/a#3"
    assert name_rule(RuleConfig(path="/a"), taken) == "/a#4"


def test_a_given_id_further_down_is_not_taken(load):
    (first, second) = load(load.one_rule + "      - {id: /*, path: /b, serviceName: users}\n").rules
    assert (first.route.id, second.route.id) == ("/*#2", "/*")


def test_an_id_may_be_a_number(load):
    assert load.rule("  id: 007").route.id == "007"


def test_duplicate_ids(load):
    rules = "        id: a\n      - {id: a, path: /b, serviceName: users}\n"
    assert load.problems(load.one_rule + rules) == [
        (
            "gateway.yaml:12:14: gateway.router.rules[1].id: the id 'a' is taken by the rule at gateway.yaml:9:9; "
            "give each rule its own"
        )
    ]


def test_conflicting_rules_are_both_named(load):
    rules = "        id: a\n      - {id: b, path: /*, serviceName: users}\n"
    (problem,) = load.problems(load.one_rule + rules)
    assert problem.startswith("gateway.yaml:12:9: gateway.router.rules[1]: routes 'a' and 'b' share the path '/*'; ")
    assert problem.endswith("; the other stands at gateway.yaml:9:9")


def test_everything_a_rule_matches(load, index):
    index.add("websocket")
    matches = load.rule(
        """\
        methods: [get, WebSocket]
        hosts: ["*.example.org"]
        host: EXAMPLE.org
        headers: {X-Version: v1}
        queryParams: {debug: {present: true}}
        priority: 7
        """
    ).matches
    assert matches.methods == {"GET", "WEBSOCKET"}
    assert matches.canonical_hosts == ("example.org", "*.example.org")
    assert [condition.name for condition in (*matches.headers, *matches.query)] == ["x-version", "debug"]
    assert (matches.priority, matches.target) == (7, 0)


def test_an_entry_leads_wherever_it_is_asked_to(load):
    rule = load.rule("  priority: 3")
    entry = rule.entry("target")
    assert (entry.target, entry.id, entry.priority, entry.pattern) == ("target", "/*", 3, rule.matches.pattern)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        (
            "methods: []",
            "18: methods: the list of methods is empty; leave it out to allow them all",
        ),
        ("methods: [GE T]", "18: methods: 'GE T' is not a method; write one such as GET"),
        (
            "pathType: glob",
            "19: pathType: 'glob' is not one of 'template', 'exact', 'prefix' or ",
        ),
        (
            "hosts: [a b]",
            "16: hosts: 'a b' is not a host; write 'example.com', '*.example.com' or",
        ),
        (
            "host: a/b",
            "15: host: 'a/b' is not a host; write 'example.com', '*.example.com' or '*'",
        ),
        ("headers: {x: []}", "18: headers: 'x': the list of values is empty; write one, or "),
        (
            "queryParams: [a]",
            "22: queryParams: 'a' has no name; write '- {name: X-Version, value:",
        ),
        ("stripPrefix: api", "22: stripPrefix: 'api' is not a path; begin it with '/'"),
        ("addPrefix: a", "20: addPrefix: 'a' is not a path; begin it with '/'"),
        (
            "addPrefix: '/a b'",
            "20: addPrefix: ' ' may not stand in a path unless percent-encoded",
        ),
        ("priority: high", "19: priority: 'high' is not a whole number; write digits only"),
        (
            "authRequired: maybe",
            "23: authRequired: 'maybe' is not true or false; write one of these",
        ),
    ],
)
def test_keys_of_a_rule_that_are_wrong(load, keys, problem):
    (found,) = load.problems(f"{load.one_rule}        {keys}\n")
    column, _, message = problem.partition(": ")
    assert found.startswith(f"gateway.yaml:11:{column}: gateway.router.rules[0].{message}")


def test_a_rule_without_a_path(load):
    assert load.problems("gateway: {router: {rules: [{serviceName: a}]}}")[0] == (
        "gateway.yaml:1:28: gateway.router.rules[0].path: the key is missing; write 'path: ...' here"
    )


def test_what_plugins_read_of_a_wrong_rule_is_checked_all_the_same(load, index):
    index.add("ratelimit")
    assert len(load.problems(load.one_rule + "        priority: high\n        rateLimit: many\n")) == 2


# Paths.


@pytest.mark.parametrize(
    ("keys", "path", "forwarded"),
    [
        ("", "/a/b", None),
        ("stripPrefix: true", "/a/b", "/b"),
        ("stripPrefix: true", "/a", "/"),
        ("stripPrefix: /a/b", "/a/b/c", "/c"),
        ("addPrefix: /v1", "/a/b", "/v1/a/b"),
        ("stripPrefix: true\n  addPrefix: /v1", "/a/b", "/v1/b"),
    ],
)
def test_paths_are_rewritten(load, keys, path, forwarded):
    text = load.one_rule.replace("/*", "/a/*") + "".join(f"        {key.strip()}\n" for key in keys.splitlines())
    rewrite = load(text).rules[0].rewrite
    assert (rewrite(path) if rewrite is not None else None) == forwarded


def test_stripping_nothing_is_a_warning(load):
    assert load.warnings(load.one_rule + "        stripPrefix: true\n") == [
        (
            "gateway.yaml:11:9: gateway.router.rules[0].stripPrefix: has no effect, because nothing stands before the "
            "first wildcard"
        )
    ]


# Upgrades and hosts.


@pytest.mark.parametrize(
    ("keys", "allowed"),
    [
        ("", set()),
        ("allowUpgrade: true", {"websocket"}),
        ("allowUpgrade: false", set()),
        ("allowUpgrade: [H2C, WebSocket]", {"h2c", "websocket"}),
        ("methods: [WEBSOCKET]", {"websocket"}),
        ("protocol: websocket", {"websocket"}),
        ("protocol: websocket\nallowUpgrade: false", set()),
        ("protocol: sse", set()),
        ("methods: [SSE]", set()),
        ("methods: [WEBSOCKET]\nallowUpgrade: false", set()),
    ],
)
def test_upgrades_that_are_allowed(load, index, keys, allowed):
    index.add("websocket", "sse")
    assert load.rule(keys).route.allow_upgrade == allowed


def test_a_pseudo_method_whose_plugin_is_missing(load):
    """As a method it would match no request ever."""
    (problem,) = load.problems(load.one_rule + "        methods: [GET, websocket]\n")
    assert problem == (
        "gateway.yaml:11:18: gateway.router.rules[0].methods: no installed plugin provides the pseudo method "
        "'WEBSOCKET'; it ships in gateway-websocket:  pip install 'gateway[websocket]'"
    )


def test_other_methods_are_nobodys(load):
    assert load.rule("methods: [PURGE]").matches.methods == {"PURGE"}


def test_a_route_as_policies_see_it(load):
    route = load.rule("metadata: {team: a}\npreserveHost: false").route
    assert (route.service, route.protocol, route.preserve_host, route.metadata) == (
        "users",
        "http",
        False,
        {"team": "a"},
    )


# Time-outs.


@pytest.mark.parametrize(
    ("gateway", "keys", "timeout_s"),
    [
        ("", "", 30.0),
        ("", "timeout: 10", 10.0),
        ("", "timeout: 1m30s", 90.0),
        ("", "timeout: 0", None),
        ("", "timeout:", 30.0),
        ("  backend: {http: {responseHeaderTimeout: 5}}\n", "", 5.0),
        ("  backend: {http: {responseHeaderTimeout: 5}}\n", "timeout: 7", 7.0),
        ("  backend: {http: {responseHeaderTimeout: 0}}\n", "", None),
    ],
)
def test_how_long_an_instance_may_take(load, gateway, keys, timeout_s):
    (rule,) = load(f"{load.one_rule}        {keys}\n{gateway}").rules
    assert rule.route.timeout_s == timeout_s
