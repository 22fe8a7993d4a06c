"""What the gateway refuses, and what breaks on the way: clients of gRPC get a status of gRPC."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import grpc  # type: ignore[import-untyped]  # has no types of its own
import grpc.aio  # type: ignore[import-untyped]  # as above
import h2.config
import h2.connection
import h2.events
import pytest

from gateway_grpc.status import GrpcStatus
from gateway_grpc.status_fields import MAX_MESSAGE_BYTES, code_of, status_fields

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway.testing import GatewayFactory

pytestmark = pytest.mark.anyio

PATIENCE_S = 10.0


def settings(service: Any, **keys: Any) -> dict[str, Any]:
    gateway = keys.pop("gateway", {})
    frontend = {"http2": {}, **gateway.pop("frontend", {})}
    made: dict[str, Any] = service.settings(keys.pop("grpc", None), gateway={"frontend": frontend, **gateway}, **keys)
    return made


async def failure_of(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    return failure.value


async def test_a_path_without_a_route_is_no_method(gateway_factory: GatewayFactory, connect: Any, service: Any) -> None:
    library = connect(await gateway_factory(settings(service, path="/elsewhere/*")))
    error = await failure_of(library.Echo(library.book()))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert dict(error.trailing_metadata())["x-request-id"]


async def test_no_instances_are_unavailable(gateway_factory: GatewayFactory, connect: Any, service: Any) -> None:
    made = settings(service)
    made["registry"]["static"]["services"][0]["instances"][0]["health"] = "unhealthy"
    library = connect(await gateway_factory(made))
    error = await failure_of(library.Echo(library.book()))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "no healthy instances")


async def test_a_used_up_limit_says_when_to_come_again(
    gateway_factory: GatewayFactory, connect: Any, service: Any
) -> None:
    library = connect(await gateway_factory(settings(service, rateLimit=1, rateLimitBurst=1)))
    await library.Echo(library.book())
    error = await failure_of(library.Echo(library.book()))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(error.trailing_metadata())["retry-after"] == "1"


class BareService(asyncio.Protocol):
    """Serves HTTP/2 by the library h2: a request gets the answers, then the connection ends."""

    def __init__(self, answers: Sequence[tuple[str, Any]], opened: list[asyncio.Transport]) -> None:
        self._answers = answers
        self._opened = opened
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._opened.append(self._transport)
        self._connection.initiate_connection()

    def data_received(self, data: bytes) -> None:
        for event in self._connection.receive_data(data):
            if isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
                for kind, what in self._answers:
                    if kind == "headers":
                        self._connection.send_headers(event.stream_id, what)
                    else:
                        self._connection.send_data(event.stream_id, what, end_stream=kind == "end")
                asyncio.get_running_loop().call_later(0.1, self._transport.abort)
        self._transport.write(self._connection.data_to_send())


@contextlib.asynccontextmanager
async def bare_service(*answers: tuple[str, Any]) -> AsyncIterator[int]:
    """Serve; gives the port."""
    opened: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_server(lambda: BareService(answers, opened), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for transport in opened:
            transport.abort()
        await asyncio.sleep(0.01)


async def test_an_answer_that_is_no_grpc_is_named_by_its_status(
    gateway_factory: GatewayFactory, connect: Any, service: Any
) -> None:
    """Such as a proxy's before the service; "HTTP to gRPC Status Code Mapping"."""
    answer = [(":status", "403"), ("content-type", "text/html")]
    async with bare_service(("headers", answer), ("end", b"<p>no")) as service.port:
        library = connect(await gateway_factory(settings(service)))
        error = await failure_of(library.Echo(library.book()))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert error.details() == "the service answered with HTTP status 403, not with gRPC"


async def test_another_status_of_http_than_200_is_the_status(
    gateway_factory: GatewayFactory, connect: Any, service: Any
) -> None:
    """Whatever its content type: where there is no status of gRPC ("HTTP to gRPC Status Code Mapping")."""
    answer = [(":status", "503"), ("content-type", "application/grpc")]
    async with bare_service(("headers", answer), ("end", b"")) as service.port:
        gateway = await gateway_factory(settings(service))
        library = connect(gateway)
        error = await failure_of(library.Echo(library.book()))
        in_json = await service.call(gateway, "Echo")
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error.details() == "the service answered with HTTP status 503, not with gRPC"
    assert (in_json.status, in_json.json()["grpc"]["status"]) == (503, "UNAVAILABLE")


