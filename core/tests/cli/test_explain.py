from __future__ import annotations

import json
import re

import pytest

LIVE = """
    from gateway import ConnectorRegistration

    class Carried:
        def over(self, carrier):
            return carrier

    websocket = ConnectorRegistration(
        name="websocket", protocol="websocket", upgrades=("websocket",), over="http", default_on=True,
        pseudo_methods={"WEBSOCKET": lambda request: request.upgrade == "websocket"},
        build=lambda config, context: Carried(),
    )
    sse = ConnectorRegistration(
        name="sse", protocol="sse", over="http", default_on=True,
        pseudo_methods={"SSE": lambda request: "text/event-stream" in (request.headers.get("accept") or "")},
        build=lambda config, context: Carried(),
    )
    odd = ConnectorRegistration(
        name="odd", protocol="odd", over="http", default_on=True, pseudo_methods={"ODD": lambda request: 1 // 0},
        build=lambda config, context: Carried(),
    )
"""

EXPLAINED = """\
request      GET shop.example//users/./7
path         /users/7
rule         user (gateway.yaml:14:9)
pattern      /users/:id
captured     id=7
forwarded    /7
service      users (http)
host field   that of the client
timeout      250ms
credentials  required

STAGE         POLICY       PLUGIN             SETTING         VALUE                     FROM
edge          cors         gateway-cors       allowedOrigins  ["https://shop.example"]  gateway.yaml:3:5
                                              maxAge          60                        gateway.yaml:22:16
authenticate  jwt          gateway-jwt                        required
                                              secret          ***                       gateway.yaml:6:7
limit         ratelimit    gateway-ratelimit  rate            100                       gateway.yaml:20:9
balancer      round_robin  gateway-balancers
(settings that nobody wrote: 9; --defaults shows them)

STAGE         POLICY  DECISION     REASON                   TIME  FROM
authenticate  auth    refused 401  authentication required  # ms  gateway.yaml:5:5
In the end answered 401 by the gateway.
"""


def untimed(text):
    """Replace the times that policies took, and the width that they have."""
    return re.sub(r"TIME +FROM", "TIME  FROM", re.sub(r"\d+\.\d\d ms +", "# ms  ", text))


def test_a_request_is_explained_with_the_settings_and_where_they_come_from(gateway, shop):
    explained = gateway("explain", "get", "http://me:secret@shop.example//users/./7?token=hush")
    assert (explained.code, explained.err) == (0, "")
    assert untimed(explained.out) == EXPLAINED


def test_settings_that_nobody_wrote_are_shown_if_they_are_asked_for(gateway, shop):
    said = gateway("explain", "/users/7", "--defaults").out
    assert len(re.findall(r" default$", said, re.MULTILINE)) == 9
    assert re.search(r"^limit +ratelimit +gateway-ratelimit +key +client +default$", said, re.MULTILINE)
    assert "nobody wrote" not in said


def test_the_method_may_be_left_out(gateway, shop):
    assert gateway("explain", "/users/7").out.startswith("request      GET /users/7\n")


def test_settings_from_the_environment_and_of_other_spellings_say_so(gateway, index, write, monkeypatch):
    write(
        """
        gateway:
          cors: {allowOrigins: [https://shop.example]}
          registry: {static: {services: [{name: s}]}}
          router: {rules: [{path: /*, serviceName: s}]}
        """
    )
    monkeypatch.setenv("GATEWAY__CORS__MAX_AGE", "5")
    data = json.loads(gateway("explain", "--json", "/").out)
    [step] = data["pipeline"]
    assert step["components"][0]["settings"] == {
        "allowedOrigins": {"value": ["https://shop.example"], "where": "gateway.yaml:2:3"},
        "maxAge": {"value": 5, "where": "GATEWAY__CORS__MAX_AGE"},
    }


def test_secrets_are_masked_for_machines_too(gateway, shop):
    explained = gateway("explain", "--json", "/users/7")
    data = json.loads(explained.out)
    assert "hush" not in explained.out
    assert data["pipeline"][1]["components"][0]["settings"]["secret"] == {"value": "***", "where": "gateway.yaml:6:7"}


def test_for_machines_it_is_json(gateway, shop):
    data = json.loads(gateway("explain", "--json", "GET", "/users/7").out)
    assert (data["path"], data["forwardedPath"], data["params"]) == ("/users/7", "/7", {"id": "7"})
    assert (data["rule"]["id"], data["rule"]["where"], data["service"]) == ("user", "gateway.yaml:14:9", "users")
    assert [(step["stage"], step["name"]) for step in data["pipeline"]] == [
        ("edge", "cors"),
        ("authenticate", "jwt"),
        ("limit", "ratelimit"),
    ]
    assert data["balancer"]["name"] == "round_robin"


