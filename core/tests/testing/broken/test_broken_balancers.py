"""The contract of balancers: one that keeps it, and those that do not."""

import asyncio
import re

import pytest
from core.tests.testing.broken.harness import breach

from gateway import BalancerRegistration, Response
from gateway.testing import BalancerContract


class Turns:
    """Each in turn, those of weight 0 aside."""

    def __init__(self, config, context):
        self.instances: object = None
        self.candidates: list = []
        self.count = 0

    def select(self, instances, exchange):
        if instances is not self.instances:
            self.instances = instances
            self.candidates = [each for each in instances if each.weight] or list(instances)
        candidates = self.candidates
        if exchange.excluded:
            left = [each for each in instances if each not in exchange.excluded] or instances
            candidates = [each for each in left if each.weight] or left
        self.count += 1
        return candidates[self.count % len(candidates)]


def build(config, context):
    return Turns(config, context)


class TurnsContract(BalancerContract):
    plugin = BalancerRegistration(name="turns", summary="Each in turn", build=build)


class TestTurns(TurnsContract):
    """The reference."""


class RemembersTheFirstList(Turns):
    def select(self, instances, exchange):
        self.candidates = self.candidates or list(instances)
        self.count += 1
        return self.candidates[self.count % len(self.candidates)]


class MakesItsOwn(Turns):
    def select(self, instances, exchange):
        chosen = super().select(instances, exchange)
        return type(chosen)(chosen.service, chosen.endpoint)


class Insists(Turns):
    def select(self, instances, exchange):
        exchange.excluded = ()
        return super().select(instances, exchange)


class IgnoresWeights(Turns):
    def select(self, instances, exchange):
        self.count += 1
        others = [each for each in instances if each not in exchange.excluded] or instances
        return others[self.count % len(others)]


class RetriesAnywhere(Turns):
    def select(self, instances, exchange):
        if not exchange.excluded:
            return super().select(instances, exchange)
        return next((each for each in instances if each not in exchange.excluded), instances[0])


class Divides(Turns):
    def select(self, instances, exchange):
        assert 1 / sum(each.weight for each in instances)
        return super().select(instances, exchange)


class Counts(Turns):
    def select(self, instances, exchange):
        chosen = super().select(instances, exchange)
        chosen.in_flight += 1
        return chosen


class KeepsInstances(Turns):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.load: dict = {}

    def select(self, instances, exchange):
        chosen = super().select(instances, exchange)
        self.load[chosen] = self.load.get(chosen, 0) + 1
        return chosen


class KeepsClients(Turns):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.clients: dict = {}

    def select(self, instances, exchange):
        self.clients[exchange.request.client] = self.count
        return super().select(instances, exchange)


class LooksAtAll(Turns):
    def select(self, instances, exchange):
        chosen = super().select(instances, exchange)
        return min((each for each in instances if each is chosen), key=lambda each: each.in_flight)


class WaitsAround(Turns):
    def wrap(self, call_next, route):
        async def handler(exchange):
            await asyncio.sleep(0)
            return await call_next(exchange)

        return handler


class AnswersItself(Turns):
    def wrap(self, call_next, route):
        async def handler(exchange):
            return Response()

        return handler


@pytest.mark.parametrize(
    ("balancer", "check", "said"),
    [
        (MakesItsOwn, "test_it_chooses_among_those_it_is_given", "which is not among"),
        (RemembersTheFirstList, "test_those_that_are_gone_are_not_chosen", "which is not among"),
        (Insists, "test_excluded_ones_are_avoided_while_others_remain", "which failed"),
        (IgnoresWeights, "test_weight_0_takes_nothing", "its weight is 0"),
        (RetriesAnywhere, "test_weight_0_takes_nothing", "its weight is 0"),
        (Counts, "test_counters_and_listeners_are_right", "which is the core's"),
        (KeepsInstances, "test_those_that_are_gone_are_forgotten", "do not hold them"),
        (KeepsClients, "test_clients_do_not_fill_the_memory", "bound what is kept"),
        (LooksAtAll, "test_it_costs_the_same_for_many_instances", "times as long with 3000"),
        (WaitsAround, "test_what_stands_around_attempts_lets_them_pass", "waited for"),
        (AnswersItself, "test_what_stands_around_attempts_lets_them_pass", "called 0 times"),
    ],
)
def test_it_is_caught(balancer, check, said):
    assert re.search(said, breach(TurnsContract, balancer, check))


def test_one_that_fails_for_weights_fails_the_test():
    with pytest.raises(ZeroDivisionError):
        breach(TurnsContract, Divides, "test_weight_0_takes_nothing")