async def test_nothing_is_passed_on_behind_a_status(
    gateway_factory: GatewayFactory, service: Any, h2_client: Any
) -> None:
    """A head with a status is all of an answer ("Trailers-Only"); the rest would know no limit and no deadline."""
    head = [*GRPC, ("grpc-status", "5")]
    async with bare_service(("headers", head), ("data", b"\0\0\0\0\0"), ("data", b"<html>")) as service.port:
        gateway = await gateway_factory(settings(service))
        async with h2_client(gateway) as client:
            got = await client.call("/library.v1.Library/List", b"\0\0\0\0\0")
    assert (got.fields["grpc-status"], got.body, got.reset) == ("5", b"", None)


GRPC = [(":status", "200"), ("content-type", "application/grpc")]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([("data", b"\0\0\0\0\0")], grpc.StatusCode.UNAVAILABLE),  # and the connection ends
        ([("end", b"\0\0\0\0\0")], grpc.StatusCode.UNKNOWN),  # no trailers
        ([("end", b"")], grpc.StatusCode.UNKNOWN),
        ([("data", b"\0\0\0\0\0"), ("data", b"<html>")], grpc.StatusCode.INTERNAL),  # no message
    ],
)
async def test_a_stream_that_breaks_off_has_a_status(
    gateway_factory: GatewayFactory, connect: Any, service: Any, answers: Any, code: Any
) -> None:
    async with bare_service(("headers", GRPC), *answers) as service.port:
        library = connect(await gateway_factory(settings(service)))
        call = library.List(library.book())
        if code is grpc.StatusCode.UNAVAILABLE:
            assert await call.read() == library.book()
        error = await failure_of(call.read())
    assert error.code() is code


# Deadlines.


async def test_a_slow_service_meets_the_clients_deadline(
    gateway_factory: GatewayFactory, service: Any, h2_client: Any
) -> None:
    """The client's own clock does not count here: it is one that would wait."""
    gateway = await gateway_factory(settings(service))
    async with h2_client(gateway) as client:
        got = await client.call("/library.v1.Library/Sleep", b"\0\0\0\0\0", ("grpc-timeout", "200m"))
    assert got.fields["grpc-status"] == "4"
    assert got.fields["grpc-message"] == "the deadline of the call is exceeded"
    async with asyncio.timeout(PATIENCE_S):
        await service.cancelled.wait()


async def test_a_slow_stream_meets_the_clients_deadline(
    gateway_factory: GatewayFactory, service: Any, h2_client: Any
) -> None:
    gateway = await gateway_factory(settings(service))
    message = service.book(page_count=1, is_lent=True).SerializeToString()
    async with h2_client(gateway) as client:
        framed = len(message).to_bytes(5, "big") + message
        got = await client.call("/library.v1.Library/List", framed, ("grpc-timeout", "300m"))
    assert got.status == "200"
    assert got.body
    assert got.trailers["grpc-status"] == "4"
    async with asyncio.timeout(PATIENCE_S):
        await service.cancelled.wait()


async def test_time_that_is_over_already_asks_nobody(
    gateway_factory: GatewayFactory, service: Any, h2_client: Any
) -> None:
    gateway = await gateway_factory(settings(service))
    async with h2_client(gateway) as client:
        got = await client.call("/library.v1.Library/Echo", b"\0\0\0\0\0", ("grpc-timeout", "1n"))
    assert got.fields["grpc-status"] == "4"
    assert not service.received


# Bad requests.


