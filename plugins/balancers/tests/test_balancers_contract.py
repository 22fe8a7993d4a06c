"""What every balancer promises, kept by each of these."""

from __future__ import annotations

from gateway.testing import BalancerContract


class TestRoundRobin(BalancerContract):
    plugin = "gateway_balancers.plugin"
    offer = "round_robin"
    is_weighted = False


class TestWeightedRoundRobin(BalancerContract):
    plugin = "gateway_balancers.plugin"
    offer = "weighted_round_robin"


class TestWeightedRandom(BalancerContract):
    plugin = "gateway_balancers.plugin"
    offer = "weighted_random"


class TestLeastConnections(BalancerContract):
    plugin = "gateway_balancers.plugin"
    offer = "least_connections"


class TestPowerOfTwo(BalancerContract):
    plugin = "gateway_balancers.plugin"
    offer = "power_of_two"


class TestResponseTime(BalancerContract):
    plugin = "gateway_balancers.plugin"
    offer = "response_time"


class TestAdaptive(BalancerContract):
    plugin = "gateway_balancers.plugin"
    offer = "adaptive"


class TestConsistentHash(BalancerContract):
    plugin = "gateway_balancers.plugin"
    offer = "consistent_hash"
