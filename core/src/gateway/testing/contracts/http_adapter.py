"""What an adapter for clients that speak HTTP/1.1 promises beside."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, cast

from gateway.body import Body
from gateway.messages import Response
from gateway.testing.client import Client
from gateway.testing.contracts.adapter import MAX_HELD_BYTES, AdapterContract, settled_bytes
from gateway.testing.contracts.adapter_serving import answer_with
from gateway.testing.contracts.bodies import TRAILERS, Sink, Source, cut
from gateway.testing.contracts.expectation import expect, in_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.exchange import Exchange
    from gateway.testing.contracts.adapter_serving import Address

__all__ = ["HttpAdapterContract"]

_PIECE = bytes(65536)


class HttpAdapterContract(AdapterContract):
    """Extend it and name it ``Test...``: the client is there. Requests of 40 MiB must be allowed."""

    def config(self) -> Mapping[str, Any]:
        """Return what has it listen on a free port."""
        return {"host": "127.0.0.1", "port": 0}

    def request(self, number: int) -> bytes:
        """Return a request without a body."""
        return b"GET /%d HTTP/1.1\r\nhost: gateway.test\r\n\r\n" % number

    async def ask(self, address: Address, number: int, body: bytes = b"") -> bytes:
        """Ask by h11, which shares nothing with the gateway."""
        async with Client(*address) as client:
            answer = await client.begin("POST" if body else "GET", f"/{number}", body=body)
            content = await answer.read()
            if answer.status != 200:
                raise ConnectionError(f"the answer is {answer}")
            return content

    # What is promised.

    async def test_connections_are_kept_open(self) -> None:
        """The next request comes over the same one (RFC 9112 section 9.3)."""
        async with self.served() as served, Client(*served.address) as client:
            for number in range(3):
                answer = await client.ask("POST", f"/{number}", body=b"body")
                expect(answer.body == b"/%dbody" % number, f"the answer number {number} is {answer}")
            expect(served.base.connections() == 1, f"{served.base.connections()} connections are open, not 1")

    async def test_pipelined_requests_are_answered_in_order(self) -> None:
        """Though the last could be answered first (RFC 9112 section 9.3.2)."""
        async with self.served() as served, self._connected(served.address) as (reader, writer):

            async def answer(exchange: Exchange) -> Response:
                await asyncio.sleep(0.05 if exchange.request.path == "/1" else 0)
                return Response(200, body=exchange.request.path.encode())

            served.gateway.answer = answer
            writer.write(b"".join(map(self.request, (1, 2, 3))))
            received = b""
            async with in_time("three answers to three requests"):
                while b"/3" not in received:
                    more = await reader.read(65536)
                    expect(more, f"the connection was closed after {received!r}")
                    received += more
            order = [received.find(b"\r\n\r\n/%d" % number) for number in (1, 2, 3)]
            expect(-1 not in order and order == sorted(order), f"the answers came as {received!r}")

    async def test_trailers_of_requests_arrive(self) -> None:
        """With the body, whatever its chunks (RFC 9112 section 7.1.2)."""
        data = random.Random(3).randbytes(30_000)  # noqa: S311 - no secret
        found: list[tuple[bytes, object]] = []

        async def answer(exchange: Exchange) -> Response:
            sink = Sink(exchange.request.body)
            found.append((await sink.finished(), sink.trailers))
            return Response(200)

        async with self.served() as served, self._connected(served.address) as (_, writer):
            served.gateway.answer = answer
            writer.write(b"POST /1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
            for piece in cut(data, random.Random(4)):  # noqa: S311 - no secret
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            writer.write(b"0\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % pair for pair in TRAILERS))
            await served.gateway.until(lambda: found, "the body of a request in chunks did not end")
            (body, trailers) = found[0]
            expect(body == data, f"of {len(data)} bytes in chunks, {len(body)} or others arrived")
            expect(list(cast("Any", trailers)) == list(TRAILERS), f"the trailers of the request are {trailers!r}")

    async def test_answers_stream(self) -> None:
        """What the service has sent is passed on before it sends more."""
        async with self.served() as served, Client(*served.address) as client:
            source = Source([b"one"])
            source.body = Body(source)
            served.gateway.answer = answer_with(source)
            source.body.feed(b"one")
            async with in_time("the first piece of an answer"):
                pieces = (await client.begin("GET", "/")).pieces()
                first = await anext(pieces)
            expect(first == b"one", f"the first piece is {first!r}")
            source.body.feed(b"two")
            source.body.end()
            expect(b"".join([piece async for piece in pieces]) == b"two", "the second piece is another one")

    async def test_a_slow_service_slows_the_client_down(self) -> None:
        """One that reads nothing of a request's body must not make a buffer of the gateway."""
        may_answer = asyncio.Event()

        async def answer(exchange: Exchange) -> Response:
            await may_answer.wait()
            return Response(200)

        async with self.served() as served, self._connected(served.address) as (_, writer):
            served.gateway.answer = answer
            sent = 0

            async def send() -> None:
                nonlocal sent
                writer.write(b"POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % (640 * len(_PIECE)))
                for _ in range(640):
                    writer.write(_PIECE)
                    await writer.drain()
                    sent += len(_PIECE)

            sending = asyncio.ensure_future(send())
            await served.gateway.until(
                lambda: served.gateway.begun, "a request was not served before all of it was there"
            )
            held = await settled_bytes(lambda: sent)
            sending.cancel()
            await asyncio.wait([sending])
            may_answer.set()
            expect(held <= MAX_HELD_BYTES, f"{held} bytes were taken off the client while the service took none")

    async def test_a_request_that_breaks_off_does_not_end_well(self) -> None:
        """The service must see that something is missing."""
        errors: list[Exception | None] = []

        async def answer(exchange: Exchange) -> Response:
            sink = Sink(exchange.request.body)
            await sink.finished()
            errors.append(sink.error)
            return Response(200)

        async with self.served() as served:
            served.gateway.answer = answer
            async with self._connected(served.address) as (_, writer):
                writer.write(b"POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 4000\r\n\r\n" + b"a" * 100)
                await served.gateway.until(lambda: served.gateway.begun, "a request was not served")
            (exchange,) = served.gateway.begun
            said = "a body broke off; fail it, or cancel its exchange"
            await served.gateway.until(lambda: errors or exchange.is_cancelled, said)
            expect(not errors or errors[0] is not None, "the client broke off, and the body of its request ended well")

    async def test_what_has_no_body_is_sent_none(self) -> None:
        """Answers to HEAD, 204 and 304, whatever the service says (RFC 9110 section 6.4.1)."""
        async with self.served() as served:
            for method, status in (("HEAD", 200), ("GET", 204), ("GET", 304)):

                async def answer(exchange: Exchange, status: int = status) -> Response:
                    return Response(status, body=b"a body that nobody expects")

                served.gateway.answer = answer
                async with Client(*served.address) as client, in_time(f"two answers to {method} with {status}"):
                    for _ in range(2):
                        got = await client.ask(method, "/")
                        expect((got.status, got.body) == (status, b""), f"the answer to {method} is {got}")
