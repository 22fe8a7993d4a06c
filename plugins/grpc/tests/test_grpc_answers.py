"""What services answer calls that are made of JSON, well and badly: byte by byte, by a server of the library h2."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import zlib
from typing import TYPE_CHECKING, Any, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest
from google.rpc import status_pb2  # type: ignore[import-untyped]  # has no types of its own
from hypothesis import given
from hypothesis import strategies as st

from gateway import Body, Endpoint, ErrorType, Exchange, GatewayError, Headers, Instance, Request, Response, Route
from gateway_grpc.channels.answers import Answers
from gateway_grpc.channels.channel import CallError
from gateway_grpc.channels.compression import decompressed
from gateway_grpc.channels.http2 import Http2Channel
from gateway_grpc.config import BackendGrpcConfig
from gateway_grpc.messages import PREFIX
from gateway_grpc.status import GrpcStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.testing import Answer, GatewayFactory

pytestmark = pytest.mark.anyio

HEAD = (":status", "200"), ("content-type", "application/grpc")
WELL = ("grpc-status", "0")
PATH = "/library.v1.Library"
EMMA = b"\x0a\x04Emma"
"""A book with this name."""


def framed(message: bytes, flag: int = 0) -> bytes:
    return PREFIX.pack(flag, len(message)) + message


class Server(asyncio.Protocol):
    """Gives each request the same answer, a list of steps: what kind it is, and what of it."""

    def __init__(
        self,
        steps: Sequence[tuple[str, Any]],
        asked: list[h2.events.RequestReceived],
        opened: list[asyncio.Transport],
    ) -> None:
        self._steps = steps
        self._asked = asked
        self._opened = opened
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, validate_outbound_headers=False)
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._opened.append(self._transport)
        self._connection.initiate_connection()

    def data_received(self, data: bytes) -> None:
        for event in self._connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._asked.append(event)
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
                for kind, what in self._steps:
                    self._take_step(kind, what, event.stream_id)
        if not self._transport.is_closing():
            self._transport.write(self._connection.data_to_send())

    def _take_step(self, kind: str, what: Any, stream_id: int) -> None:
        connection = self._connection
        if kind == "head":
            connection.send_headers(stream_id, what)
        elif kind == "end":  # trailers, or a head that has nothing behind it
            connection.send_headers(stream_id, what, end_stream=True)
        elif kind == "data":
            connection.send_data(stream_id, what)
        elif kind == "last data":
            connection.send_data(stream_id, what, end_stream=True)
        elif kind == "reset":
            connection.reset_stream(stream_id, what)
        elif kind == "reset later":
            asyncio.get_running_loop().call_later(0.1, self._reset, stream_id, what)
        elif kind == "leave":
            connection.close_connection(what, last_stream_id=0)
        elif kind == "noise":
            self._transport.write(connection.data_to_send() + what)
        elif kind == "close":
            self._transport.write(connection.data_to_send())
            self._transport.close()

    def _reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        self._connection.reset_stream(stream_id, code)
        self._transport.write(self._connection.data_to_send())


@contextlib.asynccontextmanager
async def serving(*steps: tuple[str, Any]) -> AsyncIterator[tuple[int, list[h2.events.RequestReceived]]]:
    """Serve; gives the port, and the requests."""
    asked: list[h2.events.RequestReceived] = []
    opened: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_server(lambda: Server(steps, asked, opened), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        for transport in opened:
            transport.abort()
        await asyncio.sleep(0.01)


async def ask(gateway_factory: GatewayFactory, service: Any, *steps: tuple[str, Any], **keys: Any) -> Answer:
    method = keys.pop("method", "Echo")
    async with serving(*steps) as (service.port, _):
        gateway = await gateway_factory(service.settings(**keys))
        answer: Answer = await service.call(gateway, method)
    return answer


async def test_an_answer_may_come_in_any_pieces(gateway_factory: GatewayFactory, service: Any) -> None:
    pieces = [("data", bytes([byte])) for byte in framed(EMMA)]
    answer = await ask(gateway_factory, service, ("head", HEAD), *pieces, ("end", [WELL]))
    assert (answer.status, answer.json()) == (200, {"name": "Emma"})


async def test_what_is_sent_is_grpc(gateway_factory: GatewayFactory, service: Any) -> None:
    """gRPC over HTTP2, "Requests"."""
    async with serving(("head", HEAD), ("data", framed(EMMA)), ("end", [WELL])) as (service.port, asked):
        gateway = await gateway_factory(service.settings(timeout="5s"))
        await service.call(gateway, "Echo", host="evil.example")
    fields = dict(asked[0].headers or ())
    assert (fields[b":method"], fields[b":scheme"]) == (b"POST", b"http")
    assert (fields[b":path"], fields[b":authority"]) == (f"{PATH}/Echo".encode(), b"127.0.0.1:%d" % service.port)
    assert (fields[b"te"], fields[b"content-type"]) == (b"trailers", b"application/grpc")
    assert (fields[b"grpc-timeout"], fields[b"grpc-accept-encoding"]) == (b"5000m", b"identity,deflate,gzip")


TRAILERS_ONLY = (*HEAD, ("grpc-status", "5"), ("grpc-message", "no%20%C3%BC%"))


@pytest.mark.parametrize(
    ("steps", "status", "grpc_status", "said"),
    [
        ([("end", TRAILERS_ONLY)], 404, "NOT_FOUND", "no ü%"),
        ([("head", HEAD), ("end", [("grpc-status", "99")])], 500, "UNKNOWN", "Internal Server Error"),
        ([("end", HEAD)], 500, "UNKNOWN", "the service ended the call without a status"),
        ([("head", HEAD), ("last data", framed(EMMA))], 500, "UNKNOWN", "the service ended the call without a status"),
        ([("head", HEAD), ("data", framed(EMMA)), ("end", [("x-a", "1")])], 500, "UNKNOWN", "without a status"),
        ([("head", HEAD), ("data", b"<html>"), ("end", [WELL])], 500, "INTERNAL", "what is no message of gRPC"),
        ([("head", HEAD), ("data", framed(EMMA)[:-1]), ("end", [WELL])], 500, "INTERNAL", "is not whole"),
        ([("head", HEAD), ("data", b"\0\0"), ("end", [WELL])], 500, "INTERNAL", "is not whole"),
        ([("head", HEAD), ("data", framed(EMMA, 1)), ("end", [WELL])], 500, "INTERNAL", "was not offered"),
        ([("end", [(":status", "403"), ("content-type", "text/html")])], 403, "PERMISSION_DENIED", "not with gRPC"),
        ([("head", [(":status", "200")]), ("last data", b"<p>")], 500, "UNKNOWN", "not with gRPC"),
    ],
)
async def test_what_ends_a_call_badly_has_a_status_of_grpc(
    gateway_factory: GatewayFactory, service: Any, steps: Any, status: int, grpc_status: str, said: str
) -> None:
    for method in ("Echo", "Count"):
        answer = await ask(gateway_factory, service, *steps, method=method)
        problem = answer.json()
        assert (answer.status, problem["grpc"]["status"]) == (status, grpc_status)
        assert said in problem["detail"]


BROKEN = "the service answered badly"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([("close", None)], BROKEN),
        ([("head", HEAD), ("data", framed(EMMA)), ("close", None)], BROKEN),
        ([("noise", b"HTTP/1.1 400 Bad Request\r\n\r\n")], BROKEN),
        ([("head", HEAD), ("data", framed(EMMA)), ("noise", b"\0\0\1\1\4\0\0\0\1\x80")], BROKEN),  # HPACK that is none
        ([("head", HEAD), ("data", framed(b"x" * 2000)), ("end", [WELL])], "the answer of the service is too large"),
        ([("head", HEAD), ("data", PREFIX.pack(0, 2**32 - 1))], "the answer of the service is too large"),
        ([("head", HEAD), ("end", [WELL])], "the service gave no answer"),
        ([("end", (*HEAD, WELL))], "the service gave no answer"),
        ([("head", HEAD), ("data", framed(EMMA) * 2), ("end", [WELL])], "the service gave more than one answer"),
    ],
)
async def test_what_breaks_off_is_a_bad_gateway(
    gateway_factory: GatewayFactory, service: Any, steps: Any, said: str
) -> None:
    backend = {"backend": {"grpc": {"maxReceiveMessageSize": 1024}}}
    for method in ("Echo", "Count"):
        answer = await ask(gateway_factory, service, *steps, method=method, gateway=backend)
        assert (answer.status, answer.json()["detail"]) == (502, said)


async def test_a_service_that_leaves_is_unavailable(gateway_factory: GatewayFactory, service: Any) -> None:
    """What it did not take before its GOAWAY is refused (RFC 9113 section 6.8)."""
    for method in ("Echo", "Count"):
        answer = await ask(gateway_factory, service, ("leave", h2.errors.ErrorCodes.NO_ERROR), method=method)
        assert (answer.status, answer.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize("steps", [[], [("head", HEAD)], [("head", HEAD), ("data", framed(EMMA))]])
async def test_silence_is_a_timeout(gateway_factory: GatewayFactory, service: Any, steps: Any) -> None:
    answer = await ask(gateway_factory, service, *steps, timeout="100ms")
    assert (answer.status, answer.json()["code"]) == (504, "upstream_timeout")
    async with serving(*steps) as (service.port, _):
        gateway = await gateway_factory(service.settings())
        answer = await service.call(gateway, "Echo", grpc_timeout="100m")
        assert (answer.status, answer.json()["code"]) == (504, "upstream_timeout")


async def test_what_breaks_a_stream_off_comes_last(gateway_factory: GatewayFactory, service: Any) -> None:
    steps = [("head", HEAD), ("data", framed(EMMA)), ("reset later", h2.errors.ErrorCodes.INTERNAL_ERROR)]
    answer = await ask(gateway_factory, service, *steps, method="List")
    first, last = answer.text.splitlines()
    assert first == '{"name":"Emma"}'
    assert '"status": "INTERNAL"' in last


async def test_details_of_an_error_need_no_padding(gateway_factory: GatewayFactory, service: Any) -> None:
    for value in (base64.b64encode(status_pb2.Status(code=5).SerializeToString()).decode().rstrip("="), "!", "AAAA"):
        trailers = [("grpc-status", "5"), ("grpc-status-details-bin", value)]
        answer = await ask(gateway_factory, service, ("head", HEAD), ("end", trailers))
        assert (answer.status, answer.json()["grpc"]["details"]) == (404, [])


# Compression.


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_compressed_answer_is_read(
    gateway_factory: GatewayFactory, service: Any, encoding: str, compress: Any
) -> None:
    head = (*HEAD, ("grpc-encoding", encoding))
    steps = [("head", head), ("data", framed(compress(EMMA), 1)), ("end", [WELL])]
    assert (await ask(gateway_factory, service, *steps)).json() == {"name": "Emma"}
    assert (await ask(gateway_factory, service, *steps, method="List")).text == '{"name":"Emma"}\n'


WHOLE = gzip.compress(b"x")


@pytest.mark.parametrize("data", [b"", b"x", WHOLE[:-1], WHOLE + b"x"], ids=["nothing", "no gzip", "cut", "too long"])
def test_what_is_not_compressed_as_it_says_is_refused(data: bytes) -> None:
    with pytest.raises(CallError, match="INTERNAL: a compressed message of the service cannot be read"):
        decompressed(data, b"gzip", 1000)


def test_no_more_is_decompressed_than_a_message_may_be_large() -> None:
    assert decompressed(gzip.compress(b"x" * 1000), b"gzip", 1000) == b"x" * 1000
    with pytest.raises(GatewayError, match="larger than 1000 bytes"):
        decompressed(gzip.compress(b"x" * 1_000_000), b"gzip", 1000)


# Messages in pieces.


class Source:
    """A producer that counts how often it is held."""

    def __init__(self) -> None:
        self.is_given_up = False

    def pause_body(self) -> None: ...
    def resume_body(self) -> None: ...
    def abort_body(self) -> None:
        self.is_given_up = True


@given(messages=st.lists(st.binary(max_size=20), max_size=6), cut=st.integers(1, 11))
def test_messages_are_the_same_however_they_come(messages: list[bytes], cut: int) -> None:
    whole = b"".join(framed(message) for message in messages)

    async def read() -> list[bytes]:
        body = Body(Source())
        answers = Answers(body, (), 20)
        for start in range(0, len(whole), cut):
            body.feed(whole[start : start + cut])
        body.end([(b"grpc-status", b"0")])
        found = []
        while (answer := await answers.next()) is not None:
            found.append(answer[1])
        return found

    assert asyncio.run(read()) == messages


async def test_a_call_that_is_refused_in_the_middle_is_given_up() -> None:
    source = Source()
    body = Body(source)
    answers = Answers(body, (), 20)
    body.feed(framed(b"a") + b"\2\0\0\0\0")
    assert source.is_given_up
    assert await answers.next() == (False, b"a")
    with pytest.raises(CallError) as failure:
        await answers.next()
    assert failure.value.status is GrpcStatus.INTERNAL


class LateCarrier:
    """A connector whose instance begins its answer late, and says nothing more."""

    async def open(self, instance: Instance, exchange: Exchange) -> Response:
        await asyncio.sleep(0.1)
        return Response(200, headers=Headers([(b"content-type", b"application/grpc")]), body=Body(Source()))


async def test_an_answer_that_begins_late_has_only_the_rest_of_the_time() -> None:
    """The time of a rule is for all of a unary call, and the service was told so."""
    exchange = Exchange(Request("POST", "/", id="7"), cast("Any", None))
    exchange.route = Route(id="route", path="/*", service="library", timeout_s=0.15)
    instance = Instance("library", Endpoint(address="a", port=80, scheme="grpc"))
    channel = Http2Channel(LateCarrier(), instance, exchange, BackendGrpcConfig())
    ended: list[ErrorType | None] = []

    async def call() -> None:
        with pytest.raises(GatewayError) as failure:
            await channel.call(f"{PATH}/Echo", b"", metadata=(), timeout_s=0.15)
        ended.append(failure.value.type)

    async def wait() -> None:
        await asyncio.sleep(0.2)  # on the same clock, so that load changes nothing
        ended.append(None)

    await asyncio.gather(call(), wait())
    assert ended == [ErrorType.UPSTREAM_TIMEOUT, None]
