"""The test kit, used as plugin authors use it."""

import asyncio

import pytest

from gateway import ObserverRegistration
from gateway.testing import ObserverContract, Reply

pytestmark = pytest.mark.anyio


async def test_a_gateway_serves_a_service(gateway_factory, upstream):
    upstream.answer = lambda request: Reply(201, headers={"x-here": "yes"}, body=request.body)
    gateway = await gateway_factory(upstream=upstream)
    answer = await gateway.ask("POST", "/things?a=1", headers={"x-there": "no"}, body=b"hello")
    assert (answer.status, answer["x-here"], answer.body) == (201, "yes", b"hello")
    (request,) = upstream.requests
    assert (request.method, request.target, request["x-there"]) == ("POST", "/things?a=1", "no")


async def test_one_connection_serves_many_requests(gateway_factory, upstream):
    gateway = await gateway_factory(upstream=upstream)
    async with gateway.client() as client:
        for number in range(3):
            assert (await client.ask("GET", f"/{number}")).text == "ok"
    assert [request.target for request in upstream.requests] == ["/0", "/1", "/2"]


async def test_bodies_stream(gateway_factory, upstream):
    more = asyncio.Event()

    async def pieces():
        yield b"one"
        await more.wait()
        yield b"two"

    upstream.answer = lambda request: Reply(body=pieces())
    gateway = await gateway_factory(upstream=upstream)
    async with gateway.stream("GET", "/") as answer:
        assert await anext(answer.pieces()) == b"one"
        more.set()
        assert await answer.read() == b"two"


async def test_a_service_may_drop_a_connection(gateway_factory, upstream):
    upstream.answer = lambda request: Reply(drop=True, body=b"")
    gateway = await gateway_factory(upstream=upstream)
    assert (await gateway.ask("GET", "/")).status == 502
    upstream.answer = lambda request: Reply(drop=True, body=b"hello")
    with pytest.raises(ConnectionError):
        await gateway.ask("GET", "/")


async def test_a_service_goes_and_comes_back_at_its_place(gateway_factory, upstream):
    gateway = await gateway_factory(upstream=upstream)
    await upstream.stop()
    assert (await gateway.ask("GET", "/")).status == 502
    await upstream.start()
    assert (await gateway.ask("GET", "/")).status == 200


async def test_admin_endpoints_are_asked_with_the_token(gateway_factory, upstream):
    gateway = await gateway_factory(upstream=upstream)
    assert (await gateway.ask("GET", "/_gateway/status")).status == 401
    assert (await gateway.admin("/status")).json()["ready"] is True


def test_a_manual_clock_stands_still(clock):
    before = clock()
    assert clock() == before
    clock.advance(2.5)
    assert clock() == before + 2.5


async def test_what_takes_its_time_is_waited_for(gateway_factory, upstream):
    gateway = await gateway_factory(upstream=upstream)
    answers = iter([503, 503, 200])
    upstream.answer = lambda request: Reply(next(answers))

    async def is_served():
        return (await gateway.ask("GET", "/")).status == 200

    await gateway.eventually(is_served)
    await gateway.eventually(lambda: len(upstream.requests) == 3)


async def test_what_never_becomes_so_fails_the_test(gateway_factory, upstream, monkeypatch):
    monkeypatch.setattr("gateway.testing.running.PATIENCE_S", 0.01)
    gateway = await gateway_factory(upstream=upstream)
    with pytest.raises(AssertionError, match=r"within 0\.01 s"):
        await gateway.eventually(lambda: False)


def test_what_awaits_nothing_can_use_the_fixtures_too(upstream, gateway_factory, client_factory):
    assert upstream.port
    assert callable(gateway_factory)
    assert callable(client_factory)


class Deaf:
    def exchange_finished(self, exchange):
        pass


def deaf(config, context):
    return Deaf()


class TestWithAsynchronousFixtures(ObserverContract):
    plugin = ObserverRegistration(name="deaf", summary="Hears nothing", build=deaf)

    @pytest.fixture(autouse=True)
    async def _source(self):
        await asyncio.sleep(0)
        self.source = "there"

    def config(self):
        assert self.source == "there"
        return {}
