"""Event streams through a whole gateway, as users have them."""

from __future__ import annotations

import asyncio

import pytest

from gateway.testing import Reply

pytestmark = pytest.mark.anyio

SSE = {"protocol": "sse"}
ASKING = {"accept": "text/event-stream"}


class Reading:
    """What a client gets, piece by piece."""

    def __init__(self, answer):
        self.answer = answer
        self._pieces = answer.pieces()

    async def next(self):
        async with asyncio.timeout(5):
            return await anext(self._pieces)

    async def rest(self):
        async with asyncio.timeout(5):
            return b"".join([piece async for piece in self._pieces])


def in_use(gateway):
    """Return how many streams of the service are open."""
    (instance,) = gateway.gateway.plane.directory.instances("service")
    return instance.in_flight


@pytest.fixture
async def streaming(gateway_factory, upstream, feed):
    """Start a gateway: ``await streaming(sse={...}, rule={...})``."""

    async def start(sse=None, rule=None, **blocks):
        return await gateway_factory(
            {"frontend": {"sse": sse or {}}, **blocks}, upstream=upstream, rule=SSE if rule is None else rule
        )

    return start


async def test_events_arrive_one_by_one(streaming, feed):
    gateway = await streaming()
    async with gateway.stream("GET", "/events?topic=a", headers=ASKING) as answer:
        reading = Reading(answer)
        assert (answer.status, answer["content-type"]) == (200, "text/event-stream")
        assert (answer["cache-control"], answer["x-accel-buffering"]) == ("no-cache", "no")
        for number in range(3):
            feed.send(b"data: %d\n\n" % number)
            assert await reading.next() == b"data: %d\n\n" % number
        feed.send(b"id: 7\nretry: 100\n\n: a comment\n\n")
        assert await reading.next() == b"id: 7\nretry: 100\n\n: a comment\n\n"
        feed.send(None)
        assert await reading.rest() == b""


async def test_last_event_id_and_query_reach_the_service(streaming, upstream, feed):
    gateway = await streaming()
    headers = {**ASKING, "last-event-id": "41", "accept-encoding": "gzip"}
    async with gateway.stream("GET", "/events?topic=a", headers=headers):
        (request,) = upstream.requests
        assert (request.target, request["last-event-id"], request["accept"]) == (
            "/events?topic=a",
            "41",
            "text/event-stream",
        )
        assert "accept-encoding" not in request  # nothing could be put into what is compressed


async def test_a_stream_is_known_by_its_type_on_any_route(streaming, feed, clock):
    feed.headers = {"content-type": "Text/Event-Stream; charset=utf-8"}
    gateway = await streaming({"keepaliveTimeout": 30}, rule={})
    async with gateway.stream("GET", "/") as answer:
        reading = Reading(answer)
        assert answer["x-accel-buffering"] == "no"
        feed.send(b"data: 1\n\n")
        await reading.next()
        clock.let_pass(gateway, 31)
        assert await reading.next() == b": keepalive\n\n"


async def test_where_nobody_mentions_streams_they_are_answers_as_others(streaming, feed):
    gateway = await streaming(rule={})
    async with gateway.stream("GET", "/") as answer:
        assert "x-accel-buffering" not in answer


async def test_other_answers_are_left_alone(streaming, upstream):
    upstream.answer = lambda request: Reply(body=[b"a", b"b"], headers={"content-type": "text/plain"})
    gateway = await streaming({"keepaliveTimeout": 30}, rule={})
    answer = await gateway.ask("GET", "/", headers={"accept-encoding": "gzip"})
    assert (answer.body, "x-accel-buffering" in answer) == (b"ab", False)
    assert upstream.requests[0]["accept-encoding"] == "gzip"


@pytest.mark.parametrize(("accept", "status"), [("application/json", 406), ("*/*", 200), (None, 200)])
async def test_a_route_for_streams_has_nothing_else(streaming, upstream, feed, accept, status):
    gateway = await streaming()
    async with gateway.stream("GET", "/", headers={"accept": accept} if accept else {}) as answer:
        assert answer.status == status
    assert [request["accept"] for request in upstream.requests] == ["text/event-stream"] * (status == 200)


@pytest.mark.parametrize("status", [401, 503])
async def test_errors_before_the_stream_are_errors(streaming, upstream, status):
    upstream.answer = lambda request: Reply(status, body=b"no")
    gateway = await streaming()
    answer = await gateway.ask("GET", "/", headers=ASKING)
    assert (answer.status, answer.body) == (status, b"no")


async def test_a_service_that_is_down_is_an_error(streaming, upstream):
    gateway = await streaming()
    await upstream.stop()
    assert (await gateway.ask("GET", "/", headers=ASKING)).status == 502


async def test_a_service_that_does_not_begin_is_an_error(streaming, upstream):
    upstream.answer = lambda request: Reply(delay_s=5)
    gateway = await streaming(backend={"sse": {"responseTimeout": "100ms"}})
    assert (await gateway.ask("GET", "/", headers=ASKING)).status == 504


