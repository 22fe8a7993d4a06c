"""Keys that an issuer publishes: rotation, outages and whatever else issuers do."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from gateway.metrics import Metrics
from gateway.testing import Reply
from gateway_jwt.jwks import JwksKeys, KeptKeys, Timing
from gateway_jwt.jwks_client import JwksError
from gateway_jwt.keys import MAX_KEYS, keys_of_jwks
from gateway_jwt.token_cache import TokenCache

pytestmark = pytest.mark.anyio


async def soon(gateway, headers):
    """Ask until the answer is 200: after a fetch, the next one is only due a little later."""
    async with asyncio.timeout(10):
        while (await gateway.ask("GET", "/", headers=headers)).status != 200:  # noqa: ASYNC110 - time has no event
            await asyncio.sleep(0.02)


async def test_tokens_are_verified_with_published_keys_that_are_fetched_once(
    gateway_factory, upstream, keys, kit, jwks
):
    jwks.publish(keys.rsa, keys.other_rsa)
    gateway = await gateway_factory(jwks.settings(), upstream=upstream)
    for key, kid in ((keys.rsa, "one"), (keys.other_rsa, "two"), (keys.rsa, "one")):
        token = kit.token(key, header={"kid": kid})
        assert (await gateway.ask("GET", "/", headers=kit.bearing(token))).status == 200
    assert (await gateway.ask("GET", "/", headers=kit.bearing(kit.token(keys.other_rsa)))).status == 200, (
        "without a kid"
    )
    assert jwks.fetches == 1


async def test_a_new_key_is_fetched_when_a_token_names_it(gateway_factory, upstream, keys, kit, jwks):
    jwks.publish(keys.rsa)
    gateway = await gateway_factory(jwks.settings(), upstream=upstream)
    jwks.publish(keys.rsa, keys.other_rsa)
    new = kit.bearing(kit.token(keys.other_rsa, header={"kid": "two"}))
    await soon(gateway, new)
    assert jwks.fetches == 2


async def test_strangers_cause_one_fetch_in_a_while_however_many_keys_they_name(
    gateway_factory, upstream, keys, kit, jwks
):
    jwks.publish(keys.rsa)
    gateway = await gateway_factory(jwks.settings(jwksRefetchInterval="1h"), upstream=upstream)
    async with gateway.client() as client:
        for number in range(50):
            token = kit.token(keys.other_rsa, header={"kid": f"made-up-{number}"})
            assert (await client.ask("GET", "/", headers=kit.bearing(token))).status == 401
    assert jwks.fetches == 1


DOWN = {
    "an error": Reply(500),
    "a redirect": Reply(302, headers={"location": "https://elsewhere.example/jwks.json"}),
    "no answer": Reply(drop=True),
    "half an answer": Reply(body=b"{", drop=True),
    "too much": Reply(body=b" " * 20_000),
    "too slow": Reply(delay_s=5.0),
    "no JSON": Reply(body=b"<html>"),
    "no set": Reply.json({"key": []}),
    "no keys": Reply.json({"keys": []}),
    "keys that are none": Reply.json(
        {"keys": [1, None, {}, {"kty": "RSA"}, {"kty": "oct", "k": "c2VjcmV0", "kid": "one"}]}
    ),
    "deep JSON": Reply(body=b'{"keys":' + b"[" * 9000),
    "something encoded": Reply(headers={"content-encoding": "gzip"}, body=b"\x1f\x8b"),
}


@pytest.mark.parametrize("name", DOWN)
async def test_keys_that_cannot_be_had_are_503_and_let_nobody_in(gateway_factory, upstream, keys, kit, jwks, name):
    jwks.reply = DOWN[name]
    gateway = await gateway_factory(jwks.settings(jwksTimeout="200ms", jwksMaxSize="10KB"), upstream=upstream)
    answer = await gateway.ask("GET", "/", headers=kit.bearing(kit.token(keys.rsa, header={"kid": "one"})))
    assert (answer.status, answer["retry-after"]) == (503, "10")
    assert (await gateway.ask("GET", "/")).status == 401
    assert not upstream.requests


async def test_a_set_that_is_encoded_is_not_read_though_it_could_be(gateway_factory, upstream, keys, kit, jwks):
    jwks.publish(keys.rsa)
    jwks.reply = Reply(headers={"content-encoding": "br"}, body=json.dumps({"keys": jwks.keys}))
    gateway = await gateway_factory(jwks.settings(jwksRefetchInterval="1h"), upstream=upstream)
    assert (await gateway.ask("GET", "/", headers=kit.bearing(kit.token(keys.rsa)))).status == 503


async def test_an_issuer_that_comes_back_is_believed_soon(gateway_factory, upstream, keys, kit, jwks):
    jwks.publish(keys.rsa)
    await jwks.server.stop()
    gateway = await gateway_factory(jwks.settings(), upstream=upstream)
    headers = kit.bearing(kit.token(keys.rsa))
    assert (await gateway.ask("GET", "/", headers=headers)).status == 503
    await jwks.server.start()
    await soon(gateway, headers)


async def test_keys_stay_in_use_while_the_issuer_is_away_and_over_reloads(gateway_factory, upstream, keys, kit, jwks):
    jwks.publish(keys.rsa)
    gateway = await gateway_factory(jwks.settings(), upstream=upstream)
    await jwks.server.stop()
    assert (await gateway.admin("/reload", method="POST")).status == 200
    assert (await gateway.ask("GET", "/", headers=kit.bearing(kit.token(keys.rsa)))).status == 200


async def test_an_issuer_whose_certificate_is_not_trusted_is_not_believed(gateway_factory, upstream, keys, kit, jwks):
    jwks.publish(keys.rsa)
    configuration = jwks.settings()
    del configuration["auth"]["jwt"]["jwksCAFile"]
    gateway = await gateway_factory(configuration, upstream=upstream)
    assert (await gateway.ask("GET", "/", headers=kit.bearing(kit.token(keys.rsa)))).status == 503
    assert jwks.fetches == 0


async def test_a_published_secret_verifies_nothing(gateway_factory, upstream, keys, kit, jwks):
    """Key confusion by way of the set: ``oct`` keys in it are for nobody."""
    jwks.keys = [keys.rsa.as_dict(private=False), {"kty": "oct", "k": keys.secret.as_dict()["k"], "kid": "oct"}]
    gateway = await gateway_factory(jwks.settings(jwksRefetchInterval="1h"), upstream=upstream)
    token = kit.token(keys.secret, "HS256", header={"kid": "oct"})
    assert (await gateway.ask("GET", "/", headers=kit.bearing(token))).status == 401


# The set itself, with a clock that stands still.


class Issuer:
    """A client that gives what it is told."""

    def __init__(self):
        self.result: Any = ()
        self.fetches = 0

    async def fetch(self, url):
        self.fetches += 1
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def issuer(keys):
    made = Issuer()
    made.result = keys_of_jwks({"keys": [keys.rsa.as_dict(private=False)]})
    return made


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def key_set(issuer, clock, metrics):
    fetches = metrics.counter("fetches", "Fetches.", ("url", "result"))
    timing = Timing(refresh_s=3600, refetch_s=10, max_stale_s=86400)
    return JwksKeys("https://a.example", KeptKeys(), issuer, timing, logging.getLogger("test"), fetches, clock=clock)


@pytest.fixture
async def refreshing(key_set):
    await key_set.first()
    task = asyncio.create_task(key_set.refresh())
    yield key_set
    task.cancel()
    await asyncio.wait([task])


async def test_requests_that_wait_share_one_fetch(refreshing, issuer, clock):
    assert not await refreshing.fetched_again(), "fetched just now"
    clock.advance(11)
    waited = await asyncio.gather(*(refreshing.fetched_again() for _ in range(20)))
    assert (waited, issuer.fetches) == ([True] * 20, 2)
    assert not await refreshing.fetched_again()


async def test_no_more_than_a_thousand_requests_wait(key_set, clock):
    clock.advance(11)
    waiting = [asyncio.create_task(key_set.fetched_again()) for _ in range(1000)]
    await asyncio.sleep(0)
    assert not await key_set.fetched_again()
    refreshing = asyncio.create_task(key_set.refresh())
    assert all(await asyncio.gather(*waiting))
    refreshing.cancel()
    await asyncio.wait([refreshing])


async def test_keys_are_fetched_again_now_and_then(key_set, issuer, clock):
    await key_set.first()
    clock.advance(3601)
    task = asyncio.create_task(key_set.refresh())
    async with asyncio.timeout(5):
        while issuer.fetches < 2:  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert issuer.fetches == 2, "the next one is due in an hour"
    task.cancel()
    await asyncio.wait([task])


async def test_fetches_are_counted_by_what_became_of_them(key_set, issuer, metrics):
    await key_set.first()
    issuer.result = JwksError("down")
    for _ in range(2):
        await key_set._fetch()
    (family,) = metrics.snapshot()
    assert family.series == {("https://a.example", "loaded"): 1, ("https://a.example", "failed"): 2}


async def test_failures_are_tried_again_after_growing_delays(key_set, issuer):
    issuer.result = JwksError("down")
    delays = []
    for _ in range(9):
        await key_set._fetch()
        delays.append(key_set._delay_s())
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_keys_are_used_until_they_are_too_old(key_set, issuer, clock, caplog):
    await key_set.first()
    issuer.result = JwksError("down")
    clock.advance(3600 + 86400)
    assert key_set.keys
    clock.advance(1)
    assert key_set.keys == ()
    assert "too old" in caplog.text


async def test_withdrawing_a_key_makes_every_cache_forget(keys, clock):
    one, two = (keys_of_jwks({"keys": [key.as_dict(private=False)]}) for key in (keys.rsa, keys.other_rsa))
    kept, caches = KeptKeys(), [TokenCache(10, 10**6), TokenCache(10, 10**6)]
    kept.caches.update(caches)
    kept.replace(one, clock())
    for cache in caches:
        cache.put(b"digest", None, from_utc=0, to_utc=10, token_bytes=1)  # type: ignore[arg-type]  # never looked at
    kept.replace((*one, *two), clock())
    assert [len(cache) for cache in caches] == [1, 1], "one more key takes none away"
    kept.replace(two, clock())
    assert [len(cache) for cache in caches] == [0, 0]


async def test_work_that_ends_leaves_nobody_waiting(key_set, issuer, clock):
    refreshing = asyncio.create_task(key_set.refresh())
    await asyncio.sleep(0)
    clock.advance(11)
    issuer.fetch = lambda url: asyncio.Event().wait()
    waiting = asyncio.create_task(key_set.fetched_again())
    await asyncio.sleep(0)
    refreshing.cancel()
    async with asyncio.timeout(1):
        await waiting


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"use": ["sig"]},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"key_ops": 1},
        {"alg": "HS256"},
        {"alg": 1},
        {"kty": "oct"},
        {"kty": ["RSA"]},
        {"kty": "AKP"},
        {"n": "AQAB"},
        {"n": 1},
        {"e": None},
        {"n": "%%%"},
        {"e": "_" * 800},
    ],
    ids=str,
)
def test_keys_that_are_for_something_else_or_wrong_are_left_out(keys, change):
    good = keys.p256.as_dict(private=False)
    bad = {**keys.rsa.as_dict(private=False), **change}
    found = keys_of_jwks({"keys": [bad, good]})
    assert [key.algorithms for key in found] == [{"ES256"}]


@pytest.mark.parametrize("bad", [1, None, "key", [], {}, {"kty": "OKP", "crv": "X25519", "x": "A" * 43}], ids=str)
def test_entries_that_sign_nothing_are_left_out(keys, bad):
    found = keys_of_jwks({"keys": [bad, keys.p256.as_dict(private=False)]})
    assert [key.algorithms for key in found] == [{"ES256"}]


def test_a_set_is_read_up_to_a_number_of_keys(keys):
    entry = keys.p256.as_dict(private=False)
    assert len(keys_of_jwks({"keys": [entry] * (MAX_KEYS + 50)})) == MAX_KEYS


def test_what_is_private_in_a_set_is_not_looked_at(keys):
    (found,) = keys_of_jwks(json.loads(json.dumps({"keys": [keys.rsa.as_dict(private=True)]})))
    assert not found.key.is_private
