"""The contract of connectors: one that keeps it, and those that do not."""

# ruff: noqa: ASYNC251 - what is done badly here is done so on purpose

import asyncio
import gc
import re
import time

import h11
import pytest
from core.tests.testing.broken.harness import breach, told_in_the_end

from gateway import Body, ConnectorRegistration, ErrorType, GatewayError, Headers, Response
from gateway.testing import HttpConnectorContract


class Link:
    """One connection for one exchange; the producer of the response's body."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.parser = h11.Connection(h11.CLIENT)
        self.body = Body(self)
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.task: asyncio.Task | None = None

    async def send(self, exchange):
        request = exchange.request
        fields = [("host", request.host)]
        if not isinstance(request.body, bytes):
            fields.append(("transfer-encoding", "chunked"))
        self.write(h11.Request(method=request.method, target=exchange.upstream_path, headers=fields))
        trailers = []
        if isinstance(request.body, Body):
            async for piece in request.body:
                self.write(h11.Data(data=piece))
                await self.writer.drain()
            trailers = list(request.body.trailers)
        self.write(h11.EndOfMessage(headers=trailers))
        await self.writer.drain()

    def write(self, event):
        self.writer.write(self.parser.send(event))

    async def next(self):
        while (event := self.parser.next_event()) is h11.NEED_DATA:
            self.parser.receive_data(await self.reader.read(65536))
        if isinstance(event, h11.ConnectionClosed):
            raise EOFError  # noqa: TRY004 - it is an event
        return event

    async def feed(self):
        try:
            while isinstance(event := await self.next(), h11.Data):
                await self.may_read.wait()
                self.body.feed(bytes(event.data))
            self.body.end([(name, value) for name, value in event.headers])
        except (OSError, EOFError, h11.ProtocolError) as error:
            self.broke_off(error)
        finally:
            self.close()

    def broke_off(self, error):
        self.body.fail(ConnectionResetError(str(error)))

    def close(self):
        self.writer.transport.abort()

    def pause_body(self):
        self.may_read.clear()

    def resume_body(self):
        self.may_read.set()

    def abort_body(self):
        if self.task is not None:
            self.task.cancel()
        self.close()  # which a task that has not begun would not do


class Links:
    """A connection for each exchange: slow, and easy to get right."""

    link: type = Link

    def __init__(self, config, context):
        pass

    async def open(self, instance, exchange):
        try:
            async with asyncio.timeout(exchange.route.timeout_s):
                return await self.ask(instance, exchange)
        except TimeoutError as error:
            raise GatewayError(ErrorType.UPSTREAM_TIMEOUT, "no answer in time") from error
        except (EOFError, OSError, h11.ProtocolError) as error:
            raise GatewayError(ErrorType.BAD_GATEWAY, "no answer", detail=str(error)) from error

    async def connect(self, endpoint):
        try:
            return await asyncio.open_connection(endpoint.address, endpoint.port)
        except OSError as error:
            raise GatewayError(
                ErrorType.BAD_GATEWAY, "the service cannot be reached", detail=str(error), is_unsent=True
            ) from error

    async def ask(self, instance, exchange):
        link = self.link(*await self.connect(instance.endpoint))
        try:
            await link.send(exchange)
            head = await link.next()
        except BaseException:
            link.close()
            raise
        link.task = asyncio.ensure_future(link.feed())
        return Response(head.status_code, headers=Headers(), body=link.body)


def build(config, context):
    return Links(config, context)


class LinkContract(HttpConnectorContract):
    plugin = ConnectorRegistration(name="links", summary="One each", build=build, protocol="http", schemes=("links",))


class TestLinks(LinkContract):
    """The reference."""


def with_link(**methods):
    """Return a connector whose links do some things otherwise."""
    return type("Otherwise", (Links,), {"link": type("OtherLink", (Link,), methods)})


class RaisesOSErrors(Links):
    async def connect(self, endpoint):
        try:
            return await asyncio.open_connection(endpoint.address, endpoint.port)
        except OSError as error:
            raise LookupError("nobody there") from error


class NamesTheInstance(Links):
    async def connect(self, endpoint):
        try:
            return await super().connect(endpoint)
        except GatewayError as error:
            text = f"no connection to {endpoint.address}:{endpoint.port}"
            raise GatewayError(error.type, text, is_unsent=True) from error


class MayHaveSent(Links):
    async def connect(self, endpoint):
        try:
            return await super().connect(endpoint)
        except GatewayError as error:
            raise GatewayError(error.type, error.message) from error


class MixesUp(Links):
    async def ask(self, instance, exchange):
        self.now = exchange
        await asyncio.sleep(0.001)
        return await super().ask(instance, self.now)


class Swallows(Links):
    async def open(self, instance, exchange):
        try:
            return await super().open(instance, exchange)
        except asyncio.CancelledError:
            raise GatewayError(ErrorType.BAD_GATEWAY, "cancelled") from None


class LeavesConnections(Links):
    kept: list = []  # noqa: RUF012 - so that they stay open

    async def ask(self, instance, exchange):
        self.kept.append(await self.connect(instance.endpoint))
        return await super().ask(instance, exchange)


class Collects(Links):
    async def ask(self, instance, exchange):
        response = await super().ask(instance, exchange)
        response.body = await response.body.read(100_000_000)
        return response


class Blocks(Links):
    async def connect(self, endpoint):
        time.sleep(0.15)
        return await super().connect(endpoint)


class WaitsAfterAll(Links):
    waits = False


class NeverInTime(Links):
    async def open(self, instance, exchange):
        return await self.ask(instance, exchange)


class EndsTooSoon(Link):
    def broke_off(self, error):
        self.body.end()


async def send_half(self, exchange):
    if not isinstance(exchange.request.body, bytes):
        exchange.request.body = (await exchange.request.body.read(10_000_000))[:-1]
    await Link.send(self, exchange)


# What leaks, leaks.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("connector", "check", "said"),
    [
        (RaisesOSErrors, "test_what_cannot_be_reached_is_a_gateway_error", "raised LookupError"),
        (NamesTheInstance, "test_what_cannot_be_reached_is_a_gateway_error", "names the instance"),
        (MayHaveSent, "test_what_cannot_be_reached_is_a_gateway_error", "pass is_unsent=True"),
        (MixesUp, "test_exchanges_do_not_mix", "the body of the response is"),
        (Swallows, "test_cancellation_releases_everything", "let CancelledError pass"),
        (LeavesConnections, "test_the_response_arrives_whole", "left behind: socket"),
        (Collects, "test_responses_stream", "did not happen within"),
        (with_link(pause_body=lambda self: None), "test_a_slow_client_slows_the_service_down", "taken off the s"),
        (with_link(broke_off=EndsTooSoon.broke_off), "test_a_response_that_breaks_off_does_not_end_well", "ended well"),
        (with_link(abort_body=lambda self: None), "test_what_nobody_waits_for_is_hung_up", "kept busy"),
        (with_link(send=send_half), "test_bodies_of_requests_arrive_whole", "of 150000 bytes, 0 or others"),
        (WaitsAfterAll, "test_it_waits_only_if_it_says_so", "says waits = False"),
        (NeverInTime, "test_a_service_that_does_not_answer_is_a_gateway_error", "was raised, no GatewayError|within"),
        (Blocks, "test_it_does_not_block", "blocked the event loop"),
    ],
)  # fmt: skip
def test_it_is_caught(connector, check, said, monkeypatch):
    patience = {"expectation.PATIENCE_S": 0.5, "http_connector.PATIENCE_S": 0.5, "leaks.SETTLE_S": 0.02}
    told = told_in_the_end(said, lambda: breach(LinkContract, connector, check), patience, monkeypatch)
    LeavesConnections.kept.clear()
    gc.collect()
    assert re.search(said, told)
