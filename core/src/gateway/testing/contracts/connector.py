"""What a connector promises, whatever it connects to."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from typing import TYPE_CHECKING, Any, ClassVar, cast

from gateway.errors import ErrorType, GatewayError
from gateway.exchange import Exchange
from gateway.headers import Headers
from gateway.interfaces import Endpoint, Instance, Route
from gateway.messages import Request, Response
from gateway.pluginhost.collect import build_manager, collect_offers
from gateway.registrations import ConnectorRegistration, Registration
from gateway.testing.contracts.bodies import Sink
from gateway.testing.contracts.cancelling import cancel_everywhere, expect_no_waiting
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.expectation import PATIENCE_S, expect, in_time
from gateway.testing.contracts.standstill import expect_a_running_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from gateway.interfaces import Connector
    from gateway.testing.workbench import Workbench

__all__ = ["ConnectorContract"]

FAILURES = (ErrorType.BAD_GATEWAY, ErrorType.UPSTREAM_TIMEOUT, ErrorType.UNAVAILABLE)


class ConnectorContract(ComponentContract):
    """Extend it, name it ``Test...``, and say where a service is and what it answers.

    For services that speak HTTP/1.1 there is ``HttpConnectorContract``, which brings one.

    Attributes:
        carrier: The module of the plugin that offers the connector below, for one that is ``over`` another.
    """

    kind: ClassVar[type[Registration]] = ConnectorRegistration
    carrier: ClassVar[str | None] = None

    # To be overridden.

    def serving(self) -> AbstractAsyncContextManager[Endpoint]:
        """Start a service, give the place of it, and stop it in the end: an ``asynccontextmanager``."""
        raise NotImplementedError("say where a service is: override serving")

    def request(self, number: int) -> Request:
        """Return a request, another one for each number."""
        return Request("GET", f"/{number}", host="service.test", headers=Headers.of([("host", "service.test")]))

    def answer(self, number: int) -> bytes:
        """Return the body that the service answers with."""
        return b"ok"

    def nowhere(self) -> Endpoint | None:
        """Return the place of a service that cannot be reached; ``None`` if there is no such thing."""
        return None

    # What is promised.

    async def test_the_response_arrives_whole(self) -> None:
        """Again and again, over whatever is kept open."""
        async with self._connected() as (connector, instance):
            for number in range(5):
                await self._expect_answer(connector, instance, number)

    async def test_exchanges_do_not_mix(self) -> None:
        """Each of many at once gets its own response."""
        async with self._connected() as (connector, instance):
            await asyncio.gather(*(self._expect_answer(connector, instance, number) for number in range(25)))

    async def test_what_cannot_be_reached_is_a_gateway_error(self) -> None:
        """``bad_gateway``; its public message names no instance, and it says that nothing was sent."""
        endpoint = self.nowhere()
        if endpoint is None:
            return
        async with self._connected() as (connector, _):
            instance = Instance("service", endpoint)
            try:
                async with in_time("an answer about what cannot be reached"):
                    response = await connector.open(instance, self._exchange(0))
            except GatewayError as error:
                expect(error.type in FAILURES, f"what cannot be reached is {error.type}; raise bad_gateway")
                is_told = endpoint.address in error.message or str(endpoint.port) in error.message
                expect(
                    not is_told, f"the message for clients names the instance: {error.message!r}; put it into detail"
                )
                expect(
                    error.is_unsent, "it says not that nothing was sent: pass is_unsent=True, so that others are asked"
                )
            except Exception as error:
                raise AssertionError(f"what cannot be reached raised {error!r}; raise a GatewayError") from error
            else:
                expect(is_so=False, why=f"what cannot be reached gave {response!r}; raise a GatewayError")

    async def test_cancellation_releases_everything(self) -> None:
        """Clients go away at any time; the next one is served all the same."""
        async with self._connected() as (connector, instance):

            async def ask() -> None:
                await self._body(await connector.open(instance, self._exchange(0)))

            async def after() -> None:
                await self._expect_answer(connector, instance, 1)

            await cancel_everywhere(ask, "open", after)

    async def test_a_response_that_nobody_wants_is_given_up(self) -> None:
        """Its body is not read; the next one is served all the same."""
        async with self._connected() as (connector, instance):
            for number in range(3):
                response = await connector.open(instance, self._exchange(number))
                response.discard()
                await self._expect_answer(connector, instance, number + 1)

    async def test_it_waits_only_if_it_says_so(self) -> None:
        """``waits = False`` is kept, with a new connection and with one that is kept open."""
        async with self._connected() as (connector, instance):
            for number in range(3):
                response = await expect_no_waiting(connector, connector.open(instance, self._exchange(number)), "open")
                await self._body(response)

    async def test_it_does_not_block(self) -> None:
        """Neither connecting nor reading."""
        async with self._connected() as (connector, instance):

            async def work() -> None:
                for number in range(5):
                    await self._expect_answer(connector, instance, number)

            await expect_a_running_loop(work, "open")

    # Underneath.

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[Connector, Instance]]:
        """Give the connector and an instance that answers it."""
        async with self.bench() as bench, self.serving() as endpoint:
            yield await self._connector(bench), Instance("service", endpoint)
            # Connections end before the service does, as they do in a gateway that stops.
            await bench.clear()

    async def _connector(self, bench: Workbench) -> Connector:
        registration = self.registration
        component = await bench.build(registration, self.config())
        below = registration.over if isinstance(registration, ConnectorRegistration) else None
        if below is None:
            return cast("Connector", component)
        expect(self.carrier, f"it is over {below!r}; say by 'carrier' which module offers that")
        offers = collect_offers(build_manager(), "carrier", importlib.import_module(str(self.carrier)))
        (offer,) = (each for each in offers if isinstance(each, ConnectorRegistration) and each.name == below)
        return cast("Connector", component.over(await bench.build(offer)))

    def _exchange(self, number: int, *, timeout_s: float | None = PATIENCE_S) -> Exchange:
        exchange = Exchange(self.request(number), cast("Any", None))
        protocol = self.registration.protocol if isinstance(self.registration, ConnectorRegistration) else "http"
        upgrades = frozenset({exchange.request.upgrade} - {None})
        exchange.route = Route(
            id="route", path="/*", service="service", protocol=protocol, timeout_s=timeout_s,
            allow_upgrade=cast("frozenset[str]", upgrades),
        )  # fmt: skip
        return exchange

    async def _expect_answer(self, connector: Connector, instance: Instance, number: int) -> None:
        async with in_time("a response"):
            response = await connector.open(instance, self._exchange(number))
        body = await self._body(response)
        expected = self.answer(number)
        expect(body == expected, f"the body of the response is {body[:80]!r}, not {expected[:80]!r}")

    async def _body(self, response: Response) -> bytes:
        sink = Sink(response.body)
        body = await sink.finished()
        expect(sink.error is None, f"the body broke off: {sink.error!r}")
        return body