# Time.


async def test_a_silent_service_is_waited_for(streaming, feed, clock):
    gateway = await streaming(rule={**SSE, "timeout": 2})
    async with gateway.stream("GET", "/", headers=ASKING) as answer:
        reading = Reading(answer)
        feed.send(b"data: 1\n\n")
        await reading.next()
        for _ in range(3):
            clock.let_pass(gateway, 3600)
            assert await reading.next() == b": keepalive\n\n"
        feed.send(b"data: 2\n\n")
        assert await reading.next() == b"data: 2\n\n"


async def test_silence_may_be_limited(streaming, feed, clock):
    gateway = await streaming({"idleTimeout": 100, "keepaliveTimeout": 0})
    async with gateway.stream("GET", "/", headers=ASKING) as answer:
        reading = Reading(answer)
        feed.send(b"data: 1\n\n")
        await reading.next()
        clock.let_pass(gateway, 101)
        with pytest.raises(ConnectionError):
            await reading.next()


async def test_a_comment_does_not_cut_an_event_in_two(streaming, feed, clock):
    gateway = await streaming({"keepAliveInterval": 10})
    async with gateway.stream("GET", "/", headers=ASKING) as answer:
        reading = Reading(answer)
        feed.send(b"data: a\n")
        await reading.next()
        clock.let_pass(gateway, 11)
        assert await reading.next() == b": keepalive\n"
        feed.send(b"data: b")
        assert await reading.next() == b"data: b"
        clock.let_pass(gateway, 11)
        feed.send(b"\n\n")
        assert await reading.next() == b"\n\n"


async def test_what_is_compressed_is_left_alone(streaming, feed, clock):
    feed.headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    gateway = await streaming()
    async with gateway.stream("GET", "/", headers=ASKING) as answer:
        reading = Reading(answer)
        clock.let_pass(gateway, 3600)
        feed.send(b"\x1f\x8b")
        assert await reading.next() == b"\x1f\x8b"


TOKENS = """
import time
from gateway import AuthenticatorRegistration, Principal, hookimpl
class Hour:
    async def authenticate(self, request):
        name = request.headers.get('authorization')
        return Principal(subject=name, expires_at_utc=time.time() + 3600) if name else None
def build(config, context): return Hour()
@hookimpl
def gateway_register_authenticators():
    return [AuthenticatorRegistration(name='hour', build=build, challenge='Hour', default_on=True)]
"""


@pytest.mark.parametrize("begun", [b"", b"data: half"])
async def test_credentials_that_end_end_the_stream(gateway_factory, upstream, feed, clock, tmp_path, begun):
    (tmp_path / "hour.py").write_text(TOKENS)
    gateway = await gateway_factory(
        {"frontend": {"sse": {"keepaliveTimeout": 0}}},
        upstream=upstream,
        rule={**SSE, "authRequired": True},
        plugin_files=[tmp_path / "hour.py"],
    )
    assert (await gateway.ask("GET", "/", headers=ASKING)).status == 401
    async with gateway.stream("GET", "/", headers={**ASKING, "authorization": "ann"}) as answer:
        reading = Reading(answer)
        feed.send(b"data: 1\n\n" + begun)
        assert await reading.next() == b"data: 1\n\n" + begun
        clock.let_pass(gateway, 3601)
        if begun:
            feed.send(b" and half\n\ndata: more\n\n")
            assert await reading.next() == b" and half\n\nevent: error\ndata: authentication expired\n\n"
            assert await reading.rest() == b""
        else:
            assert await reading.rest() == b"event: error\ndata: authentication expired\n\n"
        assert not in_use(gateway)


async def test_an_event_that_never_ends_is_not_waited_for(streaming, feed, clock):
    gateway = await streaming()
    async with gateway.stream("GET", "/", headers=ASKING) as answer:
        reading = Reading(answer)
        feed.send(b"data: half")
        await reading.next()
        (stream,) = gateway.gateway.plane._surroundings.kept["policy", "sse", "streams"].open
        stream.end_with(b"never sent")
        clock.let_pass(gateway, 6)
        assert await reading.rest() == b""


async def test_a_gateway_that_stops_says_so(streaming, feed):
    gateway = await streaming()
    async with gateway.stream("GET", "/", headers=ASKING) as answer:
        reading = Reading(answer)
        feed.send(b"data: 1\n\n")
        await reading.next()
        stopping = asyncio.ensure_future(gateway.gateway.plane.stop(3.0))
        assert await reading.rest() == b"event: close\ndata: the gateway stops\n\n"
    await asyncio.wait_for(stopping, 3)


# How many.


