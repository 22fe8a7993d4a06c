"""Sticky sessions, seen by one balancer and by several that share nothing but a secret."""

from __future__ import annotations

import os
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import Endpoint, Exchange, Headers, Instance, Request, Response, Route
from gateway.runtime.shared_memory import MemoryStore, SharedMemory
from gateway_affinity.config import SessionAffinityConfig
from gateway_affinity.sticky_session import SECRET_BYTES, NamedSession, StickyCookie
from gateway_affinity.tagged import MOST_TAGGED, TaggedServices
from gateway_affinity.token import TOKEN_LENGTH, Tokens

pytestmark = pytest.mark.anyio

ROUTE = Route(id="r", path="/*", service="orders")


def pool(count: int, **options: Any) -> tuple[Instance, ...]:
    return tuple(Instance("orders", Endpoint(address=f"host-{n}", port=80, **options)) for n in range(count))


def asking(*excluded: Instance, query: str = "", scheme: str = "http", **headers: str) -> Exchange:
    fields = Headers.of([(name.replace("_", "-"), value) for name, value in headers.items()])
    exchange = Exchange(Request("GET", "/", headers=fields, query=query, scheme=scheme), cast("Any", None))
    exchange.excluded = excluded
    return exchange


@pytest.fixture
async def sticky(clock):
    """Make balancers as the workers of one gateway have them."""
    store = MemoryStore()

    async def shared_memory(key: str, size_bytes: int) -> SharedMemory:
        return SharedMemory(os.dup(store.file("affinity", key, size_bytes).fileno()), size_bytes)

    async def make(services: TaggedServices | None = None, **block: Any) -> StickyCookie:
        context = cast("Any", SimpleNamespace(shared_memory=shared_memory))
        balancer = StickyCookie(SessionAffinityConfig.model_validate(block), context, services, clock_utc=clock)
        if services is not None:
            balancer.wrap(cast("Any", None), ROUTE)  # as the core does, before it enters it
        return await balancer.__aenter__()

    yield make
    store.close()


async def ask(balancer: StickyCookie, instances: Any, exchange: Exchange) -> tuple[Instance, str | None]:
    """Return the instance of a request, and the cookie it is answered with."""

    async def answer(exchange: Exchange) -> Response:
        exchange.instance = balancer.select(instances, exchange)
        return Response()

    response = await balancer.wrap(answer, ROUTE)(exchange)
    assert exchange.instance is not None
    return exchange.instance, response.headers.get("set-cookie")


def value(cookie: str | None) -> str:
    assert cookie is not None
    return cookie.partition(";")[0]


# Cookies.


async def test_a_client_stays_whichever_worker_it_comes_by(sticky):
    workers, instances = [await sticky() for _ in range(4)], pool(10)
    for _ in range(20):
        instance, cookie = await ask(workers[0], instances, asking())
        for worker in workers:
            assert await ask(worker, instances, asking(cookie=f"a=1; {value(cookie)}; b=2")) == (instance, None)


async def test_among_thousands_that_come_at_once_a_client_stays_where_it_was(sticky):
    """They get their tags some at a time; a client's is not waited for."""
    instances, cookies = pool(3000), {}
    before, after = await sticky(), await sticky()
    for _ in range(8):
        instance, cookie = await ask(before, instances, asking())
        cookies[instance] = value(cookie)
    await ask(after, instances, asking())
    assert len(after._tagged.tags) == MOST_TAGGED
    for instance, cookie in cookies.items():
        assert await ask(after, instances, asking(cookie=cookie)) == (instance, None)
    others = instances[1500:]
    for cookie in cookies.values():
        assert (await ask(after, others, asking(cookie=cookie)))[0] in others


