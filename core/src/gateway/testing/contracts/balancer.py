"""What a balancer promises."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, cast

from gateway.exchange import Exchange
from gateway.interfaces import Endpoint, Instance, Route
from gateway.messages import Request
from gateway.registrations import BalancerRegistration, Registration
from gateway.testing.contracts.cancelling import expect_no_waiting
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.expectation import expect
from gateway.testing.contracts.growth import expect_bounded
from gateway.testing.contracts.handlers import Scripted
from gateway.testing.contracts.standstill import fastest_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import Balancer

__all__ = ["BalancerContract"]

_ROUNDS = 40
_FEW, _MANY = 20, 3000


class BalancerContract(ComponentContract):
    """Extend it and name it ``Test...``; most have nothing more to say than which plugin it is.

    Attributes:
        is_weighted: Whether an instance of weight 0 takes nothing; one that goes by something else may say ``False``.
        remembered: How many clients it may remember.
    """

    kind: ClassVar[type[Registration]] = BalancerRegistration
    is_weighted: ClassVar[bool] = True
    remembered: ClassVar[int] = 2000

    def request(self, number: int) -> Request:
        """Return a request, of another client for each number."""
        return Request("GET", f"/things/{number}", client=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")

    async def test_it_chooses_among_those_it_is_given(self) -> None:
        """One, two or many, whatever they are called."""
        async with self.built() as balancer:
            for count in (1, 2, 3, 17):
                instances = _instances(count)
                for number in range(_ROUNDS):
                    self._select(balancer, instances, number)

    async def test_those_that_are_gone_are_not_chosen(self) -> None:
        """The list changes while it serves: instances come, go, and are others with the same address."""
        async with self.built() as balancer:
            everyone = _instances(12)
            lists = [
                everyone,
                everyone[:3],
                everyone[2:3],
                everyone[1:9],
                (),
                _instances(4),
                everyone[::-1],
                everyone[5:7],
            ]
            for instances in filter(None, lists):
                for number in range(_ROUNDS):
                    self._select(balancer, tuple(instances), number)

    async def test_excluded_ones_are_avoided_while_others_remain(self) -> None:
        """A retry goes elsewhere; where there is nowhere else, it goes back."""
        async with self.built() as balancer:
            instances = _instances(3)
            for number in range(_ROUNDS):
                excluded = (instances[number % 3], instances[(number + 1) % 3])
                chosen = self._select(balancer, instances, number, excluded)
                expect(chosen not in excluded, f"{chosen!r} was chosen, which failed, and another one was not tried")
                self._select(balancer, instances, number, instances)
                self._select(balancer, instances[:1], number, instances)

    async def test_weight_0_takes_nothing(self) -> None:
        """Unless all have it: then somebody must."""
        async with self.built() as balancer:
            none = _instances(3, weights=(0, 0, 0))
            for number in range(_ROUNDS):
                self._select(balancer, none, number)
            if not self.is_weighted:
                return
            some = _instances(3, weights=(0, 5, 1))
            for number in range(_ROUNDS):
                for excluded in ((), some[1:2], some[2:]):
                    chosen = self._select(balancer, some, number, excluded)
                    expect(chosen is not some[0], f"{chosen!r} was chosen, and its weight is 0")

    async def test_counters_and_listeners_are_right(self) -> None:
        """Attempts begin and end in any order; it counts none of them itself."""
        async with self.built() as balancer:
            instances = _instances(4)
            under_way = []
            for number in range(3 * _ROUNDS):
                chosen = self._select(balancer, instances, number)
                chosen.in_flight += 1
                under_way.append(chosen)
                if number % 3:
                    _release(under_way.pop(number % len(under_way)))
            while under_way:
                _release(under_way.pop())
            wrong = [each for each in instances if each.in_flight]
            expect(not wrong, f"the balancer changed in_flight, which is the core's: {wrong}")
            self._select(balancer, instances, 0)

    async def test_those_that_are_gone_are_forgotten(self) -> None:
        """Deployments replace instances all day long."""
        async with self.built() as balancer:
            gone: list[weakref.ref[Instance]] = []
            for number in range(30):
                instances = _instances(4, service="service", first=number * 4)
                gone += [weakref.ref(each) for each in instances]
                for client in range(8):
                    _release_after(self._select(balancer, instances, client))
            instances = _instances(2, first=1000)
            for client in range(8):
                self._select(balancer, instances, client)
            gc.collect()
            kept = sum(each() is not None for each in gone)
            expect(kept <= 4, f"{kept} of {len(gone)} instances are kept that went away long ago; do not hold them")

    async def test_clients_do_not_fill_the_memory(self) -> None:
        """There are more of them than of anything else."""
        async with self.built() as balancer:
            instances = _instances(5)

            async def use(number: int) -> None:
                self._select(balancer, instances, number)

            await expect_bounded(use, self.remembered, "clients")

    async def test_it_costs_the_same_for_many_instances(self) -> None:
        """O(1) or O(log n): it is asked for every attempt."""
        async with self.built() as balancer:
            costs = []
            for count in (_FEW, _MANY):
                instances = _instances(count)
                exchanges = [self._exchange(number) for number in range(50)]
                costs.append(fastest_s(lambda them=instances, all_=exchanges: [balancer.select(them, e) for e in all_]))  # type: ignore[misc]  # mypy infers no type for lambdas with defaults
            few, many = costs
            said = f"select took {many / few:.0f} times as long with {_MANY} instances as with {_FEW}"
            expect(many < 8 * few + 0.0005, f"{said}; keep what is worked out of the list")

    async def test_what_stands_around_attempts_lets_them_pass(self) -> None:
        """``wrap``, if it has one, awaits nothing but the next handler, and keeps the response."""
        async with self.built() as balancer:
            wrap = getattr(balancer, "wrap", None)
            if wrap is None:
                return
            instances = _instances(2)
            service = Scripted(instance=instances[0])
            handler = wrap(service, Route(id="route", path="/*", service="service"))
            exchange = self._exchange(1)
            self._select(balancer, instances, 1)
            promised = type("Promised", (), {"waits": False})()
            await expect_no_waiting(promised, handler(exchange), "what wrap made")
            expect(service.calls == 1, f"the next handler was called {service.calls} times")

    # Underneath.

    def _exchange(self, number: int, excluded: Sequence[Instance] = ()) -> Exchange:
        exchange = Exchange(self.request(number), cast("Any", None))
        exchange.route = Route(id="route", path="/*", service="service")
        exchange.excluded = tuple(excluded)
        return exchange

    def _select(
        self, balancer: Balancer, instances: Sequence[Instance], number: int, excluded: Sequence[Instance] = ()
    ) -> Instance:
        chosen = balancer.select(instances, self._exchange(number, excluded))
        is_member = any(chosen is each for each in instances)
        expect(is_member, f"{chosen!r} was chosen, which is not among {list(instances)[:5]}")
        return chosen


def _instances(
    count: int, *, service: str = "service", first: int = 0, weights: Sequence[int] = ()
) -> tuple[Instance, ...]:
    return tuple(
        Instance(
            service,
            Endpoint(
                address=f"10.1.{(first + n) >> 8}.{(first + n) & 255}", port=80, weight=weights[n] if weights else 1
            ),
        )
        for n in range(count)
    )


def _release(instance: Instance) -> None:
    """End an attempt, as the core does."""
    instance.in_flight -= 1
    for listener in instance.release_listeners:
        listener(instance)


def _release_after(instance: Instance) -> None:
    instance.in_flight += 1
    _release(instance)
