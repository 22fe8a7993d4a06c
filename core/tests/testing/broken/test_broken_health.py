"""The contract of health checkers: one that keeps it, and those that do not."""

# ruff: noqa: ASYNC251 - what is done badly here is done so on purpose

import asyncio
import re
import time

import pytest
from core.tests.testing.broken.harness import breach, told_in_the_end

from gateway import HealthCheckerRegistration
from gateway.testing import HealthCheckerContract

TIMEOUT_S = 0.5


class Asks:
    """Asks every instance for something, at once, again and again."""

    def __init__(self, config, context):
        self.met: list = []

    async def monitor(self, directory):
        while True:
            await self.round(directory)
            await asyncio.sleep(0.005)

    async def round(self, directory):
        async with asyncio.TaskGroup() as group:
            for service in directory.services():
                for instance in directory.instances(service):
                    group.create_task(self.check(directory, instance))

    async def check(self, directory, instance):
        works = await self.works(instance)
        if instance in directory.instances(instance.service):
            directory.mark(instance, is_healthy=works, reason="it was asked")

    async def works(self, instance):
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self.ask(instance)
        except (OSError, EOFError, TimeoutError):
            return False

    async def ask(self, instance):
        endpoint = instance.endpoint
        reader, writer = await asyncio.open_connection(endpoint.address, endpoint.port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            return (await reader.readline()).startswith(b"HTTP/1.1 200")
        finally:
            writer.close()


def build(config, context):
    return Asks(config, context)


class AskContract(HealthCheckerContract):
    plugin = HealthCheckerRegistration(name="asks", summary="Asks every instance", build=build)


class TestAsks(AskContract):
    """The reference."""


class MarksNobody(Asks):
    async def check(self, directory, instance):
        await self.works(instance)


class NeverTakesBack(Asks):
    async def check(self, directory, instance):
        if not await self.works(instance):
            directory.mark(instance, is_healthy=False, reason="it failed once")


class MarksAll(Asks):
    async def round(self, directory):
        for service in directory.services():
            instances = directory.instances(service)
            works = [await self.works(instance) for instance in instances]
            for instance in instances:
                directory.mark(instance, is_healthy=all(works), reason="one of them failed")


class WaitsForever(Asks):
    async def works(self, instance):
        try:
            return await self.ask(instance)
        except (OSError, EOFError):
            return False


class SpeaksOfStrangers(Asks):
    async def check(self, directory, instance):
        self.met.append(instance)
        for each in self.met:
            directory.mark(each, is_healthy=await self.works(each), reason="it was asked")


class HoldsInstances(Asks):
    async def check(self, directory, instance):
        self.met.append(instance)
        await super().check(directory, instance)


class GivesUp(Asks):
    async def monitor(self, directory):
        while directory.services():
            await self.round(directory)
            await asyncio.sleep(0.005)


class LeavesTasks(Asks):
    async def round(self, directory):
        self.met.append(asyncio.ensure_future(asyncio.sleep(100)))
        await super().round(directory)


class Blocks(Asks):
    async def round(self, directory):
        time.sleep(0.15)
        await super().round(directory)


class NeverEnds(Asks):
    async def monitor(self, directory):
        try:
            await super().monitor(directory)
        except asyncio.CancelledError:
            await asyncio.sleep(2)


@pytest.mark.parametrize(
    ("checker", "check", "said"),
    [
        (MarksNobody, "test_what_does_not_work_is_taken_out_and_taken_back", "was not marked"),
        (NeverTakesBack, "test_what_does_not_work_is_taken_out_and_taken_back", "was not unmarked"),
        (MarksAll, "test_what_does_not_work_is_taken_out_and_taken_back", "taken out with another one"),
        (WaitsForever, "test_what_never_answers_is_taken_out_and_delays_nobody", "never answers was not marked"),
        (SpeaksOfStrangers, "test_it_speaks_only_of_instances_that_are_known", "not known any more"),
        (HoldsInstances, "test_those_that_are_gone_are_forgotten", "do not hold them"),
        (GivesUp, "test_it_lives_without_services", "did not look"),
        (LeavesTasks, "test_it_ends_when_it_is_cancelled", "left behind: task"),
        (NeverEnds, "test_it_ends_when_it_is_cancelled", "did not end within"),
        (Blocks, "test_it_does_not_block", "blocked the event loop"),
    ],
)
def test_it_is_caught(checker, check, said, monkeypatch):
    patience = {"health.PATIENCE_S": 0.4, "leaks.SETTLE_S": 0.02}
    assert re.search(said, told_in_the_end(said, lambda: breach(AskContract, checker, check), patience, monkeypatch))
