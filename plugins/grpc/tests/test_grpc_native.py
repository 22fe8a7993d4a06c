"""Calls of gRPC clients (grpcio), through a gateway to a service of grpcio."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # has no types of its own
import grpc.aio  # type: ignore[import-untyped]  # as above
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # as above

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.testing import GatewayFactory, RunningGateway

pytestmark = pytest.mark.anyio

PATIENCE_S = 10.0


def settings(service: Any, **keys: Any) -> dict[str, Any]:
    """Return the configuration of a gateway that speaks HTTP/2 before a service."""
    gateway = keys.pop("gateway", {})
    frontend = {"http2": {}, **gateway.pop("frontend", {})}
    made: dict[str, Any] = service.settings(keys.pop("grpc", None), gateway={"frontend": frontend, **gateway}, **keys)
    return made


@pytest.fixture
async def gateway(gateway_factory: GatewayFactory, service: Any) -> RunningGateway:
    return await gateway_factory(settings(service))


def has_received(service: Any, count: int) -> bool:
    return len(service.received) == count


# Four kinds of calls.


async def test_one_message_each_way(gateway: RunningGateway, connect: Any, service: Any) -> None:
    library = connect(gateway)
    answer = await library.Echo(library.book(name="Emma", page_count=474))
    assert (answer.name, answer.page_count) == ("Emma", 474)
    assert service.received == [answer]


async def test_many_messages_of_the_service(gateway: RunningGateway, connect: Any) -> None:
    library = connect(gateway)
    call = library.List(library.book(name="Emma", page_count=5))
    assert [book.page_count async for book in call] == [0, 1, 2, 3, 4]


async def test_many_messages_of_the_client(gateway: RunningGateway, connect: Any, service: Any) -> None:
    library = connect(gateway)
    call = library.Count()
    for number in (1, 2):
        await call.write(library.book(name="Emma"))
        # Each gets there before the next is sent.
        await gateway.eventually(partial(has_received, service, number))
    await call.done_writing()
    assert (await call).page_count == 2


async def test_messages_both_ways_are_seen_before_the_next_is_sent(gateway: RunningGateway, connect: Any) -> None:
    library = connect(gateway)
    call = library.Chat()
    for number in range(5):
        await call.write(library.book(name=f"{number}"))
        assert (await call.read()).name == f"re: {number}"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("takes_json", [True, False])
async def test_a_client_that_says_nothing_for_long_is_no_slow_one(
    gateway_factory: GatewayFactory, connect: Any, service: Any, *, takes_json: bool
) -> None:
    """Between messages both sides may rest, whatever `readTimeout` and the rule's `timeout` say."""
    block = {"frontend": {"http": {"readTimeout": "300ms"}}}
    grpc_block = {"enableTranscoding": takes_json}
    gateway = await gateway_factory(settings(service, grpc=grpc_block, timeout="300ms", gateway=block))
    library = connect(gateway)
    call = library.Chat()
    for number in range(2):
        await call.write(library.book(name=f"{number}"))
        assert (await call.read()).name == f"re: {number}"
        await asyncio.sleep(1.0)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_large_messages_flow_as_the_other_side_takes_them(
    gateway_factory: GatewayFactory, connect: Any, service: Any
) -> None:
    gateway = await gateway_factory(settings(service))
    library = connect(gateway, options=[("grpc.max_receive_message_length", -1)])
    call = library.Chat()
    for _ in range(4):
        await call.write(library.book(name="x" * 1_000_000))
        assert len((await call.read()).name) == 1_000_004
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_compressed_messages_pass(gateway: RunningGateway, connect: Any, service: Any) -> None:
    library = connect(gateway)
    book = library.book(name="x" * 10_000)
    assert await library.Echo(book, compression=grpc.Compression.Gzip) == book


async def test_the_same_route_takes_json(gateway: RunningGateway, connect: Any, service: Any) -> None:
    library = connect(gateway)
    await library.Echo(library.book(name="Emma"))
    assert (await service.call(gateway, "Echo", {"name": "Emma"})).json() == {"name": "Emma"}


@pytest.mark.parametrize("scheme", ["grpc", "h2c", "http"])
async def test_schemes_without_tls(gateway_factory: GatewayFactory, connect: Any, service: Any, scheme: str) -> None:
    service.scheme = scheme
    library = connect(await gateway_factory(settings(service)))
    assert (await library.Echo(library.book(name="Emma"))).name == "Emma"


async def test_the_port_for_grpc_may_be_another(gateway_factory: GatewayFactory, connect: Any, service: Any) -> None:
    made = settings(service)
    instance = made["registry"]["static"]["services"][0]["instances"][0]
    instance.update(port=1, metadata={"grpcPort": service.port})
    library = connect(await gateway_factory(made))
    assert (await library.Echo(library.book(name="Emma"))).name == "Emma"


