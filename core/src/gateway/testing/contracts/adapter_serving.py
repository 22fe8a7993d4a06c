"""An adapter whose addresses are served as a gateway does it, with a client that its contract is told of."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import random
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, cast

from gateway.handover import Takeover
from gateway.messages import Response
from gateway.pluginhost.collect import build_manager, collect_offers
from gateway.registrations import AdapterRegistration, Registration
from gateway.runtime.listeners import Listeners
from gateway.testing.contracts.answering import Answering
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.expectation import PATIENCE_S, expect, in_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from gateway.exchange import Exchange
    from gateway.interfaces import Adapter
    from gateway.testing.contracts.bodies import Source
    from gateway.testing.workbench import Workbench

__all__ = ["AdapterServing", "ServedAdapter", "answer_with", "feeding"]

Address = tuple[str, int]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, kw_only=True)
class ServedAdapter:
    """An adapter whose addresses are served.

    Attributes:
        adapter: The adapter.
        base: Who counts its connections: the adapter, or the one below it.
        gateway: What answers its exchanges.
        address: Where clients ask.
    """

    adapter: Adapter
    base: Adapter
    gateway: Answering
    address: Address


class AdapterServing(ComponentContract):
    """The base of contracts of adapters: how a client speaks.

    ``config`` must have it listen on a free port (``port: 0``), without TLS. For HTTP/1.1 there is
    ``HttpAdapterContract``, which brings a client.

    Attributes:
        carrier: The module of the plugin that offers the adapter below, for one that is ``over`` another.
        has_bodies: Whether its requests have bodies.
    """

    kind: ClassVar[type[Registration]] = AdapterRegistration
    carrier: ClassVar[str | None] = None
    has_bodies: ClassVar[bool] = True

    # To be overridden.

    def request(self, number: int) -> bytes:
        """Return all that a client sends to ask for the path ``/<number>``, on a connection of its own."""
        raise NotImplementedError("say what a client sends: override request")

    async def ask(self, address: Address, number: int, body: bytes = b"") -> bytes:
        """Ask for the path ``/<number>`` over a connection of its own, and return the body of the answer.

        The connection is closed in the end, also if this is cancelled. If the answer does not come whole, it raises
        ``OSError`` or ``EOFError``.
        """
        raise NotImplementedError("say how a client asks: override ask")

    def carrier_config(self) -> Mapping[str, Any]:
        """Return the configuration of the adapter below, as it stands in the YAML."""
        return MappingProxyType({"host": "127.0.0.1", "port": 0})

    def serving(self, adapter: Adapter) -> AbstractAsyncContextManager[Address]:
        """Start a server that calls an adapter without addresses of its own, and give where it listens.

        Stop it in the end: an ``asynccontextmanager``. By then the adapter is closed.
        """
        raise NotImplementedError("the adapter has no address that a client could ask: see config, or override serving")

    def nonsense(self) -> Sequence[bytes]:
        """Return what clients may send that is no request."""
        dice = random.Random(7)  # noqa: S311 - no secret
        whole = self.request(0)
        return (b"\x00" * 64, dice.randbytes(3000), b"\x16\x03\x01\x02\x00\x01\x00", whole[: len(whole) // 2])

    # Underneath.

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[ServedAdapter]:
        """Serve the adapter's addresses as a gateway does; what its protocols raise fails the test."""
        errors: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, said: errors.append(str(said.get("exception") or said["message"])))
        listeners = Listeners()
        try:
            async with self.bench() as bench, contextlib.AsyncExitStack() as servers:
                gateway = Answering()
                bench.serve, bench.refuse = gateway.serve, gateway.refuse
                adapter, base = await self._adapters(bench)
                adapters = [base] if adapter is base else [base, adapter]
                await listeners.prepare([(each, wanted) for each in adapters for wanted in each.listeners()])
                await listeners.commit()
                if listeners.addresses():
                    address = listeners.addresses()[-len(adapter.listeners())]
                else:
                    address = await servers.enter_async_context(self.serving(adapter))
                served = ServedAdapter(adapter=adapter, base=base, gateway=gateway, address=address)
                yield served
                await listeners.close()
                self._drain(served)
                for each in adapters:
                    each.close()
                await gateway.until(lambda: not base.connections(), "close() was called, and connections are left")
                await bench.clear()
        finally:
            await listeners.close()
            loop.set_exception_handler(None)
        expect(not errors, f"it raised where nobody catches it: {'; '.join(errors)}")

    async def _adapters(self, bench: Workbench) -> tuple[Adapter, Adapter]:
        """Return the adapter, and the one that counts its connections."""
        registration = self.registration
        component = await bench.build(registration, self.config())
        if not isinstance(registration, AdapterRegistration) or registration.over is None:
            return component, component
        expect(self.carrier, f"it is over {registration.over!r}; say by 'carrier' which module offers that")
        offers = collect_offers(build_manager(), "carrier", importlib.import_module(str(self.carrier)))
        (offer,) = (each for each in offers if isinstance(each, AdapterRegistration) and each.name == registration.over)
        carrier = await bench.build(offer, self.carrier_config())
        adapter = component.over(carrier)
        if registration.alpn or registration.opening:
            take = Takeover(alpn=registration.alpn, opening=registration.opening, take=adapter.take)
            carrier.hand_over_to([take])
        return cast("Adapter", adapter), cast("Adapter", carrier)

    @contextlib.asynccontextmanager
    async def _connected(self, address: Address) -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection(*address)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _drain(self, served: ServedAdapter) -> None:
        served.base.drain()
        if served.adapter is not served.base:
            served.adapter.drain()

    async def _expect_answer(self, served: ServedAdapter, number: int) -> None:
        async with in_time("an answer"):
            answered = await self.ask(served.address, number)
        expected = f"/{number}".encode()
        expect(answered == expected, f"the body of the answer is {answered[:80]!r}, not {expected!r}")

    async def _streamed(self, served: ServedAdapter, source: Source) -> bytes:
        """Return what a client gets of an answer that streams."""
        served.gateway.answer = answer_with(source)
        async with feeding(source), in_time("the end of an answer"):
            return await self.ask(served.address, 0)

    async def _leave(self, served: ServedAdapter, until: Any = lambda: True) -> None:  # noqa: ANN401 - a function without arguments
        """Ask, and hang up as soon as the exchange has begun and something is so."""
        asking = asyncio.ensure_future(self.ask(served.address, 0))
        await served.gateway.until(lambda: served.gateway.begun and until(), "a request was not served")
        asking.cancel()
        await asyncio.wait([asking], timeout=PATIENCE_S)

    async def _expect_nothing_open(self, served: ServedAdapter) -> None:
        gateway = served.gateway
        await gateway.until(lambda: not served.base.connections(), "a connection is gone, and connections() counts it")
        begun = [*gateway.begun, *gateway.refused]
        await gateway.until(
            lambda: len(gateway.finished_ones) == len(begun), "an exchange is over and was not finished"
        )


def answer_with(source: Source) -> Any:  # noqa: ANN401 - a handler
    """Return what answers with a body that streams."""

    async def answer(exchange: Exchange) -> Response:
        return Response(200, body=source.body)

    return answer


@contextlib.asynccontextmanager
async def feeding(source: Source) -> AsyncIterator[None]:
    """Have a body fed meanwhile."""
    task = asyncio.ensure_future(source.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE_S)