@pytest.mark.parametrize(("key", "status"), [("maxConnections", 503), ("maxConnectionsPerClient", 429)])
async def test_no_more_than_the_caps(streaming, upstream, feed, key, status):
    gateway = await streaming(rule={**SSE, "sse": {key: 1}})
    async with gateway.stream("GET", "/", headers=ASKING) as first:
        assert first.status == 200
        refused = await gateway.ask("GET", "/", headers=ASKING)
        assert (refused.status, refused["retry-after"]) == (status, "1")
        assert len(upstream.requests) == 1
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())
    async with gateway.stream("GET", "/", headers=ASKING) as again:
        assert again.status == 200


async def test_a_cap_holds_where_nobody_said_it_would_be_a_stream(streaming, upstream, feed):
    gateway = await streaming(rule={"sse": {"maxConnections": 1}})
    async with gateway.stream("GET", "/"):
        assert (await gateway.ask("GET", "/")).status == 503


async def test_a_client_that_leaves_ends_the_services_stream(streaming, upstream, feed):
    gateway = await streaming()
    async with gateway.stream("GET", "/", headers=ASKING) as answer:
        feed.send(b"data: 1\n\n")
        await Reading(answer).next()
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())
    metrics = {family.name: family.series for family in gateway.gateway.plane._metrics.snapshot()}
    assert metrics["gateway_sse_connections_active"] == {("service",): 0.0}
    assert metrics["gateway_sse_connections_total"][("service", "established")] == 1.0
    assert metrics["gateway_sse_events_sent_total"] == {("service",): 1.0}


async def test_a_slow_client_holds_the_service_back(streaming, upstream, feed):
    gateway = await streaming()
    async with gateway.stream("GET", "/", headers=ASKING):
        (stream,) = gateway.gateway.plane._surroundings.kept["policy", "sse", "streams"].open
        while not stream.is_paused:
            feed.send(b"data: " + b"x" * 100_000 + b"\n\n")
            await asyncio.sleep(0)
        assert stream.body.received_bytes < 50_000_000


# Sharing.


async def test_clients_share_a_stream(streaming, upstream, feed):
    gateway = await streaming({"share": True})
    async with gateway.stream("GET", "/", headers=ASKING) as one:
        first = Reading(one)
        feed.send(b"data: 1\n\ndata: ha")
        assert await first.next() == b"data: 1\n\ndata: ha"
        async with gateway.stream("GET", "/", headers=ASKING) as other:
            second = Reading(other)
            feed.send(b"lf\n\ndata: 2\n\n")
            assert await first.next() == b"lf\n\ndata: 2\n\n"
            assert await second.next() == b"data: 2\n\n"  # from the beginning of an event
            assert len(upstream.requests) == 1
        feed.send(b"data: 3\n\n")
        assert await first.next() == b"data: 3\n\n"
    await gateway.eventually(lambda: not gateway.gateway.plane.in_flight())
    assert not in_use(gateway)


async def test_many_who_come_at_once_open_one_stream(streaming, upstream, feed):
    gateway = await streaming({"share": True})
    clients = [gateway.client() for _ in range(5)]
    for client in clients:
        await client.__aenter__()
    answers = await asyncio.gather(*(client.begin("GET", "/", headers=ASKING) for client in clients))
    readings = [Reading(answer) for answer in answers]
    feed.send(b"data: 1\n\n")
    assert [await reading.next() for reading in readings] == [b"data: 1\n\n"] * 5
    assert len(upstream.requests) == 1
    feed.send(None)
    assert [await reading.rest() for reading in readings] == [b""] * 5
    for client in clients:
        await client.close()


@pytest.mark.parametrize(
    "other",
    [{"authorization": "bob"}, {"cookie": "session=2"}, {"last-event-id": "1"}],
    ids=["caller", "cookie", "resuming"],
)
async def test_who_is_another_gets_another_stream(streaming, upstream, feed, other):
    gateway = await streaming({"share": True})
    async with gateway.stream("GET", "/", headers=ASKING), gateway.stream("GET", "/", headers={**ASKING, **other}):
        assert len(upstream.requests) == 2


async def test_a_failure_to_open_is_each_ones_own(streaming, upstream):
    upstream.answer = lambda request: Reply(503, body=b"no")
    gateway = await streaming({"share": True})
    answers = await asyncio.gather(*(gateway.ask("GET", "/", headers=ASKING) for _ in range(3)))
    assert [answer.status for answer in answers] == [503] * 3
    assert len(upstream.requests) == 3


async def test_a_slow_client_does_not_hold_the_others_back(streaming, upstream, feed):
    gateway = await streaming({"share": True, "bufferSize": "100KB"})
    async with gateway.stream("GET", "/", headers=ASKING), gateway.stream("GET", "/", headers=ASKING) as other:
        reading = Reading(other)
        streams = gateway.gateway.plane._surroundings.kept["policy", "sse", "streams"].open
        event = b"data: " + b"x" * 100_000 + b"\n\n"
        while len(streams) == 2:
            feed.send(event)
            got = 0
            while got < len(event):
                got += len(await reading.next())
        feed.send(b"data: still here\n\n")
        assert await reading.next() == b"data: still here\n\n"
