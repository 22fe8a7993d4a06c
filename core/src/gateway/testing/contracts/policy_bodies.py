"""What a policy promises of the bodies that go through it."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, ClassVar, cast

from gateway.body import Body
from gateway.exchange import Exchange
from gateway.headers import Headers
from gateway.interfaces import Route
from gateway.messages import Request, Response
from gateway.registrations import PolicyRegistration, Registration
from gateway.testing.contracts.bodies import TRAILERS, Sink, Source, cut
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.expectation import expect, in_time
from gateway.testing.contracts.handlers import Scripted

if TYPE_CHECKING:
    from gateway.exchange import Handler
    from gateway.interfaces import Policy

__all__ = ["PolicyBodies"]

_SEEDS = range(4)
MAX_HELD_BYTES = 1024 * 1024
"""How much of a stream may lie about while its consumer rests."""


class PolicyBodies(ComponentContract):
    """The half of ``PolicyContract`` that is about bodies."""

    kind: ClassVar[type[Registration]] = PolicyRegistration

    # To be overridden.

    def route(self) -> Route:
        """Return the route it stands on."""
        return Route(id="route", path="/*", service="service")

    def request(self, number: int) -> Request:
        """Return a request that it lets pass, of another client for each number."""
        client = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        return Request(
            "GET", f"/{number}", client=client, host="gateway.test", headers=Headers.of([("host", "gateway.test")])
        )

    def response(self, body: bytes | Body) -> Response:
        """Return a service's response of the kind that it is for."""
        return Response(200, body=body, headers=Headers.of([("content-type", "application/octet-stream")]))

    def body(self) -> bytes:
        """Return a body of the kind that it is for."""
        return random.Random(1).randbytes(150_000)  # noqa: S311 - no secret

    def passed_on(self, body: bytes) -> bytes:
        """Return what the other side gets of a body; the same, unless it is the policy's business to change it."""
        return body

    # What is promised.

    async def test_bodies_of_requests_arrive_whole(self) -> None:
        """Whatever the pieces, with their trailers, also if the service is slow."""
        async with self.built() as policy:
            for seed in _SEEDS:
                source, sinks = self._source(seed), list[Sink]()

                def answer(exchange: Exchange, sinks: list[Sink] = sinks, seed: int = seed) -> Response:
                    sinks.append(Sink(exchange.request.body, is_slow=bool(seed % 2)))
                    return self.response(b"ok")

                exchange = self._exchange(seed)
                exchange.request.method, exchange.request.body = "POST", source.body
                await asyncio.gather(source.run(), self._handler(policy, Scripted(answer))(exchange))
                expect(await sinks[0].finished() == self.passed_on(self.body()), "the request's body arrived otherwise")
                self._expect_trailers(sinks[0], "request")

    async def test_bodies_of_responses_arrive_whole(self) -> None:
        """Whatever the pieces, with their trailers, also if the client is slow."""
        async with self.built() as policy:
            for seed in _SEEDS:
                source = self._source(seed)
                service = Scripted(lambda exchange, source=source: self.response(source.body))  # type: ignore[misc]  # mypy infers no type for lambdas with defaults
                feeding = asyncio.ensure_future(source.run())
                response = await self._handler(policy, service)(self._exchange(seed))
                sink = Sink(response.body, is_slow=bool(seed % 2))
                expect(await sink.finished() == self.passed_on(self.body()), "the response's body arrived otherwise")
                self._expect_trailers(sink, "response")
                await feeding

    async def test_responses_stream(self) -> None:
        """What the service has sent is passed on before it sends more; some streams never end."""
        async with self.built() as policy:
            source, sink = await self._begin_stream(policy)
            piece = self.body()[:2000]
            source.body.feed(piece)
            for _ in range(100):
                await asyncio.sleep(0.001)
                if sink.data:
                    break
            source.body.end()
            expect(sink.data, "a piece that the service sent was kept back until the end; do not collect bodies")
            await sink.finished()

    async def test_a_slow_client_slows_the_service_down(self) -> None:
        """Back-pressure goes through, or the memory fills."""
        async with self.built() as policy:
            pieces = [self.body()[:50_000]] * 80
            source = Source(pieces)
            response = await self._handler(policy, Scripted(lambda exchange: self.response(source.body)))(
                self._exchange(0)
            )
            body = response.body
            expect(isinstance(body, Body), "the streamed response became bytes; do not collect bodies")
            sink = Sink(body)
            cast("Body", body).pause()
            feeding = asyncio.ensure_future(source.run())
            await asyncio.wait([feeding], timeout=0.05)
            held = source.fed_bytes
            cast("Body", body).resume()
            await sink.finished()
            await feeding
            expect(held <= MAX_HELD_BYTES, f"{held} bytes were taken off the service while its client took none")

    async def test_a_body_that_breaks_off_does_not_end_well(self) -> None:
        """The client must see that something is missing."""
        async with self.built() as policy:
            source, sink = await self._begin_stream(policy)
            source.body.feed(self.body()[:1000])
            source.body.fail(ConnectionResetError("the service is gone"))
            await sink.finished()
            expect(sink.error is not None, "the service broke off, and the client saw a complete body")

    async def test_a_client_that_leaves_releases_the_service(self) -> None:
        """In the middle of a body, or before it began."""
        async with self.built() as policy:
            for pieces in ([], [self.body()[:1000]]):
                source, sink = await self._begin_stream(policy, is_attached=bool(pieces))
                for piece in pieces:
                    source.body.feed(piece)
                cast("Response", self._last).discard()
                for _ in range(100):
                    await asyncio.sleep(0.001)
                    if source.is_aborted:
                        break
                expect(source.is_aborted, "the client left, and the service's body was not aborted")
                del sink

    # Underneath.

    _last: Response | None = None

    def _handler(self, policy: Policy, service: Handler) -> Handler:
        return policy.wrap(service, self.route())

    def _exchange(self, number: int) -> Exchange:
        exchange = Exchange(self.request(number), cast("Any", None))
        exchange.route = self.route()
        return exchange

    def _source(self, seed: int) -> Source:
        return Source(cut(self.body(), random.Random(seed)))  # noqa: S311 - no secret

    async def _begin_stream(self, policy: Policy, *, is_attached: bool = True) -> tuple[Source, Sink]:
        """Return a service's body that has not begun, and what the client gets of it."""
        source = Source([])
        service = Scripted(lambda exchange: self.response(source.body))
        async with in_time("a response before its body (do not collect bodies)"):
            self._last = response = await self._handler(policy, service)(self._exchange(0))
        return source, Sink(response.body if is_attached else b"")

    def _expect_trailers(self, sink: Sink, whose: str) -> None:
        if self.passed_on(b"body") == b"body":
            expect(
                tuple(sink.trailers) == TRAILERS, f"the trailers of the {whose} are {sink.trailers!r}, not {TRAILERS!r}"
            )