@pytest.mark.parametrize("value", ["", "1", "S", "-1S", "1s", "123456789S", "1.5S", "1S1S"])
async def test_a_timeout_that_is_none_is_refused(
    gateway_factory: GatewayFactory, service: Any, h2_client: Any, value: str
) -> None:
    gateway = await gateway_factory(settings(service))
    async with h2_client(gateway) as client:
        got = await client.call("/library.v1.Library/Echo", b"\0\0\0\0\0", ("grpc-timeout", value))
    assert got.reset or got.fields["grpc-status"] == "3"
    assert not service.received


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\2\0\0\0\0", "3"),  # a flag that there is not
        (b"\0\0\0", "3"),  # no whole prefix
        (b"\0\0\0\0\2x", "3"),  # no whole message
        (b"\0\xff\xff\xff\xff", "8"),
        (b"\0\0\0\x04\1" + b"x" * 1025, "8"),  # a byte too much
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_bytes_that_are_no_messages_are_refused(
    gateway_factory: GatewayFactory, service: Any, h2_client: Any, body: bytes, status: str, *, at_once: bool
) -> None:
    backend = {"grpc": {"maxMessageSize": 1024}}
    gateway = await gateway_factory(settings(service, gateway={"backend": backend}))
    async with h2_client(gateway) as client:
        got = await client.call("/library.v1.Library/Echo", body, at_once=at_once)
    assert got.fields["grpc-status"] == status
    assert not service.received


async def test_a_message_of_the_service_that_is_too_large(
    gateway_factory: GatewayFactory, connect: Any, service: Any
) -> None:
    backend = {"grpc": {"maxReceiveMessageSize": "100KB"}}
    library = connect(await gateway_factory(settings(service, gateway={"backend": backend})))
    assert len((await library.Grow(library.book(page_count=99_000))).name) == 99_000
    error = await failure_of(library.Grow(library.book(page_count=200_000)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "a message of the service is too large"


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_only_post_calls(gateway_factory: GatewayFactory, service: Any, h2_client: Any, method: str) -> None:
    gateway = await gateway_factory(settings(service))
    async with h2_client(gateway) as client:
        got = await client.call("/library.v1.Library/Echo", b"\0\0\0\0\0", method=method)
    assert got.fields["grpc-status"] == "12"
    assert not service.received


@pytest.mark.parametrize("content_type", ["application/grpcx", "application/grpc-webx", "text/plain"])
async def test_what_only_looks_like_grpc_is_refused(
    gateway_factory: GatewayFactory, service: Any, h2_client: Any, content_type: str
) -> None:
    gateway = await gateway_factory(settings(service))
    async with h2_client(gateway) as client:
        got = await client.call("/library.v1.Library/Echo", b"\0\0\0\0\0", content_type=content_type)
    assert got.status == "415"
    assert not service.received


async def test_grpc_needs_http_2(gateway_factory: GatewayFactory, service: Any) -> None:
    gateway = await gateway_factory(settings(service))
    answer = await gateway.ask(
        "POST", "/library.v1.Library/Echo", headers={"content-type": "application/grpc"}, body=b"\0\0\0\0\0"
    )
    assert (answer.status, answer["grpc-status"]) == (200, "3")
    assert answer["grpc-message"] == "gRPC needs HTTP/2; clients of HTTP/1.1 may use gRPC-Web"
    assert not service.received


# Fields.


def test_messages_are_encoded_as_percent_and_hexadecimal_digits() -> None:
    """gRPC over HTTP2, "Status-Message"."""
    fields = dict(status_fields(GrpcStatus.NOT_FOUND, "100 % ü\n"))
    assert fields == {b"grpc-status": b"5", b"grpc-message": b"100 %25 %C3%BC%0A"}
    assert b"grpc-message" not in dict(status_fields(GrpcStatus.OK, ""))


def test_long_messages_are_cut() -> None:
    assert len(dict(status_fields(GrpcStatus.UNKNOWN, "x" * 10_000))[b"grpc-message"]) == MAX_MESSAGE_BYTES


def test_no_character_is_cut_in_two() -> None:
    message = dict(status_fields(GrpcStatus.UNKNOWN, "x" + "ü" * 10_000))[b"grpc-message"]
    assert unquote(message.decode("ascii"), errors="strict") == "x" + "ü" * ((MAX_MESSAGE_BYTES - 1) // 2)


@pytest.mark.parametrize(("value", "code"), [(b"5", 5), (b"99", 2), (b"x", 2), (b"", 2), (None, None)])
def test_statuses_that_there_are_not(value: bytes | None, code: int | None) -> None:
    assert code_of(value) == code
