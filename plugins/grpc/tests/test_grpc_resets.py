"""Services that reset streams: each code is the status that a client would see without a gateway.

gRPC over HTTP2, "Errors": which code of HTTP/2 is which status.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import grpc  # type: ignore[import-untyped]  # has no types of its own
import grpc.aio  # type: ignore[import-untyped]  # as above
import h2.config
import h2.connection
import h2.events
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from gateway.testing import Answer, GatewayFactory, RunningGateway

pytestmark = pytest.mark.anyio

ECHO = "/library.v1.Library/Echo"
MESSAGE = b"\0\0\0\0\0"
NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY = 0, 2, 7, 8, 11, 12

STATUSES = {
    NO_ERROR: "INTERNAL",
    0x1: "INTERNAL",  # PROTOCOL_ERROR
    INTERNAL_ERROR: "INTERNAL",
    0x3: "INTERNAL",  # FLOW_CONTROL_ERROR
    0x4: "INTERNAL",  # SETTINGS_TIMEOUT
    0x5: "INTERNAL",  # STREAM_CLOSED: not in the table; as grpcio and grpc-go have it
    0x6: "INTERNAL",  # FRAME_SIZE_ERROR
    REFUSED_STREAM: "UNAVAILABLE",
    CANCEL: "CANCELLED",
    0x9: "INTERNAL",  # COMPRESSION_ERROR
    0xA: "INTERNAL",  # CONNECT_ERROR
    ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
    INADEQUATE_SECURITY: "PERMISSION_DENIED",
    0xD: "INTERNAL",  # HTTP_1_1_REQUIRED: as STREAM_CLOSED
    0x77: "INTERNAL",  # none that there is
}
HTTP = {
    "OK": 200,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "CANCELLED": 499,
    "RESOURCE_EXHAUSTED": 429,
    "PERMISSION_DENIED": 403,
}


class Resetter(asyncio.Protocol):
    """Resets each stream with the code that the call's metadata ``x-code`` says.

    Args:
        calls: Counts the calls.
        transports: Gets the connection.
        good_calls: From this call on it answers well.
    """

    def __init__(self, calls: list[str], transports: list[asyncio.Transport], good_calls: float) -> None:
        self._calls = calls
        self._transports = transports
        self._good_calls = good_calls
        self._fields: dict[int, dict[str, str]] = {}
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transports.append(self._transport)
        self._connection.initiate_connection()

    def data_received(self, data: bytes) -> None:
        for event in self._connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._fields[event.stream_id or 0] = cast("dict[str, str]", dict(event.headers or ()))
            elif isinstance(event, h2.events.StreamEnded):
                self._answer(event.stream_id or 0)
        self._flush()

    def _answer(self, stream_id: int) -> None:
        fields = self._fields.pop(stream_id)
        self._calls.append(fields[":path"])
        if len(self._calls) > self._good_calls:
            self._begin(stream_id, MESSAGE)
            self._connection.send_headers(stream_id, [("grpc-status", "0")], end_stream=True)
            return
        when = fields.get("x-when", "at once")
        if when != "at once":
            self._begin(stream_id, MESSAGE if when == "behind a message" else b"")
        if when == "behind a message":
            self._reset_in_a_while(stream_id, int(fields["x-code"]), turns=10)
        elif "x-sleep" in fields:
            self._flush()
            asyncio.get_running_loop().call_later(0.02, self._oversleep, stream_id, float(fields["x-sleep"]))
        else:
            self._reset(stream_id, int(fields["x-code"]))

    def _begin(self, stream_id: int, content: bytes) -> None:
        self._connection.send_headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        if content:
            self._connection.send_data(stream_id, content)

    def _oversleep(self, stream_id: int, sleep_s: float) -> None:
        """Hold up the gateway too, which runs in the same loop, so that its own timer is late."""
        time.sleep(sleep_s)
        self._reset(stream_id, CANCEL)

    def _reset_in_a_while(self, stream_id: int, code: int, turns: int) -> None:
        """Let the gateway, which runs in the same loop, read what was sent first, however slow the machine is."""
        if turns:
            asyncio.get_running_loop().call_later(0.002, self._reset_in_a_while, stream_id, code, turns - 1)
        else:
            self._reset(stream_id, code)

    def _reset(self, stream_id: int, code: int) -> None:
        if not self._transport.is_closing():
            self._connection.reset_stream(stream_id, code)
            self._flush()

    def _flush(self) -> None:
        self._transport.write(self._connection.data_to_send())


@contextlib.asynccontextmanager
async def resetting(*, good_after: float = float("inf")) -> AsyncIterator[tuple[int, list[str]]]:
    """Serve; gives the port, and what was called.

    Args:
        good_after: How many calls are reset; the following are answered well.
    """
    calls: list[str] = []
    transports: list[asyncio.Transport] = []
    server = await asyncio.get_running_loop().create_server(
        lambda: Resetter(calls, transports, good_after), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1], calls
    finally:
        server.close()
        for transport in transports:
            transport.abort()
        await asyncio.sleep(0.01)


def settings(service: Any, *, rule: Mapping[str, Any] = MappingProxyType({}), **gateway: Any) -> dict[str, Any]:
    made: dict[str, Any] = service.settings(gateway={"frontend": {"http2": {}}, **gateway}, **rule)
    return made


async def status_in_json(service: Any, gateway: RunningGateway, code: int, when: str, method: str = "Echo") -> str:
    """Return the status of a call that was made of JSON."""
    answer: Answer = await service.call(gateway, method, x_code=str(code), x_when=when)
    problem = answer.json()
    by_http = {status: name for name, status in HTTP.items()}
    assert (answer.status, answer["content-type"]) == (problem["status"], "application/problem+json")
    assert problem.get("grpc", {}).get("status") in (None, by_http[answer.status])
    return by_http[answer.status]


def status_of_web(answer: Answer) -> int:
    """Return the status of a call of gRPC-Web: in the head, or in the last message."""
    if "grpc-status" in answer:
        return int(answer["grpc-status"])
    return int(answer.body.rpartition(b"grpc-status: ")[2].partition(b"\r\n")[0])


@pytest.mark.parametrize("when", ["at once", "behind the head", "behind a message"])
async def test_each_code_is_a_status(gateway_factory: GatewayFactory, service: Any, connect: Any, when: str) -> None:
    async with resetting() as (service.port, _):
        gateway = await gateway_factory(settings(service))
        library = connect(gateway)
        seen: dict[str, dict[int, str]] = {"gRPC": {}, "gRPC-Web": {}, "JSON": {}, "JSON, many": {}}
        for code in STATUSES:
            call = library.Echo(library.book(), metadata=(("x-code", str(code)), ("x-when", when)))
            seen["gRPC"][code] = (await call.code()).name
            fields = {"content-type": "application/grpc-web", "x-code": str(code), "x-when": when}
            answer = await gateway.ask("POST", ECHO, headers=fields, body=MESSAGE)
            seen["gRPC-Web"][code] = next(
                each.name for each in grpc.StatusCode if each.value[0] == status_of_web(answer)
            )
            seen["JSON"][code] = await status_in_json(service, gateway, code, when)
            seen["JSON, many"][code] = await status_in_json(service, gateway, code, when, "Count")
    assert seen == dict.fromkeys(seen, STATUSES)


async def test_what_a_reset_says_is_told(gateway_factory: GatewayFactory, service: Any, connect: Any) -> None:
    async with resetting() as (service.port, _):
        gateway = await gateway_factory(settings(service))
        library = connect(gateway)
        said = {}
        for code in (NO_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM, INADEQUATE_SECURITY):
            metadata = (("x-code", str(code)),)
            said[code] = await library.Echo(library.book(), metadata=metadata).details()
            in_json = (await service.call(gateway, "Echo", x_code=str(code))).json()
            assert in_json["detail"] == said[code]
    assert said == {
        NO_ERROR: "the service broke the call off (HTTP/2 code 0)",
        REFUSED_STREAM: "the service refused the call (HTTP/2 code 7)",
        CANCEL: "the service cancelled the call (HTTP/2 code 8)",
        ENHANCE_YOUR_CALM: "bandwidth exceeded (HTTP/2 code 11)",
        INADEQUATE_SECURITY: "permission denied: the protocol is not secure enough for the call (HTTP/2 code 12)",
    }


async def test_a_stream_of_lines_ends_with_the_status(gateway_factory: GatewayFactory, service: Any) -> None:
    async with resetting() as (service.port, _):
        gateway = await gateway_factory(settings(service))
        answer = await service.call(gateway, "List", x_code="11", x_when="behind a message")
    first, last = answer.text.splitlines()
    assert first == "{}"
    assert '"status": "RESOURCE_EXHAUSTED"' in last


@pytest.mark.parametrize("when", ["at once", "behind the head"])
async def test_a_service_that_cancels_when_the_time_is_over_says_that(
    gateway_factory: GatewayFactory, service: Any, h2_client: Any, when: str
) -> None:
    """As some do at the deadline they were told: the client has not to know who of the two was faster."""
    async with resetting() as (service.port, _):
        gateway = await gateway_factory(settings(service))
        fields = (("grpc-timeout", "100m"), ("x-sleep", "0.1"), ("x-when", when))
        async with h2_client(gateway) as client:
            got = await client.call(ECHO, MESSAGE, *fields)
        by_client = await service.call(gateway, "Echo", grpc_timeout="100m", x_sleep="0.1", x_when=when)
        gateway = await gateway_factory(settings(service, rule={"timeout": "100ms"}))
        by_rule = await service.call(gateway, "Echo", x_sleep="0.1", x_when=when)
    assert {**got.fields, **got.trailers}["grpc-status"] == "4"
    assert (by_client.status, by_rule.status) == (504, 504)


# Policies.


async def test_a_refused_stream_is_tried_at_another_instance(
    gateway_factory: GatewayFactory, service: Any, serve: Any, connect: Any
) -> None:
    """RFC 9113 section 8.7: it was not looked at, so that even a POST may be sent again."""
    async with resetting() as (port, calls):
        made = settings(service)
        refusing = {**service.instance, "port": port}
        made["registry"]["static"]["services"][0]["instances"].append(refusing)
        gateway = await gateway_factory(made)
        library = connect(gateway)
        for _ in range(2):
            await library.Echo(library.book(), metadata=(("x-code", "7"),))
            assert (await service.call(gateway, "Echo", x_code="7")).status == 200
    assert calls
    assert len(service.received) == 4


TRIES_OF_CONNECTIONS = 3
"""How often a refused stream is opened again before anybody else hears of it (gateway-http2)."""


@pytest.mark.parametrize(
    ("code", "resets", "status"),
    [(REFUSED_STREAM, TRIES_OF_CONNECTIONS, 200), (INTERNAL_ERROR, 1, 500), (CANCEL, 1, 499)],
)
async def test_retries_see_the_status(
    gateway_factory: GatewayFactory, service: Any, connect: Any, code: int, resets: int, status: int
) -> None:
    """A call that may have done something is repeated only if its status is among those of the configuration."""
    retry = {"initialDelay": "1ms", "methods": ["POST"]}
    for client in ("gRPC", "JSON"):
        async with resetting(good_after=resets) as (service.port, calls):
            gateway = await gateway_factory(settings(service, retry=retry))
            if client == "JSON":
                seen = (await service.call(gateway, "Echo", x_code=str(code))).status
            else:
                library = connect(gateway)
                call = library.Echo(library.book(), metadata=(("x-code", str(code)),))
                seen = HTTP[(await call.code()).name]
        assert (client, seen, len(calls)) == (client, status, resets + (status == 200))


@pytest.mark.parametrize(
    ("code", "is_failure"),
    [(INTERNAL_ERROR, True), (REFUSED_STREAM, True), (CANCEL, False), (ENHANCE_YOUR_CALM, False)],
)
async def test_circuits_see_the_status(
    gateway_factory: GatewayFactory, service: Any, connect: Any, code: int, *, is_failure: bool
) -> None:
    """What a service decides, such as to cancel a call, says nothing about whether it works."""
    async with resetting() as (service.port, calls):
        gateway = await gateway_factory(settings(service, circuitBreaker={"maxFailures": 2, "timeout": "1m"}))
        library = connect(gateway)
        for _ in range(2):
            await library.Echo(library.book(), metadata=(("x-code", str(code)),)).code()
        before = len(calls)
        await library.Echo(library.book(), metadata=(("x-code", str(code)),)).code()
        await service.call(gateway, "Echo", x_code=str(code))
    assert (len(calls) == before) is is_failure
