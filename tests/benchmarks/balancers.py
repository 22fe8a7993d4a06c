"""What choosing an instance costs as services grow: ``python tests/benchmarks/balancers.py``.

For each balancer and each number of instances: nanoseconds for a selection, as a multiple of the same with 10
instances, as a share of a request, and how long the first selection and the first one after a change hold up the event
loop. Attempts begin and end as in the core; ``--touch`` walks through that many bytes between selections, as the rest
of a request does, so that caches are as cold as they are in a gateway.

A selection is the difference between a loop that selects and the same loop that takes a prepared instance: what
happens to the instance afterwards, which the core does whichever balancer chose it, counts for both.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections import deque
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
SELECTIONS = 20_000
ROUNDS = 7
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


def run(select: Callable[..., Instance], instances: Sequence[Instance], asking: Sequence[Exchange], touch: int) -> int:
    """Select and do what follows; returns nanoseconds of CPU time for one."""
    other = bytearray(touch)
    busy: deque[Instance] = deque()
    count = SELECTIONS if not touch else SELECTIONS // 10
    begun_ns = time.thread_time_ns()
    for number in range(count):
        if touch:
            other.find(b"x")
        instance = select(instances, asking[number & 1023])
        instance.in_flight += 1
        instance.last_latency_s = number / 1e6
        busy.append(instance)
        if len(busy) > BUSY:
            end(busy.popleft())
    spent_ns = time.thread_time_ns() - begun_ns
    for each in busy:
        end(each)
    return spent_ns // count


def best(make: Callable[[], Balancer], instances: Sequence[Instance], asking: Sequence[Exchange], touch: int) -> int:
    """Return what a selection costs: the least of several rounds, less what the loop costs without a balancer."""
    select = make().select
    drawn = random.Random(1).choices(instances, k=SELECTIONS)  # noqa: S311 - a load, not a secret
    costs, empties = [], []
    for _ in range(ROUNDS):
        costs.append(run(select, instances, asking, touch))
        prepared = iter(drawn)
        empties.append(run(lambda instances, exchange, prepared=prepared: next(prepared), instances, asking, touch))
    return max(min(costs[1:]) - min(empties[1:]), 1)


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
    for name, make in balancers().items():
        if options.names and name.partition(",")[0] not in options.names:
            continue
        costs_ns = []
        for size in SIZES:
            instances = service(size, is_even=options.even)
            gc.collect()
            costs_ns.append(best(make, instances, asking, options.touch))
        first_ms, change_ms = stalls_ms(make, service(SIZES[-1], is_even=options.even), asking[0])
        share = (costs_ns[-1] - costs_ns[0]) / REQUEST_NS
        print(
            f"{name:<24}"
            + "".join(f"{cost:>6} ns" for cost in costs_ns)
            + f"{costs_ns[-1] / costs_ns[0]:>8.2f}{share:>+14.1%}{first_ms:>7.1f} ms{change_ms:>7.1f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
