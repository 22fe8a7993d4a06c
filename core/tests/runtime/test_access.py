"""Who may use which route, through a whole gateway: every key of ``auth`` that is the core's own."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import ConfigurationError

pytestmark = pytest.mark.anyio

PLUGIN = """
from gateway import Config, Principal, AuthenticatorRegistration, Unauthorized, hookimpl
from pydantic import Field

class C(Config):
    field: str = Field("", description="Where the name of the caller stands.")
    scopes: frozenset[str] = Field(frozenset(), description="What it may do.")

def registration(name):
    class Named:
        waits = False
        def __init__(self, config, context):
            self.config = config
        async def authenticate(self, request):
            who = request.headers.get(self.config.field or f"x-{name}")
            if who is None:
                return None
            if who == "bad":
                raise Unauthorized("the credentials are not valid")
            return Principal(subject=who, provider=name, scopes=self.config.scopes, claims={"plan": "gold"})
    def build(config, context):
        return Named(config, context)
    return AuthenticatorRegistration(
        name=name, config=C, build=build, path=f"auth.{name}", rule_key=f"auth.{name}", challenge=name.title()
    )

ALL = [registration("red"), registration("blue")]

@hookimpl
def gateway_register_authenticators():
    return ALL
"""


@pytest.fixture
def start(gateway_factory, upstream, tmp_path):
    """Start a gateway with two authenticators, ``red`` and ``blue``, and some rules."""
    file = tmp_path / "colours.py"
    file.write_text(PLUGIN)

    async def start(auth, *rules):
        every = {"path": "/*", "serviceName": "service"}
        made = [{**every, **rule} for rule in rules or ({},)]
        return await gateway_factory({"auth": auth, "router": {"rules": made}}, upstream=upstream, plugin_files=[file])

    return start


async def test_providers_are_tried_in_order_and_the_first_that_knows_decides(start, upstream):
    gateway = await start({"required": True, "providers": ["red", "blue"], "blue": {}, "red": {}})
    await gateway.ask("GET", "/", headers={"x-red": "jo", "x-blue": "mo"})
    assert (upstream.requests[-1]["x-auth-subject"], upstream.requests[-1]["x-auth-provider"]) == ("jo", "red")
    assert (await gateway.ask("GET", "/", headers={"x-red": "bad", "x-blue": "mo"})).status == 401
    assert (await gateway.ask("GET", "/", headers={"x-red": "jo", "x-blue": "bad"})).status == 200
    answer = await gateway.ask("GET", "/")
    assert (answer.status, answer["www-authenticate"]) == (401, "Red, Blue")


async def test_providers_in_another_order(start, upstream):
    gateway = await start({"required": True, "providers": ["blue", "red"], "blue": {}, "red": {}})
    await gateway.ask("GET", "/", headers={"x-red": "jo", "x-blue": "mo"})
    assert upstream.requests[-1]["x-auth-subject"] == "mo"


async def test_without_required_anybody_may_pass_but_nobody_with_wrong_credentials(start, upstream):
    gateway = await start({"red": {}})
    assert (await gateway.ask("GET", "/")).status == 200
    assert (await gateway.ask("GET", "/", headers={"x-red": "bad"})).status == 401


async def test_skipped_paths_need_none_and_ask_nobody(start, upstream):
    gateway = await start({"required": True, "skipPaths": ["/public/*"], "red": {}})
    for path in ("/public", "/public/a", "/public/a/b", "/%70ublic/a", "/x/../public/a", "/public//a"):
        answer = await gateway.ask("GET", path, headers={"x-red": "bad", "x-auth-subject": "admin"})
        assert answer.status == 200, path
        assert "x-auth-subject" not in upstream.requests[-1], path
    for path in ("/", "/publicity", "/Public/a", "/public/../private", "/private/public/"):
        assert (await gateway.ask("GET", path)).status == 401, path
    for path in ("/public/%2e%2e/private", "/public%2f..%2fprivate"):
        assert (await gateway.ask("GET", path)).status == 400, path
    reached = {request.target for request in upstream.requests}
    assert not [target for target in reached if "private" in target]


async def test_required_scopes_are_403_for_whoever_lacks_one(start):
    auth = {"requiredScopes": ["read"], "red": {"scopes": ["read"]}, "blue": {"scopes": ["write"]}}
    gateway = await start(auth, {}, {"path": "/write/*", "auth": {"scopes": ["write"]}})
    assert (await gateway.ask("GET", "/", headers={"x-red": "jo"})).status == 200
    assert (await gateway.ask("GET", "/", headers={"x-blue": "jo"})).status == 403
    assert (await gateway.ask("GET", "/")).status == 401
    assert (await gateway.ask("GET", "/write/a", headers={"x-red": "jo"})).status == 403


async def test_a_rule_may_require_or_exempt(start):
    rules: tuple[dict[str, Any], ...] = (
        {},
        {"path": "/closed/*", "authRequired": True},
        {"path": "/block/*", "auth": {"required": True}},
        {"path": "/typed/*", "authType": "blue"},
        {"path": "/open/*", "authRequired": False},
    )
    gateway = await start({"red": {}, "blue": {}}, *rules)

    async def status(path, **headers):
        return (await gateway.ask("GET", path, headers={f"x-{key}": value for key, value in headers.items()})).status

    assert [await status(path) for path in ("/", "/closed/a", "/block/a", "/typed/a", "/open/a")] == [
        *(200, 401, 401, 401, 200)
    ]
    assert await status("/closed/a", red="jo") == 200
    assert await status("/typed/a", red="jo") == 401
    assert await status("/typed/a", blue="jo") == 200
    assert await status("/open/a", red="bad") == 200


async def test_an_exemption_does_not_weaken_what_is_required_everywhere(start):
    gateway = await start({"required": True, "red": {}}, {"authRequired": False})
    assert (await gateway.ask("GET", "/")).status == 401


async def test_a_rule_configures_its_own_authenticator(start, upstream):
    rule = {"path": "/own/*", "auth": {"required": True, "type": "red", "red": {"field": "x-own"}}}
    gateway = await start({"red": {}}, {}, rule)
    assert (await gateway.ask("GET", "/own/a", headers={"x-own": "jo"})).status == 200
    assert upstream.requests[-1]["x-auth-subject"] == "jo"
    assert (await gateway.ask("GET", "/own/a", headers={"x-red": "jo"})).status == 401


# Identity headers.


async def test_identity_headers_cannot_be_forged_on_any_route(start, upstream):
    forged = {
        "X-Auth-Subject": "admin",
        "x_auth_subject": "admin",
        "X-Auth-Scopes": "all",
        "X-Auth-Type": "service",
        "X-Auth-Provider": "red",
    }
    gateway = await start({"red": {}}, {}, {"path": "/open/*", "authRequired": False})
    for path in ("/", "/open/a"):
        assert (await gateway.ask("GET", path, headers=forged)).status == 200
        assert not [name for name, _ in upstream.requests[-1].fields if name.startswith(("x-auth", "x_auth"))]
    await gateway.ask("GET", "/", headers={**forged, "x-red": "jo"})
    assert upstream.requests[-1]["x-auth-subject"] == "jo"
    assert "x-auth-scopes" not in upstream.requests[-1]


async def test_identity_headers_may_be_named_otherwise_and_carry_claims(start, upstream):
    names = {"subject": "X-Customer", "type": None, "provider": None, "scopes": None, "claims": {"plan": "X-Plan"}}
    gateway = await start({"red": {}, "identityHeaders": names})
    headers = {"x-red": "jo", "x-customer": "admin", "x-plan": "none", "x-auth-subject": "the service's own"}
    await gateway.ask("GET", "/", headers=headers)
    request = upstream.requests[-1]
    assert (request["x-customer"], request["x-plan"]) == ("jo", "gold")
    assert request["x-auth-subject"] == "the service's own"


async def test_where_nobody_can_be_known_nothing_is_touched(gateway_factory, upstream):
    gateway = await gateway_factory(upstream=upstream)
    await gateway.ask("GET", "/", headers={"x-auth-subject": "of another gateway in front"})
    assert upstream.requests[-1]["x-auth-subject"] == "of another gateway in front"


async def test_a_block_turns_identity_headers_on_where_only_policies_know_the_caller(gateway_factory, upstream):
    gateway = await gateway_factory({"auth": {"identityHeaders": {}}}, upstream=upstream)
    await gateway.ask("GET", "/", headers={"x-auth-subject": "forged"})
    assert "x-auth-subject" not in upstream.requests[-1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"subject": "Host"}, "has another meaning"),
        ({"subject": "X_Subject"}, "cannot carry an identity"),
        ({"subject": "a-" * 8 + "a"}, "cannot carry an identity"),
        ({"subject": "X-A", "claims": {"a": "x-a"}}, "is named twice"),
    ],
)
async def test_names_that_cannot_be_protected_stop_the_start(gateway_factory, upstream, names, message):
    with pytest.raises(ConfigurationError, match=message):
        await gateway_factory({"auth": {"identityHeaders": names}}, upstream=upstream)