async def test_a_reload_keeps_the_tags_that_were_made(sticky, monkeypatch):
    """Ten thousand took 30 ms in the first request with a cookie after every reload."""
    services, instances = TaggedServices(), pool(1000)
    before = await sticky(services)
    instance, cookie = await ask(before, instances, asking())
    assert await ask(before, instances, asking(cookie=value(cookie))) == (instance, None)
    after = await sticky(services)
    del before  # which may go before anybody asks the next one
    made = tags_made(monkeypatch)
    assert await ask(after, instances, asking(cookie=value(cookie))) == (instance, None)
    for _ in range(4):
        await ask(after, instances, asking())
    assert not made
    more = (*instances, *pool(1001)[1000:])
    await ask(after, more, asking())
    assert made == [more[-1]]


async def test_routes_to_one_service_share_its_tags(sticky, monkeypatch):
    services, instances = TaggedServices(), pool(10)
    one, other = await sticky(services), await sticky(services)
    made = tags_made(monkeypatch)
    for balancer in (one, other):
        await ask(balancer, instances, asking())
    assert len(made) == len(instances)


async def test_another_secret_makes_other_tags(sticky):
    services, instances = TaggedServices(), pool(10)
    one = await sticky(services, secret="0123456789abcdef-one")
    instance, cookie = await ask(one, instances, asking())
    other = await sticky(services, secret="0123456789abcdef-two")
    assert (await ask(other, instances, asking(cookie=value(cookie))))[1] is not None
    assert not {*one._tagged.tags.values()} & {*other._tagged.tags.values()}
    assert await ask(one, instances, asking(cookie=value(cookie))) == (instance, None)


def tags_made(monkeypatch: pytest.MonkeyPatch) -> list[Instance]:
    """Collect the instances for which tags are made from now on."""
    made: list[Instance] = []
    tag = Tokens.tag

    def noted(tokens: Tokens, instance: Instance) -> bytes:
        made.append(instance)
        return tag(tokens, instance)

    monkeypatch.setattr(Tokens, "tag", noted)
    return made


async def test_a_retry_goes_elsewhere_by_weight_as_long_as_there_is_somebody(sticky):
    balancer = await sticky()
    large = Instance("orders", Endpoint(address="large", port=80, weight=10_000))
    instances = (*pool(3), large)
    assert {(await ask(balancer, instances, asking(large)))[0].id for _ in range(40)} == {
        "host-0:80", "host-1:80", "host-2:80"
    }  # fmt: skip
    assert (await ask(balancer, instances, asking(*instances)))[0] in instances


async def test_clients_are_spread_by_weight(sticky):
    balancer = await sticky()
    instances = (*pool(2), Instance("orders", Endpoint(address="large", port=80, weight=2)))
    chosen = Counter([(await ask(balancer, instances, asking()))[0].id for _ in range(2000)])
    assert chosen["large:80"] == pytest.approx(1000, abs=120)


async def test_new_clients_go_to_the_one_of_two_with_less_to_do_for_its_weight(sticky):
    balancer = await sticky()
    small = Instance("orders", Endpoint(address="small", port=80, weight=1))
    large = Instance("orders", Endpoint(address="large", port=80, weight=4))
    small.in_flight, large.in_flight = 2, 6
    chosen = Counter([(await ask(balancer, (small, large), asking()))[0].id for _ in range(1000)])
    # Only where both lots fall on it: a fifth of a fifth.
    assert chosen["small:80"] == pytest.approx(40, abs=25)
    small.in_flight, large.in_flight = 1, 6
    chosen = Counter([(await ask(balancer, (small, large), asking()))[0].id for _ in range(1000)])
    assert chosen["large:80"] == pytest.approx(640, abs=70)


async def test_the_cookie_is_as_configured(sticky):
    balancer = await sticky(cookieName="S", path="/shop", ttl=60, sameSite="Strict", httpOnly=False, secure=True)
    _, cookie = await ask(balancer, pool(1), asking())
    assert cookie is not None
    name, _, flags = cookie.partition("; ")
    assert name.startswith("S=")
    assert flags == "Path=/shop; Max-Age=60; SameSite=Strict; Secure"


