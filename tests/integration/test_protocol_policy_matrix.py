"""Each protocol with each policy: what guards plain HTTP guards all that goes through the gateway.

A row of ``PROTOCOLS`` says how its clients call and what they are told; a test for each policy says what must hold for
all of them. Where another thing holds for a pair, ``OTHERWISE`` says which, and why.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # has no types of its own
import grpc.aio  # type: ignore[import-untyped]  # as above
import httpcore
import pytest
import websockets
from google.protobuf import descriptor_pb2, struct_pb2
from websockets.asyncio.client import connect

from gateway.testing import Reply, RunningGateway, Upstream, websocket_echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from gateway.testing import GatewayFactory

pytestmark = pytest.mark.anyio

ORIGIN = "https://app.example"
API_KEY = "a-key-of-enough-length-for-tests"
SECRET = "a secret that is long enough for HS256 to take it"
METHOD = "/matrix.v1.Echo/Echo"
STATUS_OF = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
}
CODE_OF = {str(code.value[0]): status for code, status in STATUS_OF.items()}


@dataclass
class Outcome:
    """What a client was told: a status of HTTP, or the one that stands for its own, and fields."""

    status: int
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Service:
    """The service of a test, whatever it speaks.

    Attributes:
        instance: Where it is, as the configuration has it.
        failures: How many calls it fails next.
        asked: How often it was called.
    """

    instance: dict[str, Any] = field(default_factory=dict)
    failures: int = 0
    asked: int = 0

    def fails(self) -> bool:
        """Take note of a call; returns whether it is to fail."""
        self.asked += 1
        self.failures -= 1
        return self.failures >= 0


# Clients.


async def call_http1(gateway: RunningGateway, fields: Mapping[str, str]) -> Outcome:
    answer = await gateway.ask("GET", METHOD, headers=fields)
    return Outcome(answer.status, dict(answer.fields))


async def call_http2(gateway: RunningGateway, fields: Mapping[str, str]) -> Outcome:
    async with httpcore.AsyncConnectionPool(http1=False, http2=True) as pool:
        answer = await pool.request("GET", gateway.url.rstrip("/") + METHOD, headers=list(fields.items()))
    return Outcome(answer.status, {name.decode(): value.decode() for name, value in answer.headers})


async def call_websocket(gateway: RunningGateway, fields: Mapping[str, str]) -> Outcome:
    url = f"ws{gateway.url.removeprefix('http').rstrip('/')}{METHOD}"
    try:
        async with connect(url, additional_headers=fields, proxy=None) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
            assert socket.response is not None
            return Outcome(200, {name.lower(): value for name, value in socket.response.headers.raw_items()})
    except websockets.InvalidStatus as refusal:
        headers = refusal.response.headers
        return Outcome(refusal.response.status_code, {name.lower(): value for name, value in headers.raw_items()})


async def call_sse(gateway: RunningGateway, fields: Mapping[str, str]) -> Outcome:
    async with gateway.stream("GET", METHOD, headers={"accept": "text/event-stream", **fields}) as answer:
        if answer.status == 200:
            assert await anext(answer.pieces()) == b"data: hello\n\n"
        return Outcome(answer.status, dict(answer.fields))


async def call_grpc(gateway: RunningGateway, fields: Mapping[str, str]) -> Outcome:
    async with grpc.aio.insecure_channel(gateway.url.partition("//")[2].rstrip("/")) as channel:
        call = channel.unary_unary(METHOD)(b"", metadata=tuple(fields.items()))
        code = await call.code()
        return Outcome(STATUS_OF[code], {**dict(await call.initial_metadata()), **dict(await call.trailing_metadata())})


async def call_grpc_web(gateway: RunningGateway, fields: Mapping[str, str]) -> Outcome:
    asked = {"content-type": "application/grpc-web+proto", **fields}
    answer = await gateway.ask("POST", METHOD, headers=asked, body=struct.pack(">BL", 0, 0))
    assert answer.status == 200
    told = dict(answer.fields)
    if "grpc-status" not in told:
        _, _, trailers = answer.body.rpartition(b"\x80")
        told |= dict(line.split(": ", 1) for line in trailers[4:].decode().splitlines())
    return Outcome(CODE_OF[told["grpc-status"]], told)


async def call_grpc_json(gateway: RunningGateway, fields: Mapping[str, str]) -> Outcome:
    asked = {"content-type": "application/json", **fields}
    answer = await gateway.ask("POST", METHOD, headers=asked, body=b"{}")
    return Outcome(answer.status, dict(answer.fields))


def descriptors() -> str:
    """Return the descriptor of the service, in base64."""
    described = descriptor_pb2.FileDescriptorProto(
        name="matrix.proto", package="matrix.v1", syntax="proto3", dependency=["google/protobuf/struct.proto"]
    )
    described.service.add(name="Echo").method.add(
        name="Echo", input_type=".google.protobuf.Struct", output_type=".google.protobuf.Struct"
    )
    known = descriptor_pb2.FileDescriptorProto()
    struct_pb2.DESCRIPTOR.CopyToProto(known)
    described_set = descriptor_pb2.FileDescriptorSet(file=[known, described])
    return base64.b64encode(described_set.SerializeToString()).decode()


# Services.


def reply_http(_request: object) -> Reply:
    return Reply()


def reply_events(_request: object) -> Reply:
    return Reply(headers={"content-type": "text/event-stream"}, body=[b"data: hello\n\n"])


class GrpcService(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no types
    """Sends back the one message it gets."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def service(self, details: Any) -> Any:
        assert details.method == METHOD
        return grpc.unary_unary_rpc_method_handler(self._echo)

    async def _echo(self, message: bytes, context: Any) -> bytes:
        if self._service.fails():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        return message


