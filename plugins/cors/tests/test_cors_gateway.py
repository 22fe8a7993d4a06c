"""CORS through a whole gateway, as a browser meets it."""

import pytest

from gateway.errors import ConfigurationError
from gateway.testing import Reply
from gateway_cors.config import CorsConfig
from gateway_cors.policy import MAX_REMEMBERED, CorsPolicy

pytestmark = pytest.mark.anyio

SHOP = "https://shop.example"
EVIL = "https://evil.example"


def asking(method="PUT", origin=SHOP, **fields):
    """Return the fields of a preflight."""
    asked = {"origin": origin, "access-control-request-method": method}
    return asked | {name.replace("_", "-"): value for name, value in fields.items()}


def cors_fields(answer):
    return {name: value for name, value in answer.fields if name.startswith("access-control-")}


async def test_a_preflight_is_answered_and_never_reaches_the_service(gateway_factory, upstream):
    gateway = await gateway_factory({"cors": {}}, upstream=upstream)
    answer = await gateway.ask(
        "OPTIONS", "/", headers=asking(access_control_request_headers="Content-Type, X-Custom,authorization")
    )
    assert (answer.status, answer.body) == (204, b"")
    assert cors_fields(answer) == {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
        "access-control-allow-headers": "content-type, x-custom, authorization",
        "access-control-max-age": "86400",
    }
    assert answer["vary"] == "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    assert not upstream.requests


async def test_an_answer_may_be_read_by_allowed_origins(gateway_factory, upstream):
    gateway = await gateway_factory(
        {"cors": {"allowedOrigins": [SHOP], "exposedHeaders": ["X-Total", "X-Page"]}}, upstream=upstream
    )
    answer = await gateway.ask("GET", "/", headers={"origin": SHOP})
    assert cors_fields(answer) == {
        "access-control-allow-origin": SHOP,
        "access-control-expose-headers": "X-Total, X-Page",
    }
    assert answer["vary"] == "Origin"
    assert answer.text == "ok"


@pytest.mark.parametrize("origin", [EVIL, "null", "https://shop.example.evil.example", "", None])
async def test_an_answer_may_be_read_by_nobody_else(gateway_factory, upstream, origin):
    """The answer depends on the origin also where there is none: a cache must know that (Fetch standard, 3.2.6)."""
    gateway = await gateway_factory({"cors": {"allowedOrigins": [SHOP]}}, upstream=upstream)
    answer = await gateway.ask("GET", "/", headers={} if origin is None else {"origin": origin})
    assert (answer.status, cors_fields(answer), answer["vary"]) == (200, {}, "Origin")


async def test_a_preflight_of_another_origin_is_told_nothing(gateway_factory, upstream):
    gateway = await gateway_factory({"cors": {"allowedOrigins": [SHOP]}}, upstream=upstream)
    answer = await gateway.ask("OPTIONS", "/", headers=asking(origin=EVIL))
    assert (answer.status, cors_fields(answer)) == (204, {})
    assert "Origin" in answer["vary"]
    assert not upstream.requests


async def test_credentials(gateway_factory, upstream):
    """With credentials browsers take ``*`` literally, so everything is named (Fetch standard, 3.2.5)."""
    cors = {"allowedOrigins": [SHOP], "allowCredentials": True, "allowedMethods": ["*"]}
    gateway = await gateway_factory({"cors": cors}, upstream=upstream)
    answer = await gateway.ask("OPTIONS", "/", headers=asking("PURGE", access_control_request_headers="x-one"))
    assert cors_fields(answer) == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "PURGE",
        "access-control-allow-headers": "x-one",
        "access-control-max-age": "86400",
    }
    answer = await gateway.ask("GET", "/", headers={"origin": SHOP})
    assert cors_fields(answer) == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-credentials": "true",
    }


async def test_credentials_for_everybody_refuse_the_start(gateway_factory, upstream):
    with pytest.raises(ConfigurationError, match="allowCredentials needs origins that are named"):
        await gateway_factory({"cors": {"allowCredentials": True}}, upstream=upstream)
    with pytest.raises(ConfigurationError, match="allowCredentials needs origins that are named"):
        await gateway_factory({"cors": {}}, upstream=upstream, rule={"cors": {"allowCredentials": True}})


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        (asking("DELETE"), "access-control-allow-methods"),
        (asking("put"), "access-control-allow-methods"),  # methods have a case (RFC 9110 section 9.1)
        (asking(access_control_request_headers="x-one, x-three"), "access-control-allow-headers"),
        (asking(access_control_request_headers="x-one; x-two"), "access-control-allow-headers"),
        (asking(access_control_request_headers=","), "access-control-allow-headers"),
    ],
)
async def test_what_is_not_allowed_is_not_said(gateway_factory, upstream, asked, missing):
    cors = {"allowedOrigins": [SHOP], "allowedMethods": ["get", "PUT"], "allowedHeaders": ["X-One", "X-Two"]}
    gateway = await gateway_factory({"cors": cors}, upstream=upstream)
    fine = await gateway.ask("OPTIONS", "/", headers=asking(access_control_request_headers="X-TWO, x-one"))
    assert fine["access-control-allow-methods"] == "GET, PUT"
    assert fine["access-control-allow-headers"] == "x-two, x-one"
    answer = await gateway.ask("OPTIONS", "/", headers=asked)
    assert answer.status == 204
    assert missing not in answer


