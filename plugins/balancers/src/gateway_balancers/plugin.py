"""What gateway-balancers offers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway import BalancerRegistration, BuildContext, NoConfig, hookimpl
from gateway_balancers.candidates import Locality
from gateway_balancers.config import ConsistentHashConfig, ResponseTimeConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_balancers.adaptive import Adaptive
    from gateway_balancers.candidates import Take
    from gateway_balancers.consistent_hash import ConsistentHash
    from gateway_balancers.least_connections import LeastConnections
    from gateway_balancers.power_of_two import PowerOfTwo
    from gateway_balancers.response_time import ResponseTime
    from gateway_balancers.round_robin import RoundRobin
    from gateway_balancers.weighted_random import WeightedRandom
    from gateway_balancers.weighted_round_robin import WeightedRoundRobin


_DECAY = "what was measured counts the less the older it is; write 'decay', the seconds in which it falls to 1/e"
_BY_WEIGHT = "how much goes to which instances is said by their 'weight', which a reload changes; write that"
_REFUSED = {
    "gateway.router.ipHash": "write 'loadBalance: consistent_hash' and 'consistentHash: {key: address}' in the rule",
    "gateway.router.leastConnections": "attempts in flight are always weighed by the instances' weights; remove it",
    "gateway.router.adaptive": "it finds out by itself what works best; remove it",
    "gateway.router.healthAware": "instances that do not work are never chosen; remove it",
    "gateway.router.hedging": "no request is sent twice at the same time; write gateway.retry with 'perTryTimeout'",
    "gateway.router.retry": "write gateway.retry; another try always goes to another instance, if there is one",
    "gateway.router.connectionPool": "write backend.http.maxConnsPerHost, maxIdleConnsPerHost and idleConnTimeout",
    "gateway.router.analytics": "write gateway.metrics, which counts requests and attempts by instance",
    "gateway.router.resourceBased": "write 'loadBalance: adaptive' or 'least_connections' in the rule",
    "gateway.router.canary": _BY_WEIGHT,
    "gateway.router.abTest": _BY_WEIGHT,
}
"""Keys of the original gateway's documents that mean nothing here."""


@hookimpl
def gateway_register_balancers() -> Sequence[BalancerRegistration]:
    return [
        BalancerRegistration(
            name="round_robin",
            summary="Each instance in turn (the default)",
            build=build_round_robin,
            refused=_REFUSED,
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
        BalancerRegistration(
            name="response_time",
            summary="Of two instances drawn by lot the one that is likely to answer sooner",
            config=ResponseTimeConfig,
            build=build_response_time,
            path="router.responseTime",
            rule_key="responseTime",
            refused=dict.fromkeys(("percentile", "window", "updateInterval"), _DECAY),
        ),
        BalancerRegistration(
            name="adaptive",
            summary="By turns, load or response time, whichever is found to work best",
            build=build_adaptive,
        ),
        BalancerRegistration(
            name="consistent_hash",
            summary="What has the same header, cookie, address or path goes to the same instance",
            config=ConsistentHashConfig,
            build=build_consistent_hash,
            path="router.consistentHash",
            rule_key="consistentHash",
            refused={"replicaCount": "an instance has as many places as its weight says; write its 'weight'"},
        ),
    ]


def build_round_robin(config: NoConfig, context: BuildContext) -> RoundRobin:
    from gateway_balancers.round_robin import RoundRobin

    return RoundRobin(take=_near_ones())


def build_weighted_round_robin(config: NoConfig, context: BuildContext) -> WeightedRoundRobin:
    from gateway_balancers.weighted_round_robin import WeightedRoundRobin

    return WeightedRoundRobin(take=_near_ones())


def build_weighted_random(config: NoConfig, context: BuildContext) -> WeightedRandom:
    from gateway_balancers.weighted_random import WeightedRandom

    return WeightedRandom(take=_near_ones())


def build_least_connections(config: NoConfig, context: BuildContext) -> LeastConnections:
    from gateway_balancers.least_connections import LeastConnections
    from gateway_balancers.load_table import LoadTables

    # Kept across routes and reloads: one table per service serves them all.
    return LeastConnections(context.keep("tables", lambda: LoadTables(take=_near_ones())))


def build_power_of_two(config: NoConfig, context: BuildContext) -> PowerOfTwo:
    from gateway_balancers.power_of_two import PowerOfTwo

    return PowerOfTwo(take=_near_ones())


def build_response_time(config: ResponseTimeConfig, context: BuildContext) -> ResponseTime:
    from gateway_balancers.response_time import ResponseTime

    return ResponseTime(config.decay, take=_near_ones())


def build_adaptive(config: NoConfig, context: BuildContext) -> Adaptive:
    from gateway_balancers.adaptive import Adaptive
    from gateway_balancers.power_of_two import PowerOfTwo
    from gateway_balancers.response_time import ResponseTime
    from gateway_balancers.weighted_round_robin import WeightedRoundRobin

    take = _near_ones()
    return Adaptive([WeightedRoundRobin(take=take), PowerOfTwo(take=take), ResponseTime(10.0, take=take)])


def build_consistent_hash(config: ConsistentHashConfig, context: BuildContext) -> ConsistentHash:
    from gateway_balancers.consistent_hash import ConsistentHash, ServiceRings

    # Kept across routes and reloads, as above.
    return ConsistentHash(config.key, config.bound, context.keep("rings", lambda: ServiceRings(_near_ones())))


def _near_ones() -> Take:
    return Locality.of(os.environ).candidates
