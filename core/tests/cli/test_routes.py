from __future__ import annotations

import json
import re

ROUTES = """\
METHODS    HOST           PATH        CONDITIONS        SERVICE  BALANCER     TIMEOUT  POLICIES              ID     WHERE
*          files.example  /*                            files    round_robin  30s      cors, jwt (optional)  files  gateway.yaml:28:9
GET, POST  *              /users/:id                    users    round_robin  250ms    cors, jwt, ratelimit  user   gateway.yaml:14:9
*          *              /users/*    x-version: v1|v2  users    random       30s      cors, jwt (optional)  beta   gateway.yaml:23:9
"""  # noqa: E501 - tables are as wide as they are


def test_rules_are_listed_in_the_order_of_precedence(gateway, shop):
    listed = gateway("routes")
    assert (listed.code, listed.out, listed.err) == (0, ROUTES, "")


def test_columns_with_nothing_in_them_are_left_out(gateway, index):
    assert gateway("routes").out == (
        "METHODS  HOST  PATH  SERVICE  BALANCER     TIMEOUT  ID    WHERE\n"
        "*        *     /*    demo     round_robin  30s      demo  zero configuration of gateway-static\n"
    )


def test_everything_that_a_rule_asks_for_is_listed(gateway, index, write):
    write(
        """
        gateway:
          auth: {jwt: {secret: hush}}
          registry: {static: {services: [{name: s}]}}
          router:
            rules:
              - id: all
                path: ^/v\\d+$
                pathType: regex
                hosts: [a.example, b.example]
                headers: {X-Build: {match: regex, value: '\\d+'}, X-Beta: {present: false}, X-Trace: {present: true}}
                queryParams: {debug: {present: true}, page: '1'}
                priority: 7
                serviceName: s
                timeout: 0
                auth: {scopes: [write, read]}
        """
    )
    head, row = (re.split("  +", line) for line in gateway("routes").out.splitlines())
    assert dict(zip(head, row, strict=True)) == {
        "METHODS": "*",
        "HOST": "a.example, b.example",
        "PATH": r"regex: ^/v\d+$",
        "CONDITIONS": r"x-build ~ \d+, no x-beta, x-trace, ?debug, ?page=1",
        "PRIORITY": "7",
        "SERVICE": "s",
        "BALANCER": "round_robin",
        "TIMEOUT": "none",
        "POLICIES": "jwt, scopes(read, write)",
        "ID": "all",
        "WHERE": "gateway.yaml:6:9",
    }


def test_secrets_that_a_rule_asks_for_are_masked(gateway, index, write):
    write(
        """
        gateway:
          registry: {static: {services: [{name: s}]}}
          router:
            rules:
              - path: /*
                serviceName: s
                headers: {Authorization: Bearer hush, X-Api-Key: {match: regex, value: hush}, X-Token: {present: true}}
                queryParams: {token: hush}
        """
    )
    listed = gateway("routes").out
    assert "authorization: ***, x-api-key: ***, x-token, ?token=***" in listed
    for words in (["routes"], ["routes", "--json"], ["routes", "--match", "/"], ["explain", "/"], ["check", "--json"]):
        assert "hush" not in gateway(*words).out


def test_no_rules_are_said_to_be_none(gateway, index, write):
    write("gateway:\n  router: {rules: []}\n")
    assert gateway("routes").out == "There are no rules.\n"


def test_for_machines_the_rules_are_json(gateway, shop):
    files, user, beta = json.loads(gateway("routes", "--json").out)
    assert (files["hosts"], files["methods"]) == (["files.example"], None)
    assert user | {"policies": []} == {
        "id": "user",
        "where": "gateway.yaml:14:9",
        "methods": ["GET", "POST"],
        "hosts": [],
        "path": "/users/:id",
        "pathType": "template",
        "headers": [],
        "queryParams": [],
        "priority": 0,
        "service": "users",
        "protocol": "http",
        "balancer": "round_robin",
        "timeout": 0.25,
        "auth": {"required": True, "scopes": [], "skip": False, "skipPaths": []},
        "policies": [],
    }
    assert [(policy["stage"], policy["name"]) for policy in user["policies"]] == [
        ("edge", "cors"),
        ("authenticate", "jwt"),
        ("limit", "ratelimit"),
    ]
    assert beta["headers"] == [{"name": "x-version", "present": True, "values": ["v1", "v2"], "regex": None}]


def test_a_wrong_configuration_is_told_not_listed(gateway, index, write):
    write("gateway:\n  routr: {}\n")
    listed = gateway("routes", "--json")
    assert (listed.code, listed.out) == (2, "")
    assert "did you mean 'router'?" in listed.err


# Which rule a request gets.


