"""What services are told about the caller."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Principal, Stage
from gateway.pipeline.identity import IdentityPolicy, field_value

pytestmark = pytest.mark.anyio

NAMES = {"subject": "X-Auth-Subject", "kind": "X-Auth-Type", "provider": "X-Auth-Provider", "scopes": "X-Auth-Scopes"}


@pytest.fixture
def told(gateway, place, policy_of):
    """Return the fields that the service receives from whoever is calling."""

    async def ask(principal, *headers, claims=None, **names):
        async def know(exchange, further_in):
            exchange.principal = principal
            return await further_in(exchange)

        policies = [
            place(policy_of(know), Stage.AUTHENTICATE),
            place(IdentityPolicy(**(names or NAMES), claims=claims), Stage.AUTHORIZE),
        ]
        await gateway.ask(*policies, headers=headers)
        return gateway.service.asked[-1].request.headers.items()

    return ask


async def test_the_service_is_told_who_is_calling(told):
    principal = Principal(subject="jo", kind="device", provider="jwt", scopes=frozenset({"write", "read"}))
    assert await told(principal, ("accept", "*/*")) == [
        ("accept", "*/*"),
        ("x-auth-subject", "jo"),
        ("x-auth-type", "device"),
        ("x-auth-provider", "jwt"),
        ("x-auth-scopes", "read write"),
    ]


@pytest.mark.parametrize("principal", [None, Principal(subject="jo")], ids=["nobody", "somebody"])
@pytest.mark.parametrize(
    "name", ["X-Auth-Subject", "x-auth-scopes", "X_Auth_Subject", "x-auth_subject", "X_AUTH-TYPE", "X-Plan", "x_plan"]
)
async def test_what_clients_send_under_these_names_never_arrives(told, principal, name):
    """CGI and WSGI read underscores as hyphens, so those spellings are forgeries too."""
    fields = await told(principal, (name, "admin"), (name, "root"), ("other", "stays"), claims={"plan": "X-Plan"})
    assert ("other", "stays") in fields
    assert not {"admin", "root"} & {value for _, value in fields}


async def test_fields_may_have_other_names_or_be_left_out(told):
    fields = await told(Principal(subject="jo"), ("x-auth-type", "the service's own"), subject="Caller")
    assert fields == [("x-auth-type", "the service's own"), ("caller", "jo")]


async def test_each_route_tells_it_under_its_own_names(told):
    """Who calls is most often the same object, on all routes."""
    jo = Principal(subject="jo")
    for name in ("X-One", "X-Two", "X-One"):
        assert await told(jo, subject=name) == [(name.lower(), "jo")]


async def test_claims_have_fields_of_their_own(told):
    claims = {"text": "a b", "number": 1, "truth": True, "list": ["a"], "nothing": None}
    fields = await told(
        Principal(subject="jo", claims=claims), subject="S", claims={name: f"C-{name}" for name in claims}
    )
    assert fields == [("s", "jo"), ("c-text", "a b"), ("c-number", "1"), ("c-truth", "true"), ("c-list", '["a"]')]


async def test_scopes_stay_apart_whatever_they_hold(told):
    fields = await told(Principal(subject="jo", scopes=frozenset({"a b", "c"})), scopes="Scopes")
    assert fields == [("scopes", "a%20b c")]


async def test_with_nothing_to_tell_it_is_free(gateway, place):
    assert gateway.compile(place(IdentityPolicy(), Stage.AUTHORIZE)).handler is gateway.service


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("auth0|5f7c", b"auth0|5f7c"),
        ("Jo Doe", b"Jo Doe"),
        ("jo\r\nx-admin: 1", b"jo%0D%0Ax-admin: 1"),
        (" admin", b"%20admin"),
        ("admin  ", b"admin%20%20"),
        ("   ", b"%20%20%20"),
        ("100%", b"100%25"),
        ("J\u00f6", b"J%C3%B6"),
        ("\ud800", b"%ED%A0%80"),
        ("\t", b"%09"),
        ("", b""),
    ],
)
async def test_values_can_be_read_in_one_way_only(text, value):
    assert field_value(text) == value


@given(st.text())
async def test_every_value_is_visible_and_can_be_read_back(text):
    value = field_value(text)
    assert all(0x20 <= byte <= 0x7E for byte in value)
    assert value == value.strip()
    assert unquote(value.decode("ascii"), errors="surrogatepass") == text
