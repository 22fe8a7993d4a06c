"""Tokens through a whole gateway."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import pytest

from gateway.errors import ConfigurationError

pytestmark = pytest.mark.anyio


def settings(**block):
    return {"auth": {"required": True, "jwt": block}}


@pytest.fixture
async def gateway(gateway_factory, upstream, keys, kit):
    """A gateway that takes tokens of the RSA key."""
    block = {"issuer": kit.ISSUER, "audience": "shop", "publicKey": kit.pem(keys.rsa)}
    return await gateway_factory(settings(**block), upstream=upstream)


async def test_the_bearer_of_a_token_may_pass_and_the_service_learns_who_it_is(gateway, upstream, keys, kit):
    token = kit.token(keys.rsa, aud=["other", "shop"], scope="write read", typ="device")
    for _ in range(3):
        assert (await gateway.ask("GET", "/", headers=kit.bearing(token))).status == 200
    for request in upstream.requests:
        assert request["x-auth-subject"] == "jo"
        assert request["x-auth-type"] == "device"
        assert request["x-auth-provider"] == "jwt"
        assert request["x-auth-scopes"] == "read write"
        assert request["authorization"] == f"Bearer {token}", "forwarded unless stripToken says otherwise"


async def test_without_a_token_it_is_401_with_a_challenge(gateway, upstream):
    for headers in ({}, {"authorization": "Basic YTpi"}):
        answer = await gateway.ask("GET", "/", headers=headers)
        assert (answer.status, answer["www-authenticate"]) == (401, "Bearer")
    assert not upstream.requests


@pytest.mark.parametrize(
    "algorithm",
    [
        *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448"),
    ],
)
async def test_every_algorithm_that_is_allowed_and_no_other(gateway_factory, upstream, keys, kit, algorithm):
    key = keys.for_algorithm(algorithm)
    place = {"secret": kit.SECRET} if algorithm.startswith("HS") else {"publicKey": kit.pem(key)}
    gateway = await gateway_factory(settings(algorithms=algorithm, **place), upstream=upstream)
    assert (await gateway.ask("GET", "/", headers=kit.bearing(kit.token(key, algorithm)))).status == 200
    others = [name for name in ("HS256", "HS512", "RS256", "PS256", "ES256", "EdDSA") if name != algorithm]
    for other in others:
        answer = await gateway.ask("GET", "/", headers=kit.bearing(kit.token(keys.for_algorithm(other), other)))
        assert answer.status == 401, other


async def test_ed448_is_eddsa_too(gateway_factory, upstream, keys, kit):
    gateway = await gateway_factory(settings(algorithms="EdDSA", publicKey=kit.pem(keys.ed448)), upstream=upstream)
    assert (await gateway.ask("GET", "/", headers=kit.bearing(kit.token(keys.ed448, "EdDSA")))).status == 200


def part(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def bad_tokens(keys, kit):
    """Return tokens that must be refused, each with its name."""
    good = kit.token(keys.rsa, aud="shop")
    header, claims, signature = good.split(".")
    now = int(time.time())
    public_pem = kit.pem(keys.rsa)
    confused = {"alg": "HS256"}

    def hs256(secret):
        signing = f"{part(confused)}.{claims}"
        digest = hmac.new(secret.encode(), signing.encode(), hashlib.sha256).digest()
        return f"{signing}.{part(digest)}"

    return {
        "empty": "",
        "no token": "abc",
        "two parts": f"{header}.{claims}",
        "four parts": f"{good}.x",
        "empty signature": f"{header}.{claims}.",
        "truncated": good[:-10],
        "truncated claims": f"{header}.{claims[:-4]}.{signature}",
        "signature of another token": f"{header}.{claims}.{kit.token(keys.rsa, aud='shop', sub='eve').split('.')[2]}",
        "forged claims": f"{header}.{part(kit.claims_of(aud='shop', sub='admin'))}.{signature}",
        "padding": f"{good}=",
        "newline of base64": f"{header}.{claims}.{signature[:5]}!{signature[5:]}",
        "oversize": kit.token(keys.rsa, aud="shop", filler="x" * 7000),
        "expired": kit.token(keys.rsa, aud="shop", exp=now - 60),
        "not yet valid": kit.token(keys.rsa, aud="shop", nbf=now + 120),
        "without exp": kit.token(keys.rsa, aud="shop", exp=None),
        "exp is text": kit.signed(keys.rsa, json.dumps(kit.claims_of(aud="shop", exp="9999999999")).encode()),
        "exp is true": kit.signed(keys.rsa, json.dumps(kit.claims_of(aud="shop", exp=True)).encode()),
        "exp is infinite": kit.signed(
            keys.rsa, b'{"sub":"jo","iss":"https://issuer.example","aud":"shop","exp":1e999}'
        ),
        "exp is NaN": kit.signed(keys.rsa, b'{"sub":"jo","iss":"https://issuer.example","aud":"shop","exp":NaN}'),
        "wrong issuer": kit.token(keys.rsa, aud="shop", iss="https://evil.example"),
        "no issuer": kit.token(keys.rsa, aud="shop", iss=None),
        "wrong audience": kit.token(keys.rsa, aud="bank"),
        "no audience": kit.token(keys.rsa),
        "audience in an object": kit.signed(keys.rsa, json.dumps(kit.claims_of(aud={"shop": 1})).encode()),
        "wrong key": kit.token(keys.other_rsa, aud="shop"),
        "other algorithm of the key": kit.token(keys.rsa, "PS256", aud="shop"),
        "alg none": f"{part({'alg': 'none'})}.{claims}.",
        "alg none with signature": f"{part({'alg': 'none'})}.{claims}.{signature}",
        "alg None": f"{part({'alg': 'None'})}.{claims}.{signature}",
        "alg missing": f"{part({'typ': 'JWT'})}.{claims}.{signature}",
        "alg is a list": f"{part({'alg': ['RS256']})}.{claims}.{signature}",
        "key confusion with PEM": hs256(public_pem),
        "key confusion with stripped PEM": hs256(public_pem.strip()),
        "key in the header": kit.token(
            keys.other_rsa, aud="shop", header={"jwk": keys.other_rsa.as_dict(private=False)}
        ),
        "kid is a number": f"{part({'alg': 'RS256', 'kid': 1})}.{claims}.{signature}",
        "crit": kit.signed(
            keys.rsa, json.dumps(kit.claims_of(aud="shop")).encode(), {"alg": "RS256", "crit": ["b64"], "b64": True}
        ),
        "sub missing": kit.token(keys.rsa, aud="shop", sub=None),
        "sub empty": kit.token(keys.rsa, aud="shop", sub=""),
        "sub is a number": kit.signed(keys.rsa, json.dumps(kit.claims_of(aud="shop", sub=1)).encode()),
        "claims are a list": kit.signed(keys.rsa, b"[]"),
        "claims are no JSON": kit.signed(keys.rsa, b"{"),
        "claims are nested deeply": kit.signed(keys.rsa, b"[" * 3000),
        "claims are not UTF-8": kit.signed(keys.rsa, b'{"sub": "\xff"}'),
        "a claim twice": kit.signed(
            keys.rsa,
            json.dumps(kit.claims_of(aud="shop")).encode().replace(b"{", b'{"sub": "admin", ', 1),
        ),
        "a header name twice": ".".join([part(b'{"alg":"none","alg":"RS256"}'), claims, signature]),
        "an encrypted token": "a.b.c.d.e",
    }


async def test_every_bad_token_is_401_with_a_challenge_and_reaches_no_service(gateway, upstream, bad_tokens, kit):
    async with gateway.client() as client:
        for name, token in bad_tokens.items():
            answer = await client.ask("GET", "/", headers={"authorization": f"Bearer {token}".strip()})
            assert answer.status == 401, name
            assert answer["www-authenticate"].startswith('Bearer error="invalid_token"'), name
            assert "issuer.example" not in answer.text, name
    assert not upstream.requests


async def test_they_are_401_also_where_none_is_required(gateway_factory, upstream, bad_tokens, keys, kit):
    block = {"issuer": kit.ISSUER, "audience": "shop", "publicKey": kit.pem(keys.rsa)}
    gateway = await gateway_factory({"auth": {"jwt": block}}, upstream=upstream)
    async with gateway.client() as client:
        for name, token in bad_tokens.items():
            answer = await client.ask("GET", "/", headers={"authorization": f"Bearer {token}".strip()})
            assert answer.status == 401, name
        assert not upstream.requests
        assert (await client.ask("GET", "/")).status == 200
    assert "x-auth-subject" not in upstream.requests[0]


async def test_authorization_that_is_there_twice_is_refused(gateway, upstream, keys, kit):
    token = f"Bearer {kit.token(keys.rsa, aud='shop')}"
    for values in ([token, token], [token, "Basic YTpi"], ["Basic YTpi", token], [token, "Bearer x"]):
        answer = await gateway.ask("GET", "/", headers=[("authorization", value) for value in values])
        assert answer.status == 401, values
    assert not upstream.requests


@pytest.mark.parametrize("value", ["Bearer", "bearer", "Bearer a b", "Bearer  x", "Bearer x, Bearer y"])
async def test_malformed_authorization_is_refused(gateway, upstream, value):
    answer = await gateway.ask("GET", "/", headers={"authorization": value})
    assert answer.status == 401
    assert not upstream.requests


async def test_the_public_text_says_only_what_helps_honest_clients(gateway, bad_tokens, kit):
    async def detail(name):
        return (await gateway.ask("GET", "/", headers=kit.bearing(bad_tokens[name]))).json()["detail"]

    assert await detail("expired") == "the token has expired"
    assert await detail("not yet valid") == "the token is not valid yet"
    assert await detail("wrong key") == await detail("wrong audience") == "the token is not valid"


# Where tokens are.


async def test_tokens_are_taken_from_every_configured_place(gateway_factory, upstream, keys, kit):
    block = {"publicKey": kit.pem(keys.rsa), "headerName": "X-Token", "queryParam": "token", "cookieName": "jwt"}
    gateway = await gateway_factory(settings(**block, websocketProtocol="bearer."), upstream=upstream)
    token = kit.token(keys.rsa)
    upgrade = {"connection": "upgrade", "upgrade": "websocket"}
    for target, headers in (
        ("/", {"x-token": token}),
        ("/", {"x-token": f"Bearer {token}"}),
        (f"/?a=1&token={token}", {}),
        (f"/?t%6Fken={token}", {}),
        ("/", {"cookie": f"a=1; jwt={token}"}),
    ):
        assert (await gateway.ask("GET", target, headers=headers)).status == 200, headers
    for target, headers in (
        ("/", {"authorization": f"Bearer {token}"}),
        (f"/?token={token}&token={token}", {}),
        ("/", {"cookie": f"jwt={token}; jwt={token}"}),
        ("/", {"sec-websocket-protocol": f"chat, bearer.{token}"}),
        ("/", {"sec-websocket-protocol": f"bearer.{token}, bearer.{token}", **upgrade}),
    ):
        assert (await gateway.ask("GET", target, headers=headers)).status == 401, headers


async def test_a_browser_offers_its_token_as_a_subprotocol_that_no_service_sees(gateway_factory, upstream, keys, kit):
    block = {"publicKey": kit.pem(keys.rsa), "websocketProtocol": "bearer."}
    gateway = await gateway_factory(settings(**block), upstream=upstream, rule={"allowUpgrade": True})
    headers = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
        "sec-websocket-protocol": f"chat, bearer.{kit.token(keys.rsa)}, v2",
        "x-list": "a,bearer.other,,b",
    }
    await gateway.ask("GET", "/", headers=headers)
    (request,) = upstream.requests
    assert request["sec-websocket-protocol"] == "chat, v2"
    assert request["x-list"] == "a,bearer.other,,b"
    assert request["x-auth-subject"] == "jo"


async def test_a_token_that_is_stripped_is_nowhere_in_what_is_forwarded(gateway_factory, upstream, keys, kit):
    block = {"publicKey": kit.pem(keys.rsa), "queryParam": "token", "cookieName": "jwt", "stripToken": True}
    gateway = await gateway_factory(settings(**block), upstream=upstream)
    token = kit.token(keys.rsa)
    headers = {"authorization": f"Bearer {token}", "cookie": f"a=1; jwt={token}", "x-other": "stays"}
    assert (await gateway.ask("GET", f"/p?a=1&token={token}", headers=headers)).status == 200
    (request,) = upstream.requests
    assert token not in repr((request.target, request.fields))
    assert (request.target, request["cookie"], request["x-other"]) == ("/p?a=1", "a=1", "stays")


# What tokens say.


async def test_claims_become_scopes_claims_and_fields(gateway_factory, upstream, keys, kit):
    block = {
        "publicKey": kit.pem(keys.rsa),
        "subjectClaim": "preferred_username",
        "scopeClaim": "realm_access.roles",
        "claimsMapping": {"https://example.com/tenant": "tenant", "address.country": "country", "none": "none"},
    }
    configuration = settings(**block)
    configuration["auth"]["identityHeaders"] = {"claims": {"tenant": "X-Tenant", "country": "X-Country"}}
    gateway = await gateway_factory(configuration, upstream=upstream, rule={"auth": {"scopes": ["admin"]}})
    claims = {
        "preferred_username": "jo@example.com",
        "realm_access": {"roles": ["admin", "user", 7]},
        "https://example.com/tenant": "acme\r\nx-admin: 1",
        "address": {"country": "NL"},
    }
    headers = {**kit.bearing(kit.token(keys.rsa, **claims)), "x-tenant": "forged"}
    assert (await gateway.ask("GET", "/", headers=headers)).status == 200
    (request,) = upstream.requests
    assert request["x-auth-subject"] == "jo@example.com"
    assert request["x-auth-scopes"] == "admin user"
    assert request["x-tenant"] == "acme%0D%0Ax-admin: 1"
    assert request["x-country"] == "NL"
    assert "x-admin" not in request
    lacking = kit.token(keys.rsa, preferred_username="jo", realm_access={"roles": ["user"]})
    assert (await gateway.ask("GET", "/", headers=kit.bearing(lacking))).status == 403


async def test_required_claims_leeway_and_tokens_without_end(gateway_factory, upstream, keys, kit):
    now = int(time.time())
    block = {"publicKey": kit.pem(keys.rsa), "requireExp": False, "requiredClaims": ["jti"], "leeway": "2m"}
    gateway = await gateway_factory(settings(**block), upstream=upstream)

    async def status(**claims):
        return (await gateway.ask("GET", "/", headers=kit.bearing(kit.token(keys.rsa, **claims)))).status

    assert await status(exp=None, jti="1") == 200
    assert await status(exp=None) == 401
    assert await status(exp=now - 60, nbf=now + 60, jti="1") == 200
    assert await status(exp=now - 180, jti="1") == 401
    assert await status(nbf=now + 180, jti="1") == 401


async def test_several_issuers_have_their_own_keys_audiences_and_algorithms(gateway_factory, upstream, keys, kit):
    issuers = [
        {"issuer": "https://a.example", "publicKey": kit.pem(keys.p256), "signingMethod": "ES256", "audience": "shop"},
        {"issuer": "https://b.example", "secret": kit.SECRET, "algorithm": "HS256"},
    ]
    gateway = await gateway_factory(
        settings(issuer=kit.ISSUER, publicKey=kit.pem(keys.rsa), issuers=issuers), upstream=upstream
    )

    async def status(token):
        return (await gateway.ask("GET", "/", headers=kit.bearing(token))).status

    assert await status(kit.token(keys.rsa)) == 200
    assert await status(kit.token(keys.p256, "ES256", iss="https://a.example", aud="shop")) == 200
    assert await status(kit.token(keys.secret, "HS256", iss="https://b.example")) == 200
    assert await status(kit.token(keys.secret, "HS256", iss="https://a.example", aud="shop")) == 401
    assert await status(kit.token(keys.p256, "ES256", iss="https://a.example", aud="bank")) == 401
    assert await status(kit.token(keys.rsa, iss="https://b.example")) == 401
    assert await status(kit.token(keys.rsa, iss="https://c.example")) == 401
    assert await status(kit.token(keys.rsa, iss=None)) == 401


async def test_a_rule_may_ask_for_another_audience(gateway_factory, upstream, keys, kit):
    gateway = await gateway_factory(
        settings(publicKey=kit.pem(keys.rsa), audience="shop"),
        upstream=upstream,
        rule={"auth": {"jwt": {"audience": "bank"}}},
    )
    assert (await gateway.ask("GET", "/", headers=kit.bearing(kit.token(keys.rsa, aud="bank")))).status == 200
    assert (await gateway.ask("GET", "/", headers=kit.bearing(kit.token(keys.rsa, aud="shop")))).status == 401


async def test_a_key_from_a_file_is_read_again_at_a_reload(gateway_factory, upstream, keys, kit, tmp_path):
    file = tmp_path / "key.pem"
    file.write_text(kit.pem(keys.rsa))
    gateway = await gateway_factory(settings(publicKeyFile="key.pem"), upstream=upstream)
    old, new = kit.bearing(kit.token(keys.rsa)), kit.bearing(kit.token(keys.other_rsa))
    assert [(await gateway.ask("GET", "/", headers=each)).status for each in (old, new)] == [200, 401]
    file.write_text(kit.pem(keys.other_rsa))
    assert (await gateway.admin("/reload", method="POST")).status == 200
    assert [(await gateway.ask("GET", "/", headers=each)).status for each in (old, new)] == [401, 200]


async def test_the_spellings_of_the_original_are_taken(gateway_factory, upstream, keys, kit):
    block = {
        "enabled": True,
        "signingMethod": "RS256",
        "publicKey": kit.pem(keys.rsa),
        "tokenHeader": "X-Token",
        "tokenCookie": "jwt",
        "tokenQuery": "t",
        "bearerPrefix": "Bearer ",
        "clockSkew": 60,
        "customClaims": {"email": "mail"},
        "validateExp": True,
    }
    gateway = await gateway_factory(settings(**block), upstream=upstream)
    token = kit.token(keys.rsa)
    assert (await gateway.ask("GET", "/", headers={"x-token": f"Bearer {token}"})).status == 200
    assert (await gateway.ask("GET", f"/?t={token}")).status == 200


# What stops the start.


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({}, "no token could be verified"),
        ({"publicKey": "PEM", "algorithms": []}, "the list is empty"),
        ({"publicKey": "PEM", "algorithms": "none"}, "'none' is not an algorithm that is taken"),
        ({"publicKey": "PEM", "algorithms": "HS256"}, "HS256 needs 'secret'"),
        ({"publicKey": "PEM", "algorithms": ["HS256", "RS256"]}, "make two issuers of it"),
        ({"jwksUrl": "https://a.example", "algorithms": "HS256"}, "HS256 needs 'secret'"),
        ({"publicKey": "PEM", "jwksUrl": "https://a.example"}, "not several"),
        ({"secret": "s3cret" * 10}, "'secret' is for HS256"),
        ({"secret": "", "algorithms": "HS256"}, "shorter than the 32 bytes"),
        ({"secret": "s3cret" * 5, "algorithms": "HS256"}, "shorter than the 32 bytes"),
        ({"secret": "s3cret" * 7, "algorithms": "HS384"}, "shorter than the 48 bytes"),
        ({"secret": "s3cret" * 10, "algorithms": ["HS256", "HS512"]}, "shorter than the 64 bytes"),
        ({"secret": "PEM", "algorithms": "HS256"}, "the secret is a key of another kind"),
        ({"secret": "JWK", "algorithms": "HS256"}, "the secret is a key of another kind"),
        ({"publicKey": "PEM", "algorithms": "ES256"}, "no key is good for ES256"),
        ({"publicKey": "PRIVATE"}, "it is a private key"),
        ({"publicKey": "nonsense"}, "there is no public key in it"),
        ({"publicKey": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"}, "is no public key"),
        ({"publicKey": "{"}, "no JSON Web Key"),
        ({"publicKey": '{"kty": "oct", "k": "c2VjcmV0"}'}, "none of its keys can verify"),
        ({"publicKeyFile": "absent.pem"}, "absent.pem' cannot be read"),
        ({"jwksUrl": "http://issuer.example/jwks"}, "is not HTTPS"),
        ({"jwksUrl": "ftp://issuer.example/jwks"}, "is not a URL"),
        ({"jwksUrl": "https://user:s3cret@issuer.example/jwks"}, "is not a URL"),
        ({"jwksUrl": "https://a.example", "jwksCAFile": "absent.pem"}, "absent.pem' cannot be used"),
        ({"publicKey": "PEM", "issuers": [{"issuer": "a", "publicKey": "PEM"}]}, "an 'issuer' of its own"),
        ({"issuers": [{"issuer": "a"}]}, "issuer 'a' has no keys"),
        ({"issuers": [{"issuer": "a", "publicKey": "PEM"}], "audience": "shop"}, "'audience' has no keys beside it"),
        (
            {"issuers": [{"issuer": "a", "jwksUrl": "https://a.example", "jwksURI": "https://b.example"}]},
            "two spellings",
        ),
        ({"publicKey": "PEM", "headerName": None}, "no request could carry a token"),
        ({"publicKey": "PEM", "headerName": "Cookie"}, "is read otherwise"),
        ({"publicKey": "PEM", "cookieName": "a;b"}, "'a;b' is not a name"),
        ({"publicKey": "PEM", "leeway": "1h"}, "leeway"),
        ({"publicKey": "PEM", "onError": "allow"}, "would let anybody in"),
    ],
)
async def test_what_cannot_be_honoured_stops_the_start_and_shows_no_secret(
    gateway_factory, upstream, keys, kit, block, message
):
    stand_ins = {
        "PEM": kit.pem(keys.rsa),
        "PRIVATE": keys.rsa.as_pem(private=True).decode(),
        "JWK": json.dumps(keys.rsa.as_dict(private=False)),
    }

    def real(value):
        if isinstance(value, dict):
            return {key: real(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [real(entry) for entry in value]
        return stand_ins.get(value, value) if isinstance(value, str) else value

    with pytest.raises(ConfigurationError) as caught:
        await gateway_factory(settings(**real(block)), upstream=upstream)
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_the_secret_does_not_show_in_the_configuration(gateway_factory, upstream, kit):
    gateway = await gateway_factory(settings(algorithms="HS256", secret=kit.SECRET), upstream=upstream)
    answer = await gateway.admin("/config")
    assert (answer.status, kit.SECRET in answer.text) == (200, False)
