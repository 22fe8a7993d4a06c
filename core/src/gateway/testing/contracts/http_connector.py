"""What a connector for services that speak HTTP/1.1 promises beside."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from typing import TYPE_CHECKING, Any

from gateway.errors import ErrorType, GatewayError
from gateway.interfaces import Endpoint, Instance
from gateway.testing.contracts.bodies import TRAILERS, Sink, Source, cut
from gateway.testing.contracts.connector import ConnectorContract
from gateway.testing.contracts.expectation import PATIENCE_S, expect, in_time
from gateway.testing.upstream import Reply, Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

__all__ = ["HttpConnectorContract"]

_SEEDS = range(3)
_PIECE = bytes(65536)
_PIECES = 640
MAX_HELD_BYTES = 24 * 1024 * 1024
"""How much of 40 MiB may lie about, most of it in the kernel, which takes up to 10 MiB on loopback."""


class HttpConnectorContract(ConnectorContract):
    """Extend it and name it ``Test...``: the service is there."""

    upstream: Upstream

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Endpoint]:
        """Start a service that answers with the path."""
        async with Upstream() as self.upstream:
            self.upstream.answer = lambda request: Reply(body=request.target)
            yield Endpoint(address=self.upstream.host, port=self.upstream.port)

    def answer(self, number: int) -> bytes:
        """Return the path."""
        return f"/{number}".encode()

    def nowhere(self) -> Endpoint | None:
        """Return a place where nobody listens."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            return Endpoint(address="127.0.0.1", port=server.getsockname()[1])

    # What is promised.

    async def test_bodies_of_requests_arrive_whole(self) -> None:
        """Whatever the pieces, and their trailers with them."""
        data = random.Random(1).randbytes(150_000)  # noqa: S311 - no secret
        async with self._connected() as (connector, instance):
            for seed in _SEEDS:
                source, exchange = Source(cut(data, random.Random(seed))), self._exchange(seed)  # noqa: S311 - no secret
                exchange.request.method, exchange.request.body = "POST", source.body
                feeding = asyncio.ensure_future(source.run())
                await self._body(await connector.open(instance, exchange))
                await feeding
                received = self.upstream.requests[-1]
                expect(received.body == data, f"of {len(data)} bytes, {len(received.body)} or others arrived")
                self._expect_trailers(received.trailers, "request")

    async def test_bodies_of_responses_arrive_whole(self) -> None:
        """Whatever the pieces, and their trailers with them, also if the client is slow."""
        data = random.Random(2).randbytes(150_000)  # noqa: S311 - no secret
        async with self._connected() as (connector, instance):
            for seed in _SEEDS:
                pieces = cut(data, random.Random(seed))  # noqa: S311 - no secret
                trailers = [(name.decode(), value.decode()) for name, value in TRAILERS]
                self._reply(body=pieces, headers=[("transfer-encoding", "chunked")], trailers=trailers)
                response = await connector.open(instance, self._exchange(seed))
                sink = Sink(response.body, is_slow=bool(seed % 2))
                expect(await sink.finished() == data, f"of {len(data)} bytes, {len(sink.data)} or others arrived")
                self._expect_trailers([(name.decode(), value.decode()) for name, value in sink.trailers], "response")

    async def test_responses_stream(self) -> None:
        """What the service has sent is passed on before it sends more."""
        more = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            await more.wait()
            yield b"two"

        async with self._connected() as (connector, instance):
            self._reply(body=pieces())
            async with in_time("the first piece of a stream"):
                sink = Sink((await connector.open(instance, self._exchange(0))).body)
                while sink.data != b"one":  # noqa: ASYNC110 - what it waits for has no event
                    await asyncio.sleep(0.002)
            more.set()
            expect(await sink.finished() == b"onetwo", f"the body is {bytes(sink.data)!r}")

    async def test_a_slow_client_slows_the_service_down(self) -> None:
        """Back-pressure goes through, or the memory fills."""
        sent = 0

        def pieces() -> Iterable[bytes]:
            nonlocal sent
            for _ in range(_PIECES):
                sent += len(_PIECE)
                yield _PIECE

        async with self._connected() as (connector, instance):
            self._reply(body=pieces())
            response = await connector.open(instance, self._exchange(0))
            body: Any = response.body
            held = await self._held(lambda: sent)
            body.abort()
            expect(held <= MAX_HELD_BYTES, f"{held} bytes were taken off the service while its client took none")

    async def test_a_slow_service_slows_the_client_down(self) -> None:
        """One that reads nothing must not make a buffer of the gateway."""
        async with self._connected() as (connector, _):
            with socket.create_server(("127.0.0.1", 0)) as silent:
                instance = Instance("service", Endpoint(address="127.0.0.1", port=silent.getsockname()[1]))
                source, exchange = Source([_PIECE] * _PIECES), self._exchange(0)
                exchange.request.method, exchange.request.body = "POST", source.body
                opening = asyncio.ensure_future(connector.open(instance, exchange))
                feeding = asyncio.ensure_future(source.run())
                held = await self._held(lambda: source.fed_bytes)
                for task in (opening, feeding):
                    task.cancel()
                await asyncio.wait([opening, feeding], timeout=PATIENCE_S)
            expect(held <= MAX_HELD_BYTES, f"{held} bytes were taken off the client while the service took none")

    async def test_a_response_that_breaks_off_does_not_end_well(self) -> None:
        """The client must see that something is missing, with a length and in chunks."""
        async with self._connected() as (connector, instance):
            for headers in ([("content-length", "4000")], [("transfer-encoding", "chunked")]):
                self._reply(body=[b"a" * 4000], headers=headers, drop=True)
                sink = Sink((await connector.open(instance, self._exchange(0))).body)
                await sink.finished()
                expect(sink.error is not None, f"the service broke off ({headers}), and the body ended well")

    async def test_a_service_that_does_not_answer_is_a_gateway_error(self) -> None:
        """``bad_gateway`` if it hangs up, ``upstream_timeout`` if it says nothing for longer than the route allows."""
        async with self._connected() as (connector, instance):
            self._reply(drop=True, body=b"")
            await self._expect_failure(connector.open(instance, self._exchange(0)), ErrorType.BAD_GATEWAY)
            self._reply(delay_s=PATIENCE_S)
            slow = connector.open(instance, self._exchange(1, timeout_s=0.05))
            await self._expect_failure(slow, ErrorType.UPSTREAM_TIMEOUT)

    async def test_what_nobody_waits_for_is_hung_up(self) -> None:
        """Clients that leave before or in the middle of a response keep no connection busy."""
        async with self._connected() as (connector, instance):
            self._reply(delay_s=PATIENCE_S)
            opening = asyncio.ensure_future(connector.open(instance, self._exchange(0)))
            await self._until(lambda: self.upstream.requests)
            opening.cancel()
            await self._until(lambda: not self.upstream.connections)
            self._reply(body=self._endless())
            response = await connector.open(instance, self._exchange(1))
            response.discard()
            await self._until(lambda: not self.upstream.connections)

    # Underneath.

    async def _held(self, count: Callable[[], int]) -> int:
        """Return how many bytes went into the gateway, when no more do."""
        before = -1
        while before < count() <= MAX_HELD_BYTES:
            before = count()
            await asyncio.sleep(0.1)
        return count()

    async def _endless(self) -> AsyncIterator[bytes]:
        while True:
            yield b"more"
            await asyncio.sleep(0.01)

    def _reply(self, **reply: Any) -> None:  # noqa: ANN401 - as Reply has them
        self.upstream.answer = lambda request: Reply(**reply)

    def _expect_trailers(self, trailers: Any, whose: str) -> None:  # noqa: ANN401 - pairs of texts
        expected = [(name.decode(), value.decode()) for name, value in TRAILERS]
        expect(list(trailers) == expected, f"the trailers of the {whose} are {trailers!r}, not {expected!r}")

    async def _expect_failure(self, opening: Any, expected: ErrorType) -> None:  # noqa: ANN401 - a coroutine
        try:
            async with in_time("a failure"):
                response = await opening
        except GatewayError as error:
            expect(error.type is expected, f"it is {error.type.code}, not {expected.code}")
        except Exception as error:
            raise AssertionError(f"{error!r} was raised, no GatewayError of type {expected.code}") from error
        else:
            expect(is_so=False, why=f"{response!r} was returned, where {expected.code} was to be raised")

    async def _until(self, is_so: Any) -> None:  # noqa: ANN401 - a function without arguments
        deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
        while not is_so():
            expect(asyncio.get_running_loop().time() < deadline_s, "a connection is kept busy that nobody waits for")
            await asyncio.sleep(0.002)