async def test_names_of_fields_may_come_in_several_lines(gateway_factory, upstream):
    gateway = await gateway_factory({"cors": {"allowedHeaders": ["x-one"]}}, upstream=upstream)
    lines = [("access-control-request-headers", "x-one"), ("access-control-request-headers", "x-two")]
    answer = await gateway.ask("OPTIONS", "/", headers=[*asking().items(), *lines])
    assert "access-control-allow-headers" not in answer


async def test_a_private_network_is_opened_only_if_asked(gateway_factory, upstream):
    asked = asking(access_control_request_private_network="true")
    closed = await gateway_factory({"cors": {}}, upstream=upstream)
    assert "access-control-allow-private-network" not in await closed.ask("OPTIONS", "/", headers=asked)
    opened = await gateway_factory({"cors": {"allowPrivateNetwork": True}}, upstream=upstream)
    answer = await opened.ask("OPTIONS", "/", headers=asked)
    assert answer["access-control-allow-private-network"] == "true"
    assert answer["vary"].endswith("Access-Control-Request-Private-Network")
    assert "access-control-allow-private-network" not in await opened.ask("OPTIONS", "/", headers=asking())


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": SHOP}, {"access-control-request-method": "PUT"}],
)
async def test_other_options_requests_reach_the_service(gateway_factory, upstream, headers):
    gateway = await gateway_factory({"cors": {}}, upstream=upstream)
    assert (await gateway.ask("OPTIONS", "/", headers=headers)).text == "ok"
    assert [request.method for request in upstream.requests] == ["OPTIONS"]


async def test_preflights_may_be_passed_on(gateway_factory, upstream):
    upstream.answer = lambda request: Reply(200, headers={"access-control-allow-origin": "*", "x-here": "yes"})
    cors = {"allowedOrigins": [SHOP], "optionsPassthrough": True}
    gateway = await gateway_factory({"cors": cors}, upstream=upstream)
    answer = await gateway.ask("OPTIONS", "/", headers=asking())
    assert (answer.status, answer["x-here"]) == (200, "yes")
    assert answer["access-control-allow-origin"] == SHOP
    assert "PUT" in answer["access-control-allow-methods"]


async def test_status_and_age_are_as_configured(gateway_factory, upstream):
    cors = {"optionsSuccessStatus": 200, "maxAge": "10m"}
    gateway = await gateway_factory({"cors": cors}, upstream=upstream)
    answer = await gateway.ask("OPTIONS", "/", headers=asking())
    assert (answer.status, answer["access-control-max-age"]) == (200, "600")
    gateway = await gateway_factory({"cors": {"maxAge": 0}}, upstream=upstream)
    assert "access-control-max-age" not in await gateway.ask("OPTIONS", "/", headers=asking())


async def test_the_service_has_no_say(gateway_factory, upstream):
    """Two opinions make a browser refuse, and one of the service's would open what the gateway keeps closed."""
    upstream.answer = lambda request: Reply(
        headers=[
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Expose-Headers", "x-secret"),
            ("Vary", "Accept-Encoding"),
        ]
    )
    gateway = await gateway_factory({"cors": {"allowedOrigins": [SHOP]}}, upstream=upstream)
    answer = await gateway.ask("GET", "/", headers={"origin": SHOP})
    assert cors_fields(answer) == {"access-control-allow-origin": SHOP}
    assert answer.get("vary") == "Accept-Encoding, Origin"
    assert not cors_fields(await gateway.ask("GET", "/", headers={"origin": EVIL}))


async def test_errors_may_be_read_too(gateway_factory, upstream):
    """A page that may not read an error shows its user a network failure instead of what is wrong."""
    gateway = await gateway_factory(
        {"cors": {"allowedOrigins": [SHOP]}}, upstream=upstream, rule={"path": "/api/*", "methods": ["GET"]}
    )
    headers = {"origin": SHOP}
    for method, path, status in [("GET", "/nothing", 404), ("POST", "/api/1", 405), ("GET", "/%zz", 400)]:
        answer = await gateway.ask(method, path, headers=headers)
        assert (answer.status, answer.get("access-control-allow-origin")) == (status, SHOP)
    await upstream.stop()
    answer = await gateway.ask("GET", "/api/1", headers=headers)
    assert (answer.status, answer["access-control-allow-origin"]) == (502, SHOP)


