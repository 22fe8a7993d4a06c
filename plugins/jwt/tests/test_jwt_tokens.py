"""Reading tokens and remembering them."""

from __future__ import annotations

import hmac
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway import Headers, Principal, Request, Unauthorized
from gateway.metrics import Metrics
from gateway_jwt.authenticator import JwtAuthenticator
from gateway_jwt.config import JwtConfig
from gateway_jwt.keys import keys_of_text, secret_key
from gateway_jwt.strict_json import parse_object
from gateway_jwt.token_cache import TokenCache
from gateway_jwt.tokens import MAX_CANDIDATES, InvalidToken, candidates, is_signed, parse, reach

pytestmark = pytest.mark.anyio


class Context:
    """As much of a build context as static keys need."""

    def __init__(self):
        self.metrics = Metrics()

    def count(self, result):
        (family,) = self.metrics.snapshot()
        return family.series.get((result,), 0)


@pytest.fixture
def make(keys, kit, clock):
    """Make an authenticator with a clock that shows the time."""
    clock.now_s = time.time()

    def build(context: Any = None, **block: Any) -> JwtAuthenticator:
        config = JwtConfig.model_validate({"publicKey": kit.pem(keys.rsa), "leeway": 0, **block})
        return JwtAuthenticator(config, cast("Any", context or Context()), clock=clock)

    return build


def request(token):
    return Request("GET", "/", headers=Headers.of([("authorization", f"Bearer {token}")]))


async def test_a_verified_token_is_remembered_until_it_ends(make, keys, kit, clock):
    context = Context()
    jwt = make(context)
    token = kit.token(keys.rsa, exp=int(clock()) + 100)
    first = await jwt.authenticate(request(token))
    assert await jwt.authenticate(request(token)) is first
    assert (context.count("verified"), context.count("cached")) == (1, 1)
    clock.advance(101)
    with pytest.raises(Unauthorized, match="expired"):
        await jwt.authenticate(request(token))
    assert context.count("refused") == 1


async def test_a_clock_that_jumps_back_makes_a_remembered_token_invalid_again(make, keys, kit, clock):
    jwt = make()
    token = kit.token(keys.rsa, nbf=int(clock()))
    await jwt.authenticate(request(token))
    clock.advance(-3600)
    with pytest.raises(Unauthorized, match="it begins at"):
        await jwt.authenticate(request(token))


async def test_a_remembered_token_is_found_without_waiting(make, keys, kit):
    jwt = make()
    asked = request(kit.token(keys.rsa))
    await jwt.authenticate(asked)
    with pytest.raises(StopIteration):
        jwt.authenticate(asked).send(None)


async def test_refused_tokens_are_not_remembered(make, keys, kit):
    jwt = make()
    for _ in range(5):
        with pytest.raises(Unauthorized):
            await jwt.authenticate(request(kit.token(keys.other_rsa)))
    assert len(jwt._cache) == 0


async def test_nothing_is_remembered_if_that_is_asked(make, keys, kit):
    context = Context()
    jwt = make(context, cacheEntries=0)
    for _ in range(2):
        await jwt.authenticate(request(kit.token(keys.rsa)))
    assert (context.count("verified"), context.count("cached")) == (2, 0)


# Who is known at once.


async def test_the_bearer_of_a_verified_token_is_recalled(make, keys, kit):
    context = Context()
    jwt = make(context)
    token = kit.token(keys.rsa)
    assert jwt.recall(request(token)) is None
    principal = await jwt.authenticate(request(token))
    assert jwt.recall(request(token)) is principal
    assert (context.count("verified"), context.count("cached")) == (1, 1)


async def test_nobody_is_recalled_past_the_end_of_the_token(make, keys, kit, clock):
    jwt = make()
    token = kit.token(keys.rsa, exp=int(clock()) + 100)
    await jwt.authenticate(request(token))
    clock.now_s = int(clock()) + 99.0
    assert jwt.recall(request(token)) is not None
    clock.advance(1)
    assert jwt.recall(request(token)) is None
    with pytest.raises(Unauthorized, match="expired"):
        await jwt.authenticate(request(token))


async def test_nobody_is_recalled_before_the_token_begins(make, keys, kit, clock):
    jwt = make()
    token = kit.token(keys.rsa, nbf=int(clock()))
    await jwt.authenticate(request(token))
    clock.advance(-3600)
    assert jwt.recall(request(token)) is None
    with pytest.raises(Unauthorized, match="it begins at"):
        await jwt.authenticate(request(token))


async def test_a_token_that_was_never_verified_is_not_recalled(make, keys, kit):
    jwt = make()
    token = kit.token(keys.rsa)
    await jwt.authenticate(request(token))
    head, claims, signature = token.split(".")
    for wrong in (f"{head}.{claims}.{signature[::-1]}", kit.token(keys.other_rsa), "", token[:-4], f"{token}x"):
        for _ in range(2):
            assert jwt.recall(request(wrong)) is None
            with pytest.raises(Unauthorized):
                await jwt.authenticate(request(wrong))


async def test_a_request_with_two_tokens_is_not_recalled(make, keys, kit):
    """Which of them is meant can be read in two ways; what is wrong is said by ``authenticate``."""
    context = Context()
    jwt = make(context)
    twice = request(kit.token(keys.rsa))
    await jwt.authenticate(request(kit.token(keys.rsa)))
    twice.headers.add("authorization", twice.headers["authorization"])
    assert jwt.recall(twice) is None
    assert context.count("refused") == 0
    with pytest.raises(Unauthorized):
        await jwt.authenticate(twice)
    assert context.count("refused") == 1


