"""What an adapter promises, whatever it speaks with clients."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tracemalloc
from typing import TYPE_CHECKING

from gateway.interfaces import Listener
from gateway.messages import Response
from gateway.testing.contracts.adapter_serving import AdapterServing, answer_with, feeding
from gateway.testing.contracts.bodies import Source, cut
from gateway.testing.contracts.expectation import PATIENCE_S, expect, in_time
from gateway.testing.contracts.standstill import expect_a_running_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.exchange import Exchange

__all__ = ["MAX_HELD_BYTES", "AdapterContract", "settled_bytes"]

_PIECE = bytes(65536)
_PIECES = 640
MAX_HELD_BYTES = 24 * 1024 * 1024
"""How much of 40 MiB may lie about, most of it in the kernel, which takes up to 10 MiB on loopback."""
_QUIET_S = 0.2
_AT_ONCE = 20


class AdapterContract(AdapterServing):
    """Extend it, name it ``Test...``, and say how a client speaks: ``request`` and ``ask``.

    ``config`` must have it listen on a free port (``port: 0``), without TLS. For HTTP/1.1 there is
    ``HttpAdapterContract``, which brings a client.
    """

    # What is promised.

    async def test_its_addresses_are_the_same_each_time(self) -> None:
        """Every reload asks for them, and keeps the sockets that are wanted still."""
        async with self.bench() as bench:
            adapter, _ = await self._adapters(bench)
            first, second = list(adapter.listeners()), list(adapter.listeners())
            listed: list[object] = [*first]
            strange = [each for each in listed if not isinstance(each, Listener)]
            expect(not strange, f"{strange!r} are no gateway.interfaces.Listener")
            expect(first == second, f"it wants {first!r}, and asked again {second!r}")

    async def test_requests_arrive_and_answers_return(self) -> None:
        """One after the other; each says who asks, and has an id of its own."""
        async with self.served() as served:
            for number in range(5):
                await self._expect_answer(served, number)
            requests = [exchange.request for exchange in served.gateway.begun]
            expect([each.path for each in requests] == [f"/{number}" for number in range(5)], f"it served {requests}")
            clients = {each.client for each in requests}
            expect(clients == {"127.0.0.1"}, f"requests of 127.0.0.1 say they come from {clients}")
            ids = {each.id for each in requests}
            expect(len(ids) == len(requests) and all(ids), f"5 requests have the ids {ids}; give each one of its own")

    async def test_exchanges_do_not_mix(self) -> None:
        """Each of many at once gets its own answer, in whatever order they are made."""
        async with self.served() as served:
            all_begun = asyncio.Event()

            async def answer(exchange: Exchange) -> Response:
                if len(served.gateway.begun) == _AT_ONCE:
                    all_begun.set()
                await all_begun.wait()
                # The last shall be first.
                await asyncio.sleep(0.001 * (_AT_ONCE - served.gateway.begun.index(exchange)))
                return Response(200, body=exchange.request.path.encode())

            served.gateway.answer = answer
            await asyncio.gather(*(self._expect_answer(served, number) for number in range(_AT_ONCE)))

    async def test_requests_may_arrive_in_any_pieces(self) -> None:
        """A network may cut anywhere."""
        async with self.served() as served, self._connected(served.address) as (_, writer):
            data = self.request(3)
            for start in range(len(data)):
                writer.write(data[start : start + 1])
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            said = "a request that came byte by byte was not served"
            await served.gateway.until(lambda: served.gateway.begun, said)
            path = served.gateway.begun[0].request.path
            expect(path == "/3", f"a request for /3 that came byte by byte was served as one for {path}")

    async def test_bodies_arrive_whole(self) -> None:
        """Both ways, whatever the pieces."""
        data = random.Random(1).randbytes(150_000)  # noqa: S311 - no secret
        async with self.served() as served:
            if self.has_bodies:
                async with in_time("an answer to a request with a body"):
                    answered = await self.ask(served.address, 1, data)
                is_same = answered == b"/1" + data
                expect(is_same, f"of a body of {len(data)} bytes, {len(answered) - 2} or others arrived")
            for seed in range(3):
                source = Source(cut(data, random.Random(seed)))  # noqa: S311 - no secret
                answered = await self._streamed(served, source)
                expect(answered == data, f"of an answer of {len(data)} bytes, {len(answered)} or others arrived")

    async def test_every_exchange_is_finished(self) -> None:
        """``finish`` is called, with how much was sent; observers and the graceful end wait for it."""
        async with self.served() as served:
            await self._expect_answer(served, 12)
            await served.gateway.until(
                lambda: served.gateway.finished_ones, "an exchange was answered and not finished"
            )
            (exchange,) = served.gateway.finished_ones
            expect(exchange.sent_bytes == 3, f"the body had 3 bytes; finish was told of {exchange.sent_bytes}")
            expect(exchange.error is None, f"all was sent; finish was told of {exchange.error!r}")

    async def test_who_leaves_is_not_waited_for(self) -> None:
        """A client that goes before there is an answer cancels its exchange; the next one is served."""
        async with self.served() as served:
            served.gateway.answer = _never
            await self._leave(served)
            (exchange,) = served.gateway.begun
            await served.gateway.until(lambda: exchange.is_cancelled, "the client left; call exchange.cancel()")
            await self._expect_nothing_open(served)

    async def test_who_leaves_in_the_middle_frees_the_service(self) -> None:
        """A client that goes while its answer is sent has the rest of it given up."""
        async with self.served() as served:
            source = Source([_PIECE] * _PIECES)
            async with feeding(source):
                served.gateway.answer = answer_with(source)
                await self._leave(served, until=lambda: source.fed_bytes > 0)
                await served.gateway.until(lambda: source.is_aborted, "the client left; abort the body of its answer")
                await self._expect_nothing_open(served)
                expect(served.gateway.finished_ones[0].error is not None, "finish was not told that it was cut short")

    async def test_an_answer_that_breaks_off_does_not_end_well(self) -> None:
        """The client must see that something is missing."""
        async with self.served() as served:
            source = Source([b"a" * 4000] * 3, ConnectionResetError("the service is gone"))
            try:
                answered = await self._streamed(served, source)
            except (OSError, EOFError):
                await self._expect_nothing_open(served)
            else:
                expect(
                    is_so=False, why=f"the body broke off, and the client got {len(answered)} bytes as if all was there"
                )

    async def test_a_slow_client_slows_the_service_down(self) -> None:
        """One that reads nothing must not make a buffer of the gateway."""
        async with self.served() as served:
            source = Source([_PIECE] * _PIECES)
            served.gateway.answer = answer_with(source)
            async with feeding(source), self._connected(served.address) as (_, writer):
                writer.write(self.request(0))
                await served.gateway.until(lambda: served.gateway.begun, "a request was not served")
                held = await settled_bytes(lambda: source.fed_bytes)
            expect(held <= MAX_HELD_BYTES, f"{held} bytes were taken off the service while its client took none")

    async def test_who_never_ends_fills_no_memory(self) -> None:
        """A client may send and send what becomes no request: it is refused, cut off, or dropped."""
        async with self.served() as served, self._connected(served.address) as (_, writer):
            with _peak_memory() as peak_bytes, contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    for _ in range(_PIECES):
                        writer.write(b"a" * len(_PIECE))
                        await writer.drain()
            kept = peak_bytes()
            expect(kept <= MAX_HELD_BYTES, f"a client sent what becomes no request, and {kept} bytes were kept of it")

    async def test_nonsense_harms_nobody(self) -> None:
        """What is no request is refused or hung up, and raises nothing; others are served."""
        async with self.served() as served:
            for data in self.nonsense():
                async with self._connected(served.address) as (reader, writer):
                    writer.write(data)
                    with contextlib.suppress(OSError, TimeoutError):
                        async with asyncio.timeout(_QUIET_S):
                            while await reader.read(65536):
                                pass
                await self._expect_answer(served, 1)
            await self._expect_nothing_open(served)

    async def test_draining_ends_what_is_idle_and_nothing_else(self) -> None:
        """When the gateway stops: idle connections are closed, what is under way is answered, then there are none."""
        async with self.served() as served, self._connected(served.address) as (reader, _):
            may_answer = asyncio.Event()

            async def answer(exchange: Exchange) -> Response:
                await may_answer.wait()
                return Response(200, body=b"/5")

            served.gateway.answer = answer
            asking = asyncio.ensure_future(self._expect_answer(served, 5))
            await served.gateway.until(lambda: served.gateway.begun, "a request was not served")
            self._drain(served)
            async with in_time("the end of an idle connection after drain()"):
                with contextlib.suppress(OSError):
                    while await reader.read(65536):
                        pass
            expect(served.gateway.begun[0].is_cancelled is False, "drain() cancelled what was under way")
            may_answer.set()
            await asking
            await self._expect_nothing_open(served)

    async def test_closing_cuts_what_is_open(self) -> None:
        """When waiting is over: connections are gone, and their exchanges are cancelled."""
        async with self.served() as served:
            served.gateway.answer = _never
            asking = asyncio.ensure_future(self.ask(served.address, 1))
            await served.gateway.until(lambda: served.gateway.begun, "a request was not served")
            expect(served.base.connections() >= 1, "a connection is open, and connections() says there is none")
            served.adapter.close()
            served.base.close()
            done, _ = await asyncio.wait([asking], timeout=PATIENCE_S)
            expect(done, "close() was called, and a client waits still")
            is_cut = isinstance(asking.exception(), OSError | EOFError)
            expect(is_cut, f"close() was called, and a client got {asking}")
            await self._expect_nothing_open(served)
            expect(served.gateway.begun[0].is_cancelled, "close() was called; cancel the exchanges that are under way")

    async def test_it_does_not_block(self) -> None:
        """Other clients wait meanwhile."""
        async with self.served() as served:

            async def work() -> None:
                for number in range(5):
                    await self._expect_answer(served, number)

            await expect_a_running_loop(work, "serving")


async def _never(exchange: Exchange) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


@contextlib.contextmanager
def _peak_memory() -> Iterator[Callable[[], int]]:
    """Give what tells, in the end, how many bytes were in use at once more than at the beginning."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        peak = before

        yield lambda: peak - before
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def settled_bytes(count: Callable[[], int]) -> int:
    """Return how many bytes there are when there come no more."""
    before = -1
    while before < count() <= MAX_HELD_BYTES:
        before = count()
        await asyncio.sleep(0.1)
    return count()