def test_where_no_rule_matches_the_edge_policies_run(gateway, shop):
    explained = gateway("explain", "GET", "http://shop.example/nowhere")
    assert explained.code == 1
    assert explained.out == (
        "request  GET shop.example/nowhere\n"
        "path     /nowhere\n"
        "answer   404: no rule matches\n"
        "\n"
        "STAGE  POLICY  PLUGIN        SETTING         VALUE                     FROM\n"
        'edge   cors    gateway-cors  allowedOrigins  ["https://shop.example"]  gateway.yaml:3:5\n'
        "(settings that nobody wrote: 1; --defaults shows them)\n"
    )


def test_a_method_that_no_rule_is_for_gets_405_with_those_that_are(gateway, shop):
    data = json.loads(gateway("explain", "--json", "PUT", "/users/7").out)
    assert (data["status"], data["allowed"], data["rule"]) == (405, ["GET", "HEAD", "POST"], None)


def test_the_gateways_own_endpoints_are_said_to_be_so(gateway, shop):
    explained = gateway("explain", "/_gateway/health")
    assert explained.code == 1
    assert "answer   everything below /_gateway is the gateway's own\n" in explained.out


def test_a_malformed_path_is_refused(gateway, shop):
    explained = gateway("explain", "GET", "/a b")
    assert explained.code == 1
    assert "400: the path is malformed: ' ' may not stand in a path" in explained.out


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ([], "plain"),
        (["Upgrade: websocket"], "socket"),
        (["Accept: text/event-stream"], "stream"),
        (["Host: other.example"], "other"),
    ],
)
def test_header_fields_decide_as_they_would(gateway, index, write, fields, rule):
    index.install("gateway-live", LIVE)
    write(
        """
        gateway:
          registry: {static: {services: [{name: s}]}}
          router:
            rules:
              - {id: plain, path: /*, serviceName: s}
              - {id: socket, path: /*, serviceName: s, methods: [WEBSOCKET]}
              - {id: stream, path: /*, serviceName: s, methods: [SSE]}
              - {id: other, path: /*, serviceName: s, host: other.example}
        """
    )
    words = [word for field in fields for word in ("-H", field)]
    data = json.loads(gateway("explain", "--json", "GET", "http://shop.example/x", *words).out)
    assert data["rule"]["id"] == rule


def test_a_plugin_that_cannot_tell_is_named_as_the_reason(gateway, index, write):
    index.install("gateway-live", LIVE)
    write(
        """
        gateway:
          registry: {static: {services: [{name: s}]}}
          router: {rules: [{path: /*, serviceName: s, methods: [ODD]}]}
        """
    )
    explained = gateway("explain", "GET", "/")
    assert explained.code == 1
    assert "500: a plugin's pseudo method raised ZeroDivisionError" in explained.out
    assert gateway("explain", "POST", "/").code == 1


def test_what_is_exempt_is_said_to_be_so(gateway, index, write):
    write(
        """
        gateway:
          auth: {required: true, skipPaths: [/open], requiredScopes: [read], jwt: {secret: hush}}
          registry: {static: {services: [{name: s}]}}
          router: {rules: [{path: /*, serviceName: s, preserveHost: false, allowUpgrade: true}]}
        """
    )
    out = gateway("explain", "/open/door").out
    assert "credentials  not asked for on this path\n" in out
    assert "not asked for below /open" in out
    assert "upgrades     websocket\n" in out
    assert "host field   that of the instance\n" in out
    assert "authorize     scopes(read)  core" in out
    assert "credentials  required\n" in gateway("explain", "/closed").out


def test_a_policy_that_may_be_left_out_is_marked(gateway, index, write):
    write(
        """
        gateway:
          cors: {onError: allow}
          registry: {static: {services: [{name: s}]}}
          router: {rules: [{path: /*, serviceName: s}]}
        """
    )
    assert "left out when it fails" in gateway("explain", "/").out


def test_types_that_json_does_not_know_are_shown_as_text(gateway, index, write):
    index.install(
        "gateway-odd",
        """
        from pydantic import ConfigDict

        from gateway import Config, PolicyRegistration

        class Thing:
            def __str__(self):
                return "a thing"

        class Odd(Config):
            model_config = ConfigDict(arbitrary_types_allowed=True)
            thing: Thing = Thing()

        class Policy:
            def wrap(self, next, route):
                return next

        odd = PolicyRegistration(name="odd", config=Odd, default_on=True, build=lambda config, context: Policy())
        """,
    )
    write(
        """
        gateway:
          registry: {static: {services: [{name: s}]}}
          router: {rules: [{path: /*, serviceName: s}]}
        """
    )
    assert '"a thing"' in gateway("explain", "--defaults", "/").out
    assert '"a thing"' in gateway("explain", "--json", "/").out