async def test_without_a_token_nobody_is_recalled(make, keys, kit):
    jwt = make()
    await jwt.authenticate(request(kit.token(keys.rsa)))
    assert jwt.recall(Request("GET", "/", headers=Headers())) is None
    assert jwt.recall(Request("GET", "/", headers=Headers.of([("authorization", "Basic YTpi")]))) is None


async def test_nobody_is_recalled_if_nothing_is_to_be_remembered(make, keys, kit):
    jwt = make(cacheEntries=0)
    token = kit.token(keys.rsa)
    await jwt.authenticate(request(token))
    assert jwt.recall(request(token)) is None


JO = Principal(subject="jo")


def put(cache, name, *, size=100, to_utc=10.0):
    cache.put(name, JO, from_utc=0.0, to_utc=to_utc, token_bytes=size)


def test_the_cache_is_bounded_in_entries_and_forgets_what_was_used_least_lately():
    cache = TokenCache(2, 10**6)
    put(cache, b"a")
    put(cache, b"b")
    assert cache.get(b"a", 1.0) is JO
    put(cache, b"c")
    assert [cache.get(name, 1.0) for name in (b"a", b"b", b"c")] == [JO, None, JO]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5000), st.booleans())))
def test_the_cache_is_bounded_in_bytes_whatever_happens(steps):
    cache = TokenCache(20, 50_000)
    for number, size, is_over in steps:
        name = bytes([number])
        if cache.get(name, 11.0 if is_over else 1.0) is None:
            put(cache, name, size=size)
        assert 0 <= cache.size_bytes <= 50_000
        assert len(cache) <= 20
    cache.clear()
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_what_is_too_large_for_the_cache_is_not_kept():
    cache = TokenCache(10, 5000)
    put(cache, b"a", size=4000)
    assert len(cache) == 0


def test_what_is_remembered_already_takes_its_place_once():
    cache = TokenCache(10, 10**6)
    put(cache, b"a")
    size_bytes = cache.size_bytes
    put(cache, b"a")
    assert (len(cache), cache.size_bytes) == (1, size_bytes)


@given(st.binary(max_size=200))
def test_no_bytes_are_read_otherwise_than_as_a_token_or_refused(raw):
    try:
        token = parse(raw)
    except InvalidToken:
        return
    assert raw.count(b".") == 2
    assert isinstance(token.claims, dict)


@given(position=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_token_with_a_byte_changed_is_refused(position, byte):
    original = _TOKEN
    position %= len(original)
    changed = original[:position] + bytes([byte]) + original[position + 1 :]
    if changed == original:
        return
    try:
        token = parse(changed)
    except InvalidToken:
        return
    if not is_signed(token, candidates(token, (_KEY,))):
        return
    # The last character of base64 has bits that say nothing: the same token in another spelling.
    assert position == len(original) - 1
    assert token.claims == parse(original).claims


_KEY = secret_key(b"k" * 32, ["HS256"])
_SIGNED = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqbyJ9"
_TOKEN = _SIGNED + b"." + urlsafe_b64encode(hmac.new(b"k" * 32, _SIGNED, "sha256").digest()).rstrip(b"=")


def test_the_token_that_is_changed_is_right_by_itself():
    token = parse(_TOKEN)
    assert is_signed(token, candidates(token, (_KEY,)))


def test_few_keys_are_tried_for_a_token_that_names_none(keys, kit):
    """A stranger's token must not cost a verification for each key of a large set."""
    text = kit.pem(keys.rsa) * 10
    token = parse(kit.token(keys.rsa).encode())
    assert len(candidates(token, keys_of_text(text.encode()))) == MAX_CANDIDATES


def test_several_keys_stand_in_one_text(keys, kit):
    text = f"old key\n{kit.pem(keys.rsa)}\nnew key\n{kit.pem(keys.other_rsa)}"
    found = keys_of_text(text.encode())
    token = parse(kit.token(keys.other_rsa).encode())
    assert is_signed(token, candidates(token, found))


def test_a_jwk_and_a_jwks_are_keys_too(keys, kit):
    entry = keys.p384.as_dict(private=False)
    for text in (kit.json.dumps(entry), kit.json.dumps({"keys": [entry]})):
        (key,) = keys_of_text(text.encode())
        assert key.algorithms == {"ES384"}


@pytest.mark.parametrize(
    ("public", "message"),
    [
        (lambda: dsa.generate_private_key(1024).public_key(), "keys of the kind .*DSAPublicKey sign"),  # noqa: S505 - quick
        (lambda: x25519.X25519PrivateKey.generate().public_key(), "keys of this curve sign no tokens"),
        (lambda: ec.generate_private_key(ec.SECP256K1()).public_key(), "keys of this curve sign no tokens"),
        (lambda: rsa.generate_private_key(65537, 1024).public_key(), "an RSA key of 1024 bits"),  # noqa: S505 - for that
    ],
    ids=["DSA", "X25519", "secp256k1", "short RSA"],
)
def test_keys_that_sign_no_tokens_are_refused(public, message):
    text = public().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match=message):
        keys_of_text(text)


def test_a_claim_is_found_by_its_whole_name_before_its_parts():
    claims = {"a.b": 1, "a": {"b": 2, "c": {"d": 3}}}
    assert [reach(claims, path) for path in ("a.b", "a.c.d", "a.x", "a.b.c", "x")] == [1, 3, None, None, None]


@pytest.mark.parametrize(
    "text", [b"[]", b"1", b"", b"{", b'{"a":1,"a":2}', b'{"a":{"b":1,"b":1}}', b'{"a":NaN}', b"\xff"]
)
def test_json_that_can_be_read_in_two_ways_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_object(text)


def test_importing_the_plugin_imports_nothing_heavy():
    program = "import sys, gateway_jwt.plugin; sys.exit(any(m in sys.modules for m in ('joserfc', 'cryptography')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