async def test_nobody_asks_a_preflight_for_credentials(gateway_factory, upstream, tmp_path):
    """Browsers send none with a preflight (Fetch standard, 3.2.5); a refusal must be readable all the same."""
    plugin = tmp_path / "doorman.py"
    plugin.write_text(
        "from gateway import Principal, Request, authenticator\n\n\n"
        "@authenticator(challenge='Door')\n"
        "async def doorman(request: Request) -> Principal | None:\n"
        "    return None\n"
    )
    gateway = await gateway_factory(
        {"cors": {"allowedOrigins": [SHOP]}, "auth": {"required": True, "providers": ["doorman"]}},
        upstream=upstream,
        plugin_files=[plugin],
    )
    assert (await gateway.ask("OPTIONS", "/", headers=asking())).status == 204
    answer = await gateway.ask("PUT", "/", headers={"origin": SHOP})
    assert (answer.status, answer["access-control-allow-origin"]) == (401, SHOP)


@pytest.mark.parametrize("rule_cors", [None, {"allowedOrigins": [SHOP]}])
async def test_rules_need_not_name_options(gateway_factory, upstream, rule_cors):
    """A rule for some methods gets preflights for these, wherever its block stands."""
    gateway_cors = {"allowedOrigins": [SHOP]} if rule_cors is None else {"enabled": False}
    gateway = await gateway_factory(
        {"cors": gateway_cors},
        upstream=upstream,
        rule={"methods": ["PUT"], **({"cors": {"enabled": True, **rule_cors}} if rule_cors else {})},
    )
    answer = await gateway.ask("OPTIONS", "/", headers=asking("PUT"))
    assert (answer.status, answer.get("access-control-allow-origin")) == (204, SHOP)
    assert (await gateway.ask("OPTIONS", "/")).status == 405
    assert not upstream.requests


async def test_rules_differ(gateway_factory, upstream):
    gateway = await gateway_factory(
        {
            "cors": {"allowedOrigins": [SHOP], "maxAge": 5},
            "router": {
                "rules": [
                    {"path": "/open/*", "serviceName": "service", "cors": {"allowedOrigins": ["*"]}},
                    {"path": "/off/*", "serviceName": "service", "cors": {"enabled": False}},
                    {"path": "/*", "serviceName": "service"},
                ]
            },
        },
        upstream=upstream,
    )
    opened = await gateway.ask("OPTIONS", "/open/1", headers=asking(origin=EVIL))
    assert (opened["access-control-allow-origin"], opened["access-control-max-age"]) == ("*", "5")
    assert not cors_fields(await gateway.ask("OPTIONS", "/", headers=asking(origin=EVIL)))
    off = await gateway.ask("OPTIONS", "/off/1", headers=asking())
    assert (off.status, cors_fields(off)) == (200, {})
    assert "vary" not in off
    assert [request.target for request in upstream.requests] == ["/off/1"]


@pytest.mark.parametrize(
    "block",
    [
        {"cors": {"allowOrigins": [SHOP], "allowMethods": ["PUT"], "allowHeaders": ["x-a"], "exposeHeaders": ["x-b"]}},
        {"middleware": {"cors": {"allowedOrigins": [SHOP], "allowedMethods": ["PUT"], "allowedHeaders": ["x-a"]}}},
    ],
)
async def test_other_spellings(gateway_factory, upstream, block):
    gateway = await gateway_factory(block, upstream=upstream)
    answer = await gateway.ask("OPTIONS", "/", headers=asking(access_control_request_headers="x-a"))
    assert answer["access-control-allow-origin"] == SHOP
    assert answer["access-control-allow-methods"] == "PUT"
    assert answer["access-control-allow-headers"] == "x-a"
    assert not cors_fields(await gateway.ask("GET", "/", headers={"origin": EVIL}))


def test_strangers_cannot_fill_the_memory():
    policy = CorsPolicy(CorsConfig(allowed_origins=("https://*.shop.example",)))
    for number in range(2 * MAX_REMEMBERED):
        policy._fields_for(b"https://%d.evil.example" % number)
        assert len(policy._remembered) <= MAX_REMEMBERED
    policy._fields_for(b"https://" + b"a" * 10_000)
    assert not any(len(origin) > 1000 for origin in policy._remembered)
