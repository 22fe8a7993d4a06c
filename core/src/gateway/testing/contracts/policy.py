"""What a policy promises."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.errors import ErrorType, GatewayError
from gateway.messages import Response
from gateway.testing.contracts.cancelling import cancel_everywhere, expect_no_waiting
from gateway.testing.contracts.expectation import expect, in_time
from gateway.testing.contracts.growth import expect_bounded
from gateway.testing.contracts.handlers import Scripted
from gateway.testing.contracts.leaks import nothing_left
from gateway.testing.contracts.policy_bodies import PolicyBodies
from gateway.testing.contracts.standstill import expect_a_running_loop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.exchange import Exchange
    from gateway.interfaces import Route


__all__ = ["PolicyContract"]


class PolicyContract(PolicyBodies):
    """Extend it, name it ``Test...``, and give it a request that the policy lets pass.

    Attributes:
        remembered: How many clients it may remember.
    """

    remembered: ClassVar[int] = 2000

    # To be overridden, beside what ``PolicyBodies`` has.

    def off(self) -> tuple[Mapping[str, Any], Route] | None:
        """Return a configuration and a route with which it does nothing; ``None`` if there are none."""
        return None

    # What is promised.

    async def test_where_it_is_off_it_is_not_there(self) -> None:
        """``wrap`` returns the next handler itself, which costs nothing."""
        found = self.off()
        if found is not None:
            async with self.bench() as bench:
                policy = await bench.build(self.registration, found[0])
                service = Scripted()
                expect(policy.wrap(service, found[1]) is service, "it does nothing here; let wrap return next itself")

    async def test_a_request_reaches_the_service_once(self) -> None:
        """And its response the client."""
        async with self.built() as policy:
            service = Scripted(lambda exchange: self.response(self.body()))
            response = await self._handler(policy, service)(self._exchange(0))
            expect(service.calls == 1, f"the service was asked {service.calls} times; request() must be let pass")
            expect(isinstance(response, Response), f"it returned {response!r} instead of a Response")
            expect(response.body == self.passed_on(self.body()), "the body of the response is another one")

    async def test_cancellation_reaches_the_service_and_leaves_it_working(self) -> None:
        """Clients go away at any time."""
        async with self.built() as policy:
            handler = self._handler(policy, Scripted(lambda exchange: self.response(b"ok")))

            async def after() -> None:
                async with in_time("a response, after another one was cancelled,"):
                    response = await handler(self._exchange(1))
                expect(response.status < 400, f"after one was cancelled, the next was answered {response!r}")

            # Twice: what the first time leaves open for the next exchange, such as a connection, may be there.
            await cancel_everywhere(lambda: handler(self._exchange(0)), "the exchange", after)
            async with nothing_left(by="a cancelled exchange", may_replace=True):
                await cancel_everywhere(lambda: handler(self._exchange(0)), "the exchange", after)

    async def test_errors_stay_errors(self) -> None:
        """What fails further in is passed on, or answered as a failure: never as a success, nor not at all."""
        failures = [GatewayError(ErrorType.BAD_GATEWAY, "no answer"), ValueError("a bug")]
        async with self.bench() as bench:
            for failure in failures:

                def fail(exchange: Exchange, failure: Exception = failure) -> Response:
                    raise failure

                policy = await bench.build(self.registration, self.config())
                try:
                    async with in_time("a response to what fails further in"):
                        response = await self._handler(policy, Scripted(fail))(self._exchange(0))
                except Exception as error:  # noqa: BLE001 - that is what is looked at
                    is_same = isinstance(error, GatewayError) or error is failure
                    expect(is_same, f"{failure!r} further in became {error!r}; pass it on, or raise a GatewayError")
                else:
                    expect(response.status >= 500, f"{failure!r} further in was answered {response!r}")

    async def test_exchanges_do_not_mix(self) -> None:
        """Each of many at once gets its own answer."""
        async with self.built() as policy:
            answer = Scripted(lambda exchange: self.response(exchange.request.path.encode()))
            handler = self._handler(policy, answer)
            answers = await asyncio.gather(*(handler(self._exchange(number)) for number in range(30)))
            for number, response in enumerate(answers):
                expected = self.passed_on(self.request(number).path.encode())
                expect(response.body == expected, f"an exchange among many got the answer {response.body!r} of another")

    async def test_it_waits_only_if_it_says_so(self) -> None:
        """``waits = False`` is kept."""
        async with self.built() as policy:
            handler = self._handler(policy, Scripted(lambda exchange: self.response(self.body())))
            for number in range(3):
                await expect_no_waiting(policy, handler(self._exchange(number)), "the handler")

    async def test_it_does_not_block(self) -> None:
        """Not for large bodies either."""
        async with self.built() as policy:
            handler = self._handler(policy, Scripted(lambda exchange: self.response(self.body())))

            async def work() -> None:
                await handler(self._exchange(0))

            await expect_a_running_loop(work, "the handler")

    async def test_clients_do_not_fill_the_memory(self) -> None:
        """What is remembered of them is bounded."""
        async with self.built() as policy:
            handler = self._handler(policy, Scripted())

            async def use(number: int) -> None:
                await handler(self._exchange(number))

            await expect_bounded(use, self.remembered, "clients")