@dataclass(frozen=True)
class Protocol:
    """A row.

    Attributes:
        call: How a client calls.
        reply: What a service of HTTP answers; ``None`` has a service of gRPC.
        rule: What the rule says of it.
    """

    call: Callable[[RunningGateway, Mapping[str, str]], Awaitable[Outcome]]
    reply: Callable[[Any], Reply] | None
    rule: Mapping[str, Any] = field(default_factory=dict)


PROTOCOLS = {
    "http1": Protocol(call_http1, reply_http),
    "http2": Protocol(call_http2, reply_http),
    "websocket": Protocol(call_websocket, websocket_echo, {"protocol": "websocket"}),
    "sse": Protocol(call_sse, reply_events, {"protocol": "sse"}),
    "grpc": Protocol(call_grpc, None, {"protocol": "grpc"}),
    "grpc-web": Protocol(call_grpc_web, None, {"protocol": "grpc"}),
    "grpc-json": Protocol(call_grpc_json, None, {"protocol": "grpc", "grpc": {"protoDescriptorBase64": descriptors()}}),
}

OTHERWISE = {
    ("websocket", "retry"): "a handshake is not repeated: its clients connect again by themselves",
    ("sse", "retry"): "a stream is not repeated: its clients connect again by themselves",
    ("websocket", "cors"): "browsers do not ask CORS about sockets: gateway-websocket checks the Origin itself",
    ("grpc", "cors"): "no browser speaks gRPC itself; the fields do no harm",
}


class World:
    """A protocol, its service, and a gateway between.

    Attributes:
        name: The protocol.
        service: The service.
        gateway: The gateway, once it was started.
    """

    gateway: RunningGateway

    def __init__(self, name: str, service: Service, factory: GatewayFactory) -> None:
        self.name = name
        self.service = service
        self._protocol = PROTOCOLS[name]
        self._factory = factory

    async def start(self, gateway: Mapping[str, Any] | None = None, **rule: Any) -> None:
        """Start the gateway with a policy."""
        registry = {"static": {"services": [{"name": "service", "instances": [self.service.instance]}]}}
        rules = [{"id": "route", "path": "/*", "serviceName": "service", **self._protocol.rule, **rule}]
        self.gateway = await self._factory(
            {"frontend": {"http2": {}}, "registry": registry, "router": {"rules": rules}, **(gateway or {})}
        )

    async def call(self, **fields: str) -> Outcome:
        """Call once, over a connection of its own."""
        return await self._protocol.call(
            self.gateway, {name.replace("_", "-"): value for name, value in fields.items()}
        )

    def holds_otherwise(self, policy: str) -> bool:
        """Tell whether something else holds for the pair."""
        return (self.name, policy) in OTHERWISE

    def counted(self, name: str, **labels: str) -> float:
        """Return what a counter of the gateway shows."""
        (family,) = [each for each in self.gateway.gateway.plane._metrics.snapshot() if each.name == name]
        return sum(
            value
            for values, value in family.series.items()
            if isinstance(value, float) and labels.items() <= dict(zip(family.label_names, values, strict=True)).items()
        )


@pytest.fixture(params=PROTOCOLS)
async def world(
    request: pytest.FixtureRequest, gateway_factory: GatewayFactory, upstream: Upstream
) -> AsyncIterator[World]:
    service = Service()
    reply = PROTOCOLS[request.param].reply
    if reply is not None:
        upstream.answer = lambda asked: Reply(503, body=b"down") if service.fails() else reply(asked)
        service.instance = upstream.instance
        yield World(request.param, service, gateway_factory)
        return
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((GrpcService(service),))
    service.instance = {"address": "127.0.0.1", "port": server.add_insecure_port("127.0.0.1:0"), "scheme": "grpc"}
    await server.start()
    yield World(request.param, service, gateway_factory)
    await server.stop(None)