@pytest.mark.parametrize(
    ("block", "scheme", "is_secure"),
    [
        ({}, "http", False),
        ({}, "https", True),
        ({"secure": False}, "https", False),
        ({"sameSite": "none"}, "http", True),
    ],
)
async def test_it_is_secure_where_the_client_speaks_tls(sticky, block, scheme, is_secure):
    _, cookie = await ask(await sticky(**block), pool(1), asking(scheme=scheme))
    assert cookie is not None
    assert cookie.endswith("; HttpOnly; Secure" if is_secure else "; HttpOnly")


async def test_it_says_nothing_of_addresses(sticky):
    _, cookie = await ask(await sticky(), pool(10), asking())
    assert "host" not in (cookie or "host")


@pytest.mark.parametrize("guess", [b"a guess", b"", bytes(SECRET_BYTES)], ids=["any", "none", "zeros"])
async def test_it_cannot_be_made_by_others(sticky, clock, guess):
    instance, *others = pool(10)

    async def is_taken(balancer: StickyCookie, tokens: Tokens) -> bool:
        token = tokens.make(tokens.tag(instance), clock() + 10**6)
        answers = [
            await ask(balancer, (instance, *others), asking(cookie=f"GATEWAY_SESSION={token}")) for _ in range(20)
        ]
        return all(answer == (instance, None) for answer in answers)

    known = "0123456789abcdef-secret"
    assert await is_taken(await sticky(secret=known), Tokens(known.encode()))
    assert not await is_taken(await sticky(secret=known), Tokens(guess))
    assert not await is_taken(await sticky(), Tokens(guess))


@pytest.mark.parametrize("token", ["", "x", "=" * TOKEN_LENGTH, "A" * TOKEN_LENGTH, "A" * 100_000, "_-" * 22])
async def test_rubbish_is_no_cookie(sticky, token):
    _, cookie = await ask(await sticky(), pool(3), asking(cookie=f"GATEWAY_SESSION={token}"))
    assert cookie is not None


async def test_it_ends_with_its_time_and_is_renewed_before(sticky, clock):
    balancer, instances = await sticky(ttl=100), pool(50)
    instance, cookie = await ask(balancer, instances, asking())
    clock.advance(49)
    assert await ask(balancer, instances, asking(cookie=value(cookie))) == (instance, None)
    clock.advance(2)
    again, renewed = await ask(balancer, instances, asking(cookie=value(cookie)))
    assert again is instance
    assert renewed is not None
    clock.advance(60)
    assert (await ask(balancer, instances, asking(cookie=value(renewed))))[0] is instance
    moved = {(await ask(balancer, instances, asking(cookie=value(cookie))))[0] for _ in range(20)}
    assert len(moved) > 1


async def test_a_session_moves_when_its_instance_is_gone(sticky):
    balancer, instances = await sticky(), pool(5)
    instance, cookie = await ask(balancer, instances, asking())
    others = tuple(each for each in instances if each is not instance)
    moved, told = await ask(balancer, others, asking(cookie=value(cookie)))
    assert moved in others
    assert await ask(balancer, instances, asking(cookie=value(told))) == (moved, None)


async def test_a_retry_goes_elsewhere_and_the_client_is_told(sticky):
    balancer, instances = await sticky(), pool(2)
    instance, cookie = await ask(balancer, instances, asking())
    moved, told = await ask(balancer, instances, asking(instance, cookie=value(cookie)))
    assert moved is not instance
    assert told is not None
    assert (await ask(balancer, (instance,), asking(instance, cookie=value(cookie))))[0] is instance


async def test_an_instance_of_weight_0_runs_dry(sticky):
    balancer, instances = await sticky(), pool(2)
    instance, cookie = await ask(balancer, instances, asking())
    instance.weight = 0
    changed = list(instances)  # another object, as the core makes one
    assert (await ask(balancer, changed, asking(cookie=value(cookie))))[0] is instance
    assert {(await ask(balancer, changed, asking()))[0] for _ in range(20)} == {*instances} - {instance}