# TLS.


def pem_files(folder: Path, certificate: trustme.LeafCert) -> dict[str, str]:
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    for number, pem in enumerate(certificate.cert_chain_pems):
        pem.write_to_path(str(folder / "cert.pem"), append=number > 0)
    return {"certFile": str(folder / "cert.pem"), "keyFile": str(folder / "key.pem")}


@pytest.mark.parametrize("scheme", ["grpcs", "h2", "grpc"])
async def test_tls_on_both_sides(
    gateway_factory: GatewayFactory, connect: Any, serve: Any, tmp_path: Path, scheme: str
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    pair = certificate.private_key_pem.bytes(), b"".join(each.bytes() for each in certificate.cert_chain_pems)
    service = await serve(credentials=grpc.ssl_server_credentials([pair]))
    service.scheme = scheme
    tls = {"http2": {"tls": {"rootCAFile": "ca.pem"}}, "grpc": {"tls": {"enabled": scheme == "grpc"}}}
    frontend = {"http": {"tls": pem_files(tmp_path, certificate)}}
    gateway = await gateway_factory(settings(service, gateway={"frontend": frontend, "backend": tls}))
    host, port = gateway.gateway.addresses[0]
    library = connect(
        gateway,
        target=f"{host}:{port}",
        credentials=grpc.ssl_channel_credentials(authority.cert_pem.bytes()),
    )
    assert (await library.Echo(library.book(name="Emma"))).name == "Emma"


# Metadata and statuses.


async def test_metadata_both_ways(gateway: RunningGateway, connect: Any, service: Any) -> None:
    library = connect(gateway)
    call = library.Metadata(library.book(), metadata=(("x-plain", "1"), ("x-raw-bin", b"\0\xff\n")))
    await call
    assert service.metadata["x-plain"] == "1"
    assert service.metadata["x-raw-bin"] == b"\0\xff\n"
    first, last = dict(await call.initial_metadata()), dict(await call.trailing_metadata())
    assert (first["x-first"], first["x-raw-bin"]) == ("1", b"\0\1")
    assert last["x-last"] == "2"


@pytest.mark.parametrize("code", [each for each in grpc.StatusCode if each is not grpc.StatusCode.OK])
async def test_statuses_of_the_service_arrive_as_they_are(
    gateway: RunningGateway, connect: Any, code: grpc.StatusCode
) -> None:
    library = connect(gateway)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await library.Fail(library.book(page_count=code.value[0], name="wäre 100% möglich\n", is_lent=True))
    error = failure.value
    assert (error.code(), error.details()) == (code, "wäre 100% möglich\n")
    assert dict(error.trailing_metadata())["x-reason"] == "none"
    assert b"it failed" in dict(error.trailing_metadata())["grpc-status-details-bin"]


async def test_a_failure_behind_messages(gateway: RunningGateway, connect: Any) -> None:
    library = connect(gateway)
    call = library.List(library.book(name="Emma", page_count=2, tags=["fail"]))
    assert [(await call.read()).page_count for _ in range(2)] == [0, 1]
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call.read()
    assert (failure.value.code(), failure.value.details()) == (grpc.StatusCode.DATA_LOSS, "the shelf fell down")


async def test_the_service_may_answer_before_it_heard_everything(gateway: RunningGateway, connect: Any) -> None:
    library = connect(gateway)
    call = library.Count()
    await call.write(library.book(name="stop"))
    assert await call.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert await call.details() == "enough"


async def test_an_unknown_method(gateway: RunningGateway, connect: Any) -> None:
    call = connect(gateway).channel.unary_unary("/library.v1.Library/Burn")(b"")
    assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_is_asked_through_the_gateway(gateway_factory: GatewayFactory, connect: Any) -> None:
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        await servicer.set("library", health_pb2.HealthCheckResponse.SERVING)
        instance = {"address": "127.0.0.1", "port": port, "scheme": "grpc"}
        gateway = await gateway_factory(
            {
                "frontend": {"http2": {}},
                "registry": {"static": {"services": [{"name": "library", "instances": [instance]}]}},
                "router": {"rules": [{"path": "/*", "serviceName": "library", "protocol": "grpc"}]},
            }
        )
        stub = health_pb2_grpc.HealthStub(connect(gateway).channel)
        request = health_pb2.HealthCheckRequest(service="library")
        assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(request)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await servicer.set("library", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
    finally:
        await server.stop(None)


# Deadlines and cancellation.


async def test_the_service_is_told_how_long_the_client_still_waits(
    gateway: RunningGateway, connect: Any, service: Any
) -> None:
    library = connect(gateway)
    await library.Echo(library.book(), timeout=30)
    assert 25 < service.deadline_s <= 30
    await library.Echo(library.book())
    assert service.deadline_s is None


async def test_a_service_that_hangs_meets_the_rules_timeout(
    gateway_factory: GatewayFactory, connect: Any, service: Any
) -> None:
    gateway = await gateway_factory(settings(service, timeout="300ms"))
    library = connect(gateway)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await library.Sleep(library.book(), timeout=PATIENCE_S)
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert failure.value.details() == "the service did not answer in time"
    async with asyncio.timeout(PATIENCE_S):
        await service.cancelled.wait()


async def test_a_client_that_gives_up_cancels_the_call(gateway: RunningGateway, connect: Any, service: Any) -> None:
    library = connect(gateway)
    call = library.Sleep(library.book())
    await gateway.eventually(lambda: service.received)
    call.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await service.cancelled.wait()


async def test_a_client_that_gives_up_a_stream_cancels_it(gateway: RunningGateway, connect: Any, service: Any) -> None:
    library = connect(gateway)
    call = library.List(library.book(page_count=1, is_lent=True))
    assert (await call.read()).page_count == 0
    call.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await service.cancelled.wait()


async def test_a_service_that_never_ends_meets_the_idle_timeout(
    gateway_factory: GatewayFactory, connect: Any, service: Any
) -> None:
    library = connect(await gateway_factory(settings(service, grpc={"streamIdleTimeout": "200ms"})))
    call = library.List(library.book(page_count=1, is_lent=True))
    assert (await call.read()).page_count == 0
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call.read()
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(PATIENCE_S):
        await service.cancelled.wait()


async def test_a_client_that_never_goes_on_meets_it_too(
    gateway_factory: GatewayFactory, connect: Any, service: Any
) -> None:
    library = connect(await gateway_factory(settings(service, grpc={"streamIdleTimeout": "200ms"})))
    call = library.Count()
    await call.write(library.book())
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_client_that_never_reads_holds_the_service_up(
    gateway_factory: GatewayFactory, service: Any, h2_client: Any
) -> None:
    """Nothing piles up in the gateway: the service may send as much as fits into the windows."""
    gateway = await gateway_factory(settings(service))
    message = service.book(name="x" * 10_000, page_count=1000).SerializeToString()
    async with h2_client(gateway) as client:
        client.begin("/library.v1.Library/List", len(message).to_bytes(5, "big") + message)
        await gateway.eventually(lambda: service.sent > 10)
        await asyncio.sleep(0.3)
        sent = service.sent
        await asyncio.sleep(0.2)
        assert service.sent == sent < 400
    await gateway.eventually(lambda: gateway.gateway.plane.in_flight() == 0)


async def test_calls_that_are_given_up_leave_nothing_behind(
    gateway_factory: GatewayFactory, service: Any, h2_client: Any
) -> None:
    gateway = await gateway_factory(settings(service))
    async with h2_client(gateway) as client:
        for number in range(100):
            stream_id = client.begin("/library.v1.Library/Sleep", b"\0\0\0\0\0", ("grpc-timeout", "1H"))
            if number % 2:
                await asyncio.sleep(0)
            client.connection.reset_stream(stream_id)
            client.flush()
        got = await client.call("/library.v1.Library/Echo", b"\0\0\0\0\0")
        assert got.trailers["grpc-status"] == "0"
    assert gateway.gateway.plane.in_flight() == 0
    (instance,) = gateway.gateway.plane.directory.instances("library")
    await gateway.eventually(lambda: instance.in_flight == 0)


async def test_a_stream_is_never_tried_again(gateway_factory: GatewayFactory, connect: Any, service: Any) -> None:
    retry = {"methods": ["POST"], "initialDelay": "1ms", "statuses": ["4xx", "5xx"]}
    gateway = await gateway_factory(settings(service, gateway={"retry": retry}))
    library = connect(gateway)
    call = library.Count()
    await call.write(library.book(name="stop"))
    assert await call.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert len(service.received) == 1
    assert await library.Fail(library.book(page_count=14)).code() is grpc.StatusCode.UNAVAILABLE
    assert len(service.received) == 4


async def test_a_service_that_cannot_be_reached_is_unavailable(
    gateway_factory: GatewayFactory, connect: Any, service: Any
) -> None:
    service.port = 1
    library = connect(await gateway_factory(settings(service)))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await library.Echo(library.book())
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    assert failure.value.details() == "the service cannot be reached"


async def test_calls_are_counted_by_their_status(gateway: RunningGateway, connect: Any) -> None:
    library = connect(gateway)
    await library.Echo(library.book())
    await library.Fail(library.book(page_count=5)).code()
    (family,) = [each for each in gateway.gateway.plane._metrics.snapshot() if each.name == "gateway_grpc_calls_total"]
    assert {code: number for (_, code), number in family.series.items()} == {"OK": 1, "NOT_FOUND": 1}
