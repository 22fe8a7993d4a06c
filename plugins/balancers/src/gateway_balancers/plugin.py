"""What gateway-balancers offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BalancerRegistration, BuildContext, NoConfig, hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_balancers.least_connections import LeastConnections
    from gateway_balancers.power_of_two import PowerOfTwo
    from gateway_balancers.round_robin import RoundRobin
    from gateway_balancers.weighted_random import WeightedRandom
    from gateway_balancers.weighted_round_robin import WeightedRoundRobin


@hookimpl
def gateway_register_balancers() -> Sequence[BalancerRegistration]:
    return [
        BalancerRegistration(
            name="round_robin",
            summary="Each instance in turn (the default)",
            build=build_round_robin,
        ),
        BalancerRegistration(
            name="weighted_round_robin",
            summary="Each instance in turn, as often as its weight says, evenly spread",
            build=build_weighted_round_robin,
            other_names=("weighted",),
        ),
        BalancerRegistration(
            name="weighted_random",
            summary="By lot, as often as its weight says",
            build=build_weighted_random,
            other_names=("random",),
        ),
        BalancerRegistration(
            name="least_connections",
            summary="The instance with the fewest attempts in flight for its weight",
            build=build_least_connections,
        ),
        BalancerRegistration(
            name="power_of_two",
            summary="The less busy of two instances drawn by lot",
            build=build_power_of_two,
        ),
    ]


def build_round_robin(config: NoConfig, context: BuildContext) -> RoundRobin:
    from gateway_balancers.round_robin import RoundRobin

    return RoundRobin()


def build_weighted_round_robin(config: NoConfig, context: BuildContext) -> WeightedRoundRobin:
    from gateway_balancers.weighted_round_robin import WeightedRoundRobin

    return WeightedRoundRobin()


def build_weighted_random(config: NoConfig, context: BuildContext) -> WeightedRandom:
    from gateway_balancers.weighted_random import WeightedRandom

    return WeightedRandom()


def build_least_connections(config: NoConfig, context: BuildContext) -> LeastConnections:
    from gateway_balancers.least_connections import LeastConnections
    from gateway_balancers.load_table import LoadTables

    # Kept across routes and reloads: one table per service serves them all.
    return LeastConnections(context.keep("tables", LoadTables))


def build_power_of_two(config: NoConfig, context: BuildContext) -> PowerOfTwo:
    from gateway_balancers.power_of_two import PowerOfTwo

    return PowerOfTwo()