# Policies.


async def test_nothing_at_all(world: World) -> None:
    await world.start()
    assert (await world.call()).status == 200
    assert world.service.asked == 1


async def test_apikey(world: World) -> None:
    await world.start({"auth": {"required": True, "apiKey": {"keys": {"reader": {"key": API_KEY}}}}})
    assert (await world.call()).status == 401
    assert (await world.call(x_api_key="another")).status == 401
    assert world.service.asked == 0
    assert (await world.call(x_api_key=API_KEY)).status == 200


def token(**claims: Any) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = f"{part(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{part(json.dumps(claims).encode())}"
    return f"{signed}.{part(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))}"


async def test_jwt(world: World) -> None:
    await world.start({"auth": {"required": True, "jwt": {"secret": SECRET, "algorithms": "HS256"}}})
    now_s = time.time()
    assert (await world.call()).status == 401
    assert (await world.call(authorization=f"Bearer {token(sub='jo', exp=now_s - 600)}")).status == 401
    assert world.service.asked == 0
    assert (await world.call(authorization=f"Bearer {token(sub='jo', exp=now_s + 600)}")).status == 200


async def test_ratelimit(world: World) -> None:
    await world.start(rateLimit={"rate": "1/minute"})
    assert (await world.call()).status == 200
    refused = await world.call()
    assert (refused.status, world.service.asked) == (429, 1)
    assert int(refused.fields["retry-after"]) > 0


async def test_retry(world: World) -> None:
    await world.start({"retry": {"initialDelay": "1ms", "methods": ["GET", "POST"]}})
    world.service.failures = 1
    status = (await world.call()).status
    if world.holds_otherwise("retry"):
        assert (status, world.service.asked) == (503, 1)
    else:
        assert (status, world.service.asked) == (200, 2)


async def test_retry_of_what_was_not_sent(world: World, upstream_factory: Any) -> None:
    """One of two instances is gone: nobody notices, whatever the protocol, even a POST."""
    gone = await upstream_factory()
    await gone.stop()
    there = world.service.instance
    world.service.instance = {**there, "port": gone.port}
    registry = {"static": {"services": [{"name": "service", "instances": [world.service.instance, there]}]}}
    await world.start({"retry": {"initialDelay": "1ms"}, "registry": registry})
    assert [(await world.call()).status for _ in range(2)] == [200, 200]


async def test_circuitbreaker(world: World) -> None:
    await world.start({"circuitBreaker": {"maxFailures": 2, "timeout": "1m"}})
    world.service.failures = 2
    assert [(await world.call()).status for _ in range(3)] == [503, 503, 503]
    assert world.service.asked == 2


async def test_cors(world: World) -> None:
    rule = {"websocket": {"allowedOrigins": [ORIGIN]}} if world.name == "websocket" else {}
    cors = {"allowedOrigins": [ORIGIN], "exposedHeaders": ["grpc-status"]}
    await world.start({"cors": cors}, rateLimit="1/minute", **rule)
    for status in (200, 429):
        answer = await world.call(origin=ORIGIN)
        assert answer.status == status
        if not world.holds_otherwise("cors"):
            assert answer.fields["access-control-allow-origin"] == ORIGIN
            assert answer.fields["access-control-expose-headers"] == "grpc-status"


async def test_metrics(world: World) -> None:
    await world.start({"metrics": {"path": "/metrics"}}, rateLimit={"rate": "1/minute"})
    for _ in range(2):
        await world.call()
    await world.gateway.eventually(lambda: world.counted("gateway_http_requests_total", path="/*") == 2)
    if world.name in ("grpc", "grpc-web"):
        # To HTTP both are 200; what they were to gRPC is counted beside.
        for code in ("OK", "RESOURCE_EXHAUSTED"):
            assert world.counted("gateway_grpc_calls_total", route="route", code=code) == 1


async def test_access_log(world: World, tmp_path: Path) -> None:
    await world.start({"plugins": {"jsonlog": {"output": "access.log", "flushInterval": "5ms"}}}, rateLimit="1/minute")
    path = tmp_path / "access.log"

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    for _ in range(2):
        await world.call()
    await world.gateway.eventually(lambda: len(lines()) == 2)
    assert [line["route"] for line in lines()] == ["route", "route"]
    assert ["error" in line for line in lines()] == [False, True]


async def test_shadow(world: World) -> None:
    """A limit that is only watched: nobody is refused, and it is counted who would have been."""
    await world.start(rateLimit={"rate": "1/minute", "mode": "shadow"})
    assert [(await world.call()).status for _ in range(2)] == [200, 200]
    assert world.counted("gateway_shadow_decisions_total", plugin="ratelimit") == 1
