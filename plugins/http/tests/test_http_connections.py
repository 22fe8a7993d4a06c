"""Both kinds of connections, driven as an event loop would, over transports that only note what they are told."""

import asyncio
import logging
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway import Body, ErrorType, Exchange, GatewayError, Request, Response
from gateway.interfaces import Endpoint, Instance, Route
from gateway.runtime.deadlines import DeadlineSweep
from gateway.runtime.outbox import Outbox
from gateway.testing import ManualClock
from gateway_http.adapter import HttpAdapter
from gateway_http.config import BackendHttpConfig, FrontendHttpConfig
from gateway_http.connector import HttpConnector

pytestmark = pytest.mark.anyio

HEAD = b"GET /a%20b?x=1&y HTTP/1.1\r\nHost: Example.org:80\r\nAccept: text/plain\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n"
FIRST = b"GET /first HTTP/1.1\r\nHost: gw\r\n\r\n"
SECOND = b"GET /second HTTP/1.1\r\nHost: gw\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def anyio_backend():
    return "asyncio"


class FakeTransport(asyncio.Transport):
    """Notes what is written; closes like asyncio's transports do, a turn later."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.unsent_bytes = 0
        self.has_eof = self.is_aborted = False
        self._is_open = self._is_reading = True
        self._protocol: asyncio.BaseProtocol = asyncio.Protocol()

    def get_extra_info(self, name, default=None):
        return ("198.51.100.1", 4711) if name == "peername" else default

    def set_protocol(self, protocol):
        self._protocol = protocol

    def get_protocol(self):
        return self._protocol

    def write(self, data):
        self.written += data

    def writelines(self, list_of_data):
        self.written += b"".join(list_of_data)

    def can_write_eof(self):
        return True

    def write_eof(self):
        self.has_eof = True

    def get_write_buffer_size(self):
        return self.unsent_bytes

    def is_reading(self):
        return self._is_reading

    def pause_reading(self):
        self._is_reading = False

    def resume_reading(self):
        self._is_reading = True

    def is_closing(self):
        return not self._is_open

    def close(self):
        if self._is_open:
            self._is_open = False
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self):
        self.is_aborted = True
        self.close()

    @property
    def is_ending(self):
        """Whether this side sends no more."""
        return self.has_eof or self.is_closing()


class Background:
    """Starts nothing: no test waits for work that is done now and then."""

    def start(self, name, work):
        pass


class Context:
    """The gateway, as far as the adapter and the connector ask it for something."""

    def __init__(self):
        self.exchanges: list[Exchange] = []
        self.errors: list[GatewayError] = []
        self.outbox = Outbox()
        self.deadlines = DeadlineSweep()
        self.background = Background()
        self.logger = logging.getLogger("gateway.plugins.test")

    def resolve(self, path):
        return Path(path)

    def serve(self, exchange):
        self.exchanges.append(exchange)

    def refuse(self, exchange, error):
        self.errors.append(error)
        answer(exchange, 408 if error.type is ErrorType.TIMEOUT else 400, b"refused")


@pytest.fixture
def context():
    return Context()


async def turns():
    """Let everything happen that was put off to the next turns of the loop."""
    for _ in range(5):
        await asyncio.sleep(0)


def answer(exchange, status=200, body=b"ok"):
    exchange.response = Response(status, body=body)
    exchange.responder.respond(exchange, exchange.response)


# Clients.


class Peer:
    """A client: a connection and its transport."""

    def __init__(self, adapter):
        self.transport = FakeTransport()
        protocol = adapter.connection(adapter.listeners()[0])
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)

    def send(self, data):
        self.protocol.data_received(data)

    @property
    def protocol(self):
        """Whatever looks after the connection now."""
        protocol: object = self.transport.get_protocol()
        return as_any(protocol)

    def let_time_pass(self):
        assert self.protocol.deadline_s < math.inf, "nothing would happen"
        self.protocol.deadline_passed()


def as_any(value):
    return value


@pytest.fixture
def adapter(context):
    return HttpAdapter(FrontendHttpConfig(), context)


@pytest.fixture
async def peer(adapter):
    return Peer(adapter)


def seen(exchange):
    request = exchange.request
    return request.method, request.path, request.query, request.headers.pairs, request.body


async def test_pieces_make_no_difference(adapter, context):
    Peer(adapter).send(HEAD)
    slow = Peer(adapter)
    for place in range(len(HEAD)):
        slow.send(HEAD[place : place + 1])
    whole, pieces = context.exchanges
    assert seen(whole) == seen(pieces)
    assert seen(whole)[:3] == ("GET", "/a%20b", "x=1&y")
    assert whole.request.headers["host"].lower() == "example.org:80"


@pytest.mark.parametrize("cut", range(1, len(HEAD)))
async def test_cut_anywhere(peer, adapter, context, cut):
    Peer(adapter).send(HEAD)
    peer.send(HEAD[:cut])
    peer.send(HEAD[cut:])
    whole, pieces = context.exchanges
    assert seen(whole) == seen(pieces)


@pytest.mark.parametrize(
    ("framing", "content"),
    [(b"Content-Length: 5", b"hello"), (b"Transfer-Encoding: chunked", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")],
)
async def test_bodies_in_pieces(adapter, context, framing, content):
    data = b"POST /x HTTP/1.1\r\nHost: gw\r\n" + framing + b"\r\n\r\n" + content
    Peer(adapter).send(data)
    slow = Peer(adapter)
    for place in range(len(data)):
        slow.send(data[place : place + 1])
    whole, pieces = (exchange.request.body for exchange in context.exchanges)
    assert whole == b"hello"
    assert isinstance(pieces, Body)
    assert await pieces.read(100) == b"hello"


async def test_a_head_has_one_deadline_however_many_pieces_it_comes_in(adapter, context, monkeypatch):
    """Whoever sends a byte now and then does not keep a connection for ever."""
    clock = ManualClock(1000.0)
    for module in ("request_receiving", "client_connection"):
        monkeypatch.setattr(f"gateway_http.{module}.time", SimpleNamespace(monotonic=clock))
    peer = Peer(adapter)
    for head in (HEAD, HEAD):
        clock.advance(20)
        peer.send(head[:1])
        due_s = clock() + adapter.read_timeout_s
        for place in range(1, len(head) - 1):
            assert peer.protocol.deadline_s == due_s
            clock.advance(1)
            peer.send(head[place : place + 1])
        peer.send(head[-1:])
        answer(context.exchanges[-1])
        assert peer.protocol.deadline_s > due_s


async def test_an_answer_in_pieces_leaves_in_chunks_of_the_same_sizes(peer, context):
    peer.send(FIRST)
    body = Body(as_any(object()))
    answer(context.exchanges[0], body=body)
    _, _, before = peer.transport.written.partition(b"\r\n\r\n")
    assert before == b""
    expected = peer.transport.written
    for size in (1, 9, 10, 15, 16, 255, 256, 1023, 1024, 4096, 4097, 70_000, 0, 5):
        body.feed(b"x" * size)
        expected += f"{size:x}\r\n{'x' * size}\r\n".encode() if size else b""
    body.end()
    assert peer.transport.written == expected + b"0\r\n\r\n"


async def test_pipelined_requests_wait_for_their_turn(peer, context):
    peer.send(FIRST + SECOND)
    assert [exchange.request.path for exchange in context.exchanges] == ["/first"]
    assert not peer.transport.is_reading()
    answer(context.exchanges[0], body=b"one")
    await turns()
    assert [exchange.request.path for exchange in context.exchanges] == ["/first", "/second"]
    answer(context.exchanges[1], body=b"two")
    await turns()
    assert peer.transport.is_reading()
    assert peer.transport.written.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert peer.transport.written.index(b"one") < peer.transport.written.index(b"two")


async def test_what_comes_during_an_exchange_is_held(peer, context):
    peer.send(FIRST)
    peer.send(SECOND[:10])
    assert not peer.transport.is_reading()
    answer(context.exchanges[0])
    await turns()
    assert peer.transport.is_reading()
    peer.send(SECOND[10:])
    assert [exchange.request.path for exchange in context.exchanges] == ["/first", "/second"]


async def test_no_more_requests_for_a_client_that_takes_no_answers(peer, context):
    peer.send(FIRST + SECOND)
    peer.transport.unsent_bytes = 100
    peer.protocol.pause_writing()
    answer(context.exchanges[0])
    await turns()
    assert len(context.exchanges) == 1
    assert not peer.transport.is_reading()
    peer.transport.unsent_bytes = 0
    peer.protocol.resume_writing()
    await turns()
    assert len(context.exchanges) == 2


async def test_reading_goes_on_when_the_client_caught_up(peer):
    peer.transport.unsent_bytes = 100
    peer.protocol.pause_writing()
    assert not peer.transport.is_reading()
    peer.transport.unsent_bytes = 0
    peer.protocol.resume_writing()
    await turns()
    assert peer.transport.is_reading()


async def test_a_head_that_takes_too_long(peer, context):
    peer.send(FIRST[:10])
    peer.let_time_pass()
    await turns()
    assert [error.type for error in context.errors] == [ErrorType.TIMEOUT]
    assert peer.transport.written.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close\r\n" in peer.transport.written.lower()
    assert peer.transport.is_ending


async def test_a_body_that_takes_too_long(peer, context):
    peer.send(b"POST /x HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n\r\nhe")
    body = context.exchanges[0].request.body
    assert isinstance(body, Body)
    peer.let_time_pass()
    with pytest.raises(GatewayError) as caught:
        await body.read(100)
    assert caught.value.type is ErrorType.TIMEOUT


@pytest.mark.parametrize("requests", [0, 1])
async def test_idle_connections_are_closed_quietly(peer, context, requests):
    for _ in range(requests):
        peer.send(FIRST)
        answer(context.exchanges[-1])
        await turns()
    before = peer.transport.written
    peer.let_time_pass()
    await turns()
    assert peer.transport.is_closing()
    assert not peer.transport.is_aborted
    assert peer.transport.written == before
    assert not context.errors


async def test_a_slow_reader_is_cut_off_only_without_progress(peer, context):
    peer.send(FIRST)
    peer.transport.unsent_bytes = 100
    peer.protocol.pause_writing()
    answer(context.exchanges[0])
    await turns()
    for unsent_bytes in (90, 50, 1):
        peer.transport.unsent_bytes = unsent_bytes
        peer.let_time_pass()
        assert not peer.transport.is_closing()
    peer.let_time_pass()
    assert peer.transport.is_aborted


async def test_a_client_that_leaves_cancels_its_exchange(peer, context):
    peer.send(FIRST)
    peer.transport.abort()
    await turns()
    assert context.exchanges[0].is_cancelled
    answer(context.exchanges[0])
    await turns()
    assert not peer.transport.written


async def test_draining_closes_idle_connections_at_once_and_others_after_their_answer(adapter, context):
    idle, busy = Peer(adapter), Peer(adapter)
    busy.send(FIRST)
    adapter.drain()
    await turns()
    assert idle.transport.is_closing()
    assert not busy.transport.is_ending
    answer(context.exchanges[0])
    await turns()
    assert b"connection: close\r\n" in busy.transport.written
    assert busy.transport.is_ending


# Services.


class Upstream:
    """An instance: the transports of the connections to it, and a connector that opens them."""

    def __init__(self, context):
        self.transports: list[FakeTransport] = []
        self.connector = HttpConnector(BackendHttpConfig(), context)
        self.instance = Instance("up", Endpoint(address="192.0.2.1", port=80))

    async def create_connection(self, make_protocol, *_args, **_settings):
        transport = FakeTransport()
        protocol = make_protocol()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        self.transports.append(transport)
        return transport, protocol

    async def ask(self, method="GET", body=b""):
        """Send a request; returns the task that becomes its response."""
        exchange = Exchange(Request(method, "/x", body=body), as_any(None))
        exchange.route = Route(id="r", path="/*", service="up", timeout_s=5.0)
        task = asyncio.ensure_future(as_any(self.connector.open)(self.instance, exchange))
        await turns()
        return task

    def send(self, data, connection=0):
        as_any(self.transports[connection].get_protocol()).data_received(data)

    async def keep_one(self):
        """Have a connection that served a request and rests."""
        task = await self.ask()
        self.send(OK)
        assert (await task).body == b"ok"
        assert len(self.transports) == 1


@pytest.fixture
async def upstream(context, monkeypatch):
    upstream = Upstream(context)
    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", upstream.create_connection)
    return upstream


class Sink:
    """Takes a body; pauses it at the first piece if it is slow."""

    def __init__(self, body, *, is_slow):
        self.taken = b""
        self.is_whole = False
        self._body = body
        self._is_slow = is_slow
        body.attach(self)

    def body_data(self, chunk):
        self.taken += chunk
        if self._is_slow:
            self._body.pause()

    def body_end(self, trailers):
        self.is_whole = True

    def body_error(self, error):
        raise error


async def test_trailers_in_the_same_read_as_the_head(upstream):
    task = await upstream.ask()
    upstream.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n0\r\nX-T: end\r\n\r\n"
    )
    body = (await task).body
    assert isinstance(body, Body)
    assert await body.read(100) == b"hello"
    assert list(body.trailers) == [(b"x-t", b"end")]


@pytest.mark.parametrize(
    "response",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK,
    ],
)
async def test_responses_byte_by_byte(upstream, response):
    responder = as_any(type("Responder", (), {"inform": lambda *_: None}))()
    exchange = Exchange(Request("GET", "/x"), responder)
    exchange.route = Route(id="r", path="/*", service="up", timeout_s=5.0)
    task = asyncio.ensure_future(as_any(upstream.connector.open)(upstream.instance, exchange))
    await turns()
    for place in range(len(response)):
        upstream.send(response[place : place + 1])
    body = (await task).body
    assert (body if isinstance(body, bytes) else await body.read(100)) == b"ok"
    assert not upstream.transports[0].is_closing()


@pytest.mark.parametrize(
    ("framing", "pieces"),
    [
        pytest.param(b"transfer-encoding: chunked", [b"3\r\none\r\n", b"3\r\ntwo\r\n"], id="events"),
        pytest.param(b"transfer-encoding: chunked", [b"6\r\none", b"two\r\n"], id="chunked"),
        pytest.param(b"content-length: 99", [b"one", b"two"], id="length"),
    ],
)
async def test_with_each_piece_the_time_of_the_instance_begins_again(upstream, monkeypatch, framing, pieces):
    clock = ManualClock(1000.0)
    for module in ("request_sending", "service_connection"):
        monkeypatch.setattr(f"gateway_http.{module}.time", SimpleNamespace(monotonic=clock))
    task = await upstream.ask()
    upstream.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
    body = (await task).body
    Sink(body, is_slow=False)
    connection = upstream.transports[0].get_protocol()
    for piece in pieces:
        clock.advance(3)
        upstream.send(piece)
        assert connection.deadline_s == clock() + 5
    body.pause()
    upstream.send(pieces[0])  # was on its way
    assert connection.deadline_s == math.inf
    clock.advance(3)
    body.resume()
    assert connection.deadline_s == clock() + 5
    body.set_idle_timeout(None)
    upstream.send(pieces[1])
    assert connection.deadline_s == math.inf


async def test_a_slow_reader_of_one_response_does_not_hold_up_the_next(upstream):
    task = await upstream.ask()
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
    sink = Sink((await task).body, is_slow=True)
    assert not upstream.transports[0].is_reading()
    upstream.send(b"def")  # was on its way already
    await turns()
    assert (sink.taken, sink.is_whole) == (b"abcdef", True)
    assert upstream.transports[0].is_reading()
    task = await upstream.ask()
    upstream.send(OK)
    assert (await task).body == b"ok"
    assert len(upstream.transports) == 1


@pytest.mark.parametrize("second", [OK, b"x", b"HTTP/1.1 200 OK\r\n"])
async def test_what_is_behind_a_response_is_dropped(upstream, second):
    task = await upstream.ask()
    upstream.send(OK + second)
    assert (await task).body == b"ok"
    await turns()
    assert upstream.transports[0].is_closing()
    task = await upstream.ask()
    upstream.send(OK.replace(b"ok", b"no"), connection=1)
    assert (await task).body == b"no"


async def test_an_idle_service_that_speaks_is_closed(upstream):
    await upstream.keep_one()
    upstream.send(OK)
    await turns()
    assert upstream.transports[0].is_closing()
    task = await upstream.ask()
    upstream.send(OK.replace(b"ok", b"no"), connection=1)
    assert (await task).body == b"no"


async def test_a_stale_connection_costs_a_get_nothing(upstream):
    await upstream.keep_one()
    task = await upstream.ask()
    upstream.transports[0].close()
    await turns()
    assert len(upstream.transports) == 2
    assert upstream.transports[1].written.startswith(b"GET /x HTTP/1.1\r\n")
    upstream.send(OK, connection=1)
    assert (await task).body == b"ok"


async def test_a_post_is_not_repeated(upstream):
    await upstream.keep_one()
    task = await upstream.ask("POST", b"once")
    upstream.transports[0].close()
    with pytest.raises(GatewayError) as caught:
        await task
    assert caught.value.type is ErrorType.BAD_GATEWAY
    assert len(upstream.transports) == 1


async def test_a_get_is_repeated_once(upstream):
    await upstream.keep_one()
    task = await upstream.ask()
    upstream.transports[0].close()
    await turns()
    upstream.transports[1].close()
    with pytest.raises(GatewayError):
        await task
    assert len(upstream.transports) == 2


async def test_a_fresh_connection_that_closes_is_not_replayed(upstream):
    task = await upstream.ask()
    upstream.transports[0].close()
    with pytest.raises(GatewayError) as caught:
        await task
    assert caught.value.type is ErrorType.BAD_GATEWAY
    assert len(upstream.transports) == 1
