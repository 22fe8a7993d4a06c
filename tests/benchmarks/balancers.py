"""What choosing an instance costs as services grow: ``python tests/benchmarks/balancers.py``.

For each balancer and each number of instances: nanoseconds for a selection, as a multiple of the same with 10
instances, as a share of a request, and how long the first selection and the first one after a change hold up the event
loop. Attempts begin and end as in the core; ``--touch`` walks through that many bytes between selections, as the rest
of a request does, so that caches are as cold as they are in a gateway.

A selection is the difference between a loop that selects and the same loop that takes an instance drawn before: what
happens to the instance afterwards, which the core does whichever balancer chose it, counts for both. What that loop
costs stands in the last line: how it grows is what memory costs that is not at hand, if nothing is chosen at all. The
sizes take turns, and figures are medians of many short rounds, as other work of the machine would favour one of them.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections import deque
from itertools import cycle
from statistics import median
from typing import TYPE_CHECKING, Any, cast

from gateway import Endpoint, Exchange, Headers, Instance, Request
from gateway_affinity.config import SessionAffinityConfig
from gateway_affinity.sticky_session import NamedSession
from gateway_balancers.adaptive import Adaptive
from gateway_balancers.consistent_hash import ConsistentHash
from gateway_balancers.least_connections import LeastConnections
from gateway_balancers.power_of_two import PowerOfTwo
from gateway_balancers.response_time import ResponseTime
from gateway_balancers.round_robin import RoundRobin
from gateway_balancers.weighted_random import WeightedRandom
from gateway_balancers.weighted_round_robin import WeightedRoundRobin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.interfaces import Balancer

SIZES = (10, 1_000, 10_000)
REQUEST_NS = 40_000
"""What a proxied request costs on one core, of which a selection is a part; see README.md."""
SHORTEST_WARM_UP = 20_000
BLOCK = 1_000
"""Selections between two looks at the clock."""
ROUNDS = 41
BUSY = 64
"""Attempts in flight at a time."""


def balancers() -> dict[str, Callable[[], Balancer]]:
    """Return how to make each balancer, as its plugin does."""
    return {
        "round_robin": RoundRobin,
        "weighted_round_robin": WeightedRoundRobin,
        "weighted_random": WeightedRandom,
        "least_connections": LeastConnections,
        "power_of_two": PowerOfTwo,
        "response_time": lambda: ResponseTime(10.0),
        "adaptive": lambda: Adaptive([WeightedRoundRobin(), PowerOfTwo(), ResponseTime(10.0)]),
        "consistent_hash": lambda: ConsistentHash(("header:x-session-id",), 0),
        "consistent_hash, bound": lambda: ConsistentHash(("header:x-session-id",), 1.25),
        "sticky_session, header": lambda: NamedSession(SessionAffinityConfig(source="header")),
    }


def service(count: int, *, is_even: bool) -> tuple[Instance, ...]:
    """Make the instances of a service, with weights 1 to 5 unless they are all alike."""
    chance = random.Random(count)  # noqa: S311 - a load, not a secret
    return tuple(
        Instance(
            "orders",
            Endpoint(
                address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
                port=80,
                weight=1 if is_even else chance.randint(1, 5),
            ),
        )
        for number in range(count)
    )


def exchanges() -> list[Exchange]:
    """Make exchanges of a thousand sessions."""
    return [
        Exchange(Request("GET", "/", headers=Headers([(b"x-session-id", b"session-%d" % number)])), cast("Any", None))
        for number in range(1024)
    ]


def end(instance: Instance) -> None:
    """End an attempt as the core does."""
    instance.in_flight -= 1
    for listener in instance.release_listeners:
        listener(instance)


class Case:
    """A balancer among so many instances, and the attempts that are under way.

    Args:
        make: Makes the balancer.
        instances: The instances.
        asking: Who asks, in turn.
        touch: Bytes to walk through between selections.
    """

    def __init__(
        self, make: Callable[[], Balancer], instances: Sequence[Instance], asking: Sequence[Exchange], touch: int
    ) -> None:
        self._select = make().select
        self._instances = instances
        self._asking = cycle(asking)
        self._others = bytes(touch)
        self._busy = deque(instances[0] for _ in range(BUSY))
        for each in self._busy:
            each.in_flight += 1
        # Of others that are like them, of whom the balancer does not hear.
        twins = [Instance(each.service, each.endpoint) for each in instances]
        self._prepared = cycle(random.Random(1).choices(twins, k=SHORTEST_WARM_UP))  # noqa: S311 - a load
        self._taken = deque(twins[0] for _ in range(BUSY))
        twins[0].in_flight += BUSY
        for _ in range(max(SHORTEST_WARM_UP, 4 * len(instances)) // BLOCK):
            self.selecting_ns(BLOCK)

    def selecting_ns(self, count: int) -> float:
        """Select, and do what follows; returns nanoseconds of CPU time for one."""
        select, asking, instances = self._select, self._asking, self._instances
        busy, others = self._busy, self._others
        begun_ns = time.thread_time_ns()
        for _ in range(count):
            others.find(b"x")
            instance = select(instances, next(asking))
            instance.in_flight += 1
            instance.latency_s = time.monotonic()
            busy.append(instance)
            end(busy.popleft())
        return (time.thread_time_ns() - begun_ns) / count

    def taking_ns(self, count: int) -> float:
        """Take instances that were drawn before, and do what follows; returns the same."""
        prepared, asking = self._prepared, self._asking
        busy, others = self._taken, self._others
        begun_ns = time.thread_time_ns()
        for _ in range(count):
            others.find(b"x")
            next(asking)
            instance = next(prepared)
            instance.in_flight += 1
            instance.latency_s = time.monotonic()
            busy.append(instance)
            end(busy.popleft())
        return (time.thread_time_ns() - begun_ns) / count


def costs_ns(cases: Sequence[Case], *, is_slow: bool) -> list[tuple[float, float]]:
    """Return for each case what a selection costs, and what the loop costs without: medians of rounds, one by one."""
    count = BLOCK // 10 if is_slow else BLOCK
    rounds = [[(case.selecting_ns(count), case.taking_ns(count)) for case in cases] for _ in range(ROUNDS)]
    return [
        (median(whole - loop for whole, loop in figures), median(loop for _, loop in figures))
        for figures in zip(*rounds, strict=True)
    ]


def stalls_ms(make: Callable[[], Balancer], instances: Sequence[Instance], exchange: Exchange) -> tuple[float, float]:
    """Return how long the first selection takes, and the first one after one instance went and another came."""
    balancer = make()
    balancer.select(instances, exchange)  # imports, and whatever else happens once
    balancer = make()
    begun_s = time.thread_time()
    balancer.select(instances, exchange)
    first_s = time.thread_time() - begun_s
    for other in instances:
        balancer.select(instances, exchange)
        if other is instances[999 % len(instances)]:
            break
    new = Instance("orders", Endpoint(address="10.9.9.9", port=80))
    changed = (*instances[1:], new)
    begun_s = time.thread_time()
    balancer.select(changed, exchange)
    return first_s * 1000, (time.thread_time() - begun_s) * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--touch", type=int, default=0, help="bytes to walk through between selections (0)")
    parser.add_argument("--even", action="store_true", help="all weights are 1, not 1 to 5")
    parser.add_argument("names", nargs="*", help="balancers; all without any")
    options = parser.parse_args()
    asking = exchanges()
    print(f"{'balancer':<24}" + "".join(f"{size:>9}" for size in SIZES) + "   ratio  of a request   first    change")
    loops_ns = []
    for name, make in balancers().items():
        if options.names and name.partition(",")[0] not in options.names:
            continue
        cases = [Case(make, service(size, is_even=options.even), asking, options.touch) for size in SIZES]
        gc.collect()
        figures = costs_ns(cases, is_slow=options.touch > 0)
        loops_ns.append([loop for _, loop in figures])
        costs = [cost for cost, _ in figures]
        first_ms, change_ms = stalls_ms(make, service(SIZES[-1], is_even=options.even), asking[0])
        print(
            f"{name:<24}"
            + "".join(f"{cost:>6.0f} ns" for cost in costs)
            + f"{costs[-1] / costs[0]:>8.2f}{(costs[-1] - costs[0]) / REQUEST_NS:>+14.1%}"
            + f"{first_ms:>7.1f} ms{change_ms:>7.1f} ms",
            flush=True,
        )
    floor = [median(figures) for figures in zip(*loops_ns, strict=True)]
    print(f"{'(an instance is taken)':<24}" + "".join(f"{cost:>6.0f} ns" for cost in floor))


if __name__ == "__main__":
    main()