def test_match_says_which_rule_it_is_and_why_others_are_not(gateway, shop):
    matched = gateway("routes", "--match", "GET http://shop.example//users/7", "-H", "X-Version: v1")
    assert (matched.code, matched.err) == (0, "")
    assert matched.out == (
        "/users/7 gets user (gateway.yaml:14:9)\n"
        "\n"
        "RULE   PATH        WHY NOT                                                  WHERE\n"
        "files  /*          host is not files.example                                gateway.yaml:28:9\n"
        "user   /users/:id  -                                                        gateway.yaml:14:9\n"
        "beta   /users/*    matches too, but user comes first: a more specific path  gateway.yaml:23:9\n"
    )


def test_match_says_what_a_request_lacks(gateway, shop):
    matched = gateway("routes", "--match", "PUT /users/7")
    assert matched.code == 1
    assert matched.out == (
        "/users/7 gets no rule: 405: no rule is for this method; allowed are GET, HEAD, POST\n"
        "\n"
        "RULE   PATH        WHY NOT                    WHERE\n"
        "files  /*          host is not files.example  gateway.yaml:28:9\n"
        "user   /users/:id  method is not GET or POST  gateway.yaml:14:9\n"
        "beta   /users/*    not x-version: v1|v2       gateway.yaml:23:9\n"
    )


def test_match_takes_get_where_no_method_is_written(gateway, shop):
    assert gateway("routes", "--match", "/users/7").out.startswith("/users/7 gets user ")


def test_match_tells_a_path_that_is_refused(gateway, shop):
    matched = gateway("routes", "--match", "GET /users/%2e%2e/x")
    assert matched.code == 1
    assert matched.out.startswith("This gets no rule: 400: the path is malformed: ")


def test_match_tells_what_is_the_gateways_own(gateway, shop):
    matched = gateway("routes", "--match", "GET /_gateway/health")
    assert matched.code == 1
    assert matched.out == "/_gateway/health gets no rule: everything below /_gateway is the gateway's own\n"


def test_match_for_machines(gateway, shop):
    data = json.loads(gateway("routes", "--json", "--match", "GET http://files.example:80/a/b").out)
    assert (data["rule"], data["where"], data["status"]) == ("files", "gateway.yaml:28:9", None)
    assert data["params"] == {"*": "a/b"}
    assert data["rules"][1] == {"id": "user", "matches": False, "reasons": ["another path"]}
    data = json.loads(gateway("routes", "--json", "--match", "GET /nowhere").out)
    assert (data["rule"], data["status"], data["reason"]) == (None, 404, "no rule matches")


RANKED = """
    gateway:
      registry: {static: {services: [{name: s}]}}
      router:
        rules:
          - {id: first, path: /*, serviceName: s, priority: 1}
          - {id: named, path: /a, serviceName: s, host: a.example}
          - {id: wild, path: /a, serviceName: s, host: '*.example'}
          - {id: asks, path: /a, serviceName: s, methods: [GET]}
          - {id: other, path: /a, serviceName: s, queryParams: {x: 1}, host: b.example}
"""


def test_match_names_what_decides(gateway, index, write):
    write(RANKED)
    out = gateway("routes", "--match", "GET http://a.example/a").out
    assert "/a gets first " in out
    assert out.count("matches too, but first comes first: a higher priority") == 3
    assert "host is not b.example; not ?x=1" in out
    write(RANKED.replace("priority: 1", "priority: -1"))
    out = gateway("routes", "--match", "GET http://a.example/a").out
    assert out.count("matches too, but named comes first: a more specific host") == 2
    assert "a higher priority" in out


def test_of_many_rules_only_those_for_the_path_are_listed(gateway, index, write):
    rules = "".join(f"      - {{id: r{number}, path: /p{number}, serviceName: s}}\n" for number in range(1200))
    write(f"gateway:\n  registry: {{static: {{services: [{{name: s}}]}}}}\n  router:\n    rules:\n{rules}")
    out = gateway("routes", "--match", "GET /p7").out
    assert out.splitlines()[2:] == [
        "RULE  PATH  WHY NOT  WHERE",
        "r7    /p7   -        gateway.yaml:12:9",
        "... and 1,199 rules for other paths",
    ]


def test_a_request_that_is_none_is_a_mistake(gateway, shop):
    for request in ("GET nowhere", " ", "G@T /", "GET"):
        told = gateway("routes", "--match", request)
        assert (told.code, told.out) == (2, "")
        assert len(told.err.splitlines()) == 1
    for field in ("no colon", "no name: x", "x: line\nbreak"):
        told = gateway("routes", "--match", "/", "-H", field)
        assert told.code == 2
        assert "is not a header field" in told.err
        assert len(told.err.splitlines()) == 1