async def test_gateways_with_one_secret_agree(clock):
    block = {"secret": "0123456789abcdef-secret"}
    one, other = await made(block, clock), await made(block, clock)
    instances = pool(10)
    instance, cookie = await ask(one, instances, asking())
    assert await ask(other, instances, asking(cookie=value(cookie))) == (instance, None)
    assert "abcdef" not in repr(SessionAffinityConfig.model_validate(block))


async def made(block: Any, clock: Any) -> StickyCookie:
    config = SessionAffinityConfig.model_validate(block)
    return await StickyCookie(config, cast("Any", None), clock_utc=clock).__aenter__()


@given(st.text(max_size=80))
def test_no_text_is_taken_for_a_token(text):
    assert Tokens(b"secret").read(text, 0.0) is None


@given(st.binary(min_size=12, max_size=12), st.integers(1, 2**39))
def test_a_token_says_what_it_was_made_of(tag, expires):
    tokens = Tokens(b"secret")
    token = tokens.make(tag, expires)
    assert len(token) == TOKEN_LENGTH
    assert tokens.read(token, expires - 1) == (tag, expires)
    assert tokens.read(token, expires) is None
    for position in range(0, TOKEN_LENGTH, 7):
        changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]
        assert tokens.read(changed, 0) is None


# Sessions that clients name.


def named(**block: Any) -> NamedSession:
    return NamedSession(SessionAffinityConfig.model_validate(block))


@pytest.mark.parametrize(
    ("block", "request_of"),
    [
        ({"source": "header"}, lambda name: asking(x_session_id=name)),
        ({"source": "header", "headerName": "X-User"}, lambda name: asking(x_user=name)),
        ({"source": "query"}, lambda name: asking(query=f"a=1&session_id={name}")),
        ({"source": "query", "queryParam": "s"}, lambda name: asking(query=f"s={name}")),
    ],
)
def test_a_named_session_stays_whichever_worker_it_comes_by(block, request_of):
    workers, instances = [named(**block) for _ in range(3)], pool(10)
    places = [workers[0].select(instances, request_of(f"s{number}")) for number in range(500)]
    for worker in workers:
        assert [worker.select(instances, request_of(f"s{number}")) for number in range(500)] == places
    assert max(Counter(places).values()) < 50 * 1.7


def test_only_sessions_of_an_instance_that_goes_move():
    balancer, instances = named(source="header"), pool(10)
    before = [balancer.select(instances, asking(x_session_id=f"s{n}")) for n in range(1000)]
    after = [balancer.select(instances[1:], asking(x_session_id=f"s{n}")) for n in range(1000)]
    assert {was for was, now in zip(before, after, strict=True) if was is not now} == {instances[0]}
    assert [balancer.select(instances, asking(x_session_id=f"s{n}")) for n in range(1000)] == before


def test_requests_without_a_session_are_spread():
    balancer, instances = named(source="header"), pool(5)
    assert {balancer.select(instances, asking()) for _ in range(100)} == set(instances)
    assert {balancer.select(instances, asking(x_session_id="")) for _ in range(100)} == set(instances)


def test_a_retry_of_a_session_goes_to_the_same_other_one():
    balancer, instances = named(source="query"), pool(4)
    first = balancer.select(instances, asking(query="session_id=s"))
    second = balancer.select(instances, asking(first, query="session_id=s"))
    assert second is balancer.select(instances, asking(first, query="session_id=s")) is not first
    assert balancer.select(instances, asking(*instances, query="session_id=s")) is first


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"cookieName": "a b"}, "is not a name"),
        ({"headerName": "a:b"}, "is not a name"),
        ({"path": "shop"}, "not the path of a cookie"),
        ({"path": "/a;b"}, "not the path of a cookie"),
        ({"ttl": 0}, "at least a second"),
        ({"secret": "short"}, "too short"),
        ({"sameSite": "none", "secure": False}, "needs secure"),
        ({"source": "ip"}, "'cookie', 'header' or 'query'"),
    ],
)
def test_what_cannot_be_meant_is_refused(block, message):
    with pytest.raises(ValidationError, match=message):
        SessionAffinityConfig.model_validate(block)
