from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import GatewayError, Request, Unauthorized
from gateway.metrics import Metrics
from gateway_mtls import authenticator as module
from gateway_mtls.authenticator import MtlsAuthenticator
from gateway_mtls.config import MtlsConfig
from gateway_mtls.names import distinguished_name
from gateway_mtls.plugin import gateway_register_authenticators

pytestmark = pytest.mark.anyio

ISSUER = ((("organizationName", "Example"),), (("commonName", "Example CA"),))
CERTIFICATE = {
    "subject": ((("countryName", "DE"),), (("organizationName", "Shop, Inc."),), (("commonName", "shop"),)),
    "issuer": ISSUER,
    "serialNumber": "0A",
    "notAfter": "Jan  1 00:00:00 2030 GMT",
    "subjectAltName": (
        ("DNS", "shop.example"),
        ("email", "shop@example.com"),
        ("URI", "spiffe://example/shop"),
    ),
}


@pytest.fixture
def authenticator():
    def build(clock=lambda: 0.0, **keys):
        context: Any = SimpleNamespace(metrics=Metrics())
        return MtlsAuthenticator(MtlsConfig.model_validate(keys), context, clock=clock)

    return build


def request(certificate=CERTIFICATE):
    return Request("GET", "/", peer_certificate=certificate)


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["uri", "dns"], "spiffe://example/shop"),
        (["dns", "uri"], "shop.example"),
        (["email"], "shop@example.com"),
        (["cn"], "shop"),
        (["dn"], "CN=shop,O=Shop\\, Inc.,C=DE"),
    ],
)
async def test_the_subject_comes_from_where_the_configuration_says(authenticator, sources, expected):
    principal = await authenticator(subjectFrom=sources).authenticate(request())
    assert principal.subject == expected
    assert principal.claims["issuerDN"] == "CN=Example CA,O=Example"
    assert principal.claims["serialNumber"] == "0A"


async def test_no_certificate_is_no_credential(authenticator):
    assert await authenticator().authenticate(request(None)) is None
    assert await authenticator().authenticate(request({})) is None


async def test_a_certificate_that_expires_on_an_open_connection_is_refused(authenticator):
    now_s = [0.0]
    known = authenticator(clock=lambda: now_s[0])
    principal = await known.authenticate(request())
    now_s[0] = principal.expires_at_utc
    with pytest.raises(Unauthorized, match="expired"):
        await known.authenticate(request())


@pytest.mark.parametrize("name", ["", "line\nbreak", "nul\x00", "bell\x07"])
async def test_names_that_cannot_be_shown_name_nobody(authenticator, name):
    certificate = {**CERTIFICATE, "subject": ((("commonName", name),),), "subjectAltName": ()}
    with pytest.raises(Unauthorized, match="none of"):
        await authenticator().authenticate(request(certificate))


async def test_patterns_know_nothing_but_the_asterisk(authenticator):
    certificate = {**CERTIFICATE, "subjectAltName": (("DNS", "a[b]?c"),)}
    assert await authenticator(allowedSubjects=["a[b]?c"]).authenticate(request(certificate))
    for pattern in ("ab?c", "a[b]c", "A[b]?c", "a[b]?", "?[b]?c"):
        with pytest.raises(GatewayError, match="not among"):
            await authenticator(allowedSubjects=[pattern]).authenticate(request(certificate))


async def test_issuers_go_by_common_name_or_the_whole_name(authenticator):
    for pattern in ("Example CA", "CN=Example CA,O=Example", "*O=Example"):
        assert await authenticator(allowedIssuers=[pattern]).authenticate(request())
    for pattern in ("Example", "CN=Example CA", "O=Example"):
        with pytest.raises(GatewayError, match="not among"):
            await authenticator(allowedIssuers=[pattern]).authenticate(request())


async def test_the_principal_of_a_connection_is_worked_out_once_and_few_are_kept(authenticator, monkeypatch):
    monkeypatch.setattr(module, "MAX_KNOWN", 3)
    known = authenticator()
    assert await known.authenticate(request()) is await known.authenticate(request())
    for _ in range(10):
        await known.authenticate(request(dict(CERTIFICATE)))
    assert len(known._known) <= 3


@given(st.lists(st.text(max_size=8), max_size=4))
def test_names_with_anything_in_them_stay_apart(values):
    """What separates the parts of a name is escaped in their values (RFC 4514 section 2.4)."""
    text = distinguished_name(tuple((("commonName", value),) for value in values))
    unescaped = [index for index, character in enumerate(text) if character == "," and not _is_escaped(text, index)]
    assert len(unescaped) == max(len(values) - 1, 0)


def _is_escaped(text, index):
    backslashes = len(text[:index]) - len(text[:index].rstrip("\\"))
    return backslashes % 2 == 1


def test_it_is_offered_under_auth():
    (offer,) = gateway_register_authenticators()
    assert (offer.path, offer.rule_key, offer.challenge) == ("auth.mtls", "auth.mtls", "ClientCertificate")
