"""The contract of discovery providers: one that keeps it, and those that do not."""

# ruff: noqa: BLE001, S112 - what is done badly here is done so on purpose

import asyncio
import contextlib
import re
import time

import pytest
from core.tests.testing.broken.harness import breach, told_in_the_end

from gateway import DiscoveryRegistration, Endpoint
from gateway.testing import DiscoveryContract


class Source:
    """Something that knows which instances there are, and may fail."""

    def __init__(self):
        self.ports = {"orders": [1, 2], "users": [3]}
        self.is_failing = False

    async def ask(self):
        await asyncio.sleep(0.001)
        if self.is_failing:
            raise ConnectionError("the source is gone")
        return {name: list(ports) for name, ports in self.ports.items()}


class Lists:
    """Asks again and again."""

    source: Source

    def __init__(self, config, context):
        self.last: object = None

    async def watch(self, publish):
        while True:
            found = await self.source.ask()
            if found != self.last:
                self.last = found
                self.tell(publish, found)
            await asyncio.sleep(0.005)

    def tell(self, publish, found):
        publish({name: [self.endpoint(port) for port in ports] for name, ports in found.items()})

    def endpoint(self, port):
        return Endpoint(address="10.0.0.1", port=port)


def build(config, context):
    return Lists(config, context)


class ListContract(DiscoveryContract):
    plugin = DiscoveryRegistration(name="lists", summary="Asks again and again", build=build)

    def __init__(self):
        Lists.source = self.source = Source()

    def services(self):
        return {"orders", "users"}

    async def change(self):
        self.source.ports["orders"] = [2]
        return True

    async def fail(self):
        self.source.is_failing = True
        return True

    async def mend(self):
        self.source.is_failing = False


class PytestListContract(ListContract):
    """As above, for pytest, which makes no instances of classes that say how."""

    __init__ = object.__init__

    @pytest.fixture(autouse=True)
    def _source(self):
        Lists.source = self.source = Source()


class TestLists(PytestListContract):
    """The reference."""


class PublishesOneByOne(Lists):
    def tell(self, publish, found):
        for name, ports in found.items():
            publish({name: [self.endpoint(port) for port in ports]})


class PublishesChangesOnly(Lists):
    known: dict = {}  # noqa: RUF012 - replaced, not changed

    def tell(self, publish, found):
        super().tell(publish, {name: ports for name, ports in found.items() if self.known.get(name) != ports})
        self.known = found


class PublishesTwice(Lists):
    def tell(self, publish, found):
        super().tell(publish, {name: ports * 2 for name, ports in found.items()})


class PublishesNonsense(Lists):
    def endpoint(self, port):
        return Endpoint(address="", port=port)


class ChangesSnapshots(Lists):
    snapshot: dict = {}  # noqa: RUF012 - as above

    def tell(self, publish, found):
        if not self.snapshot:
            self.snapshot = {}
        self.snapshot.update({name: [self.endpoint(port) for port in ports] for name, ports in found.items()})
        publish(self.snapshot)


class LosesEverything(Lists):
    async def watch(self, publish):
        try:
            await super().watch(publish)
        except ConnectionError:
            publish({})
            raise


class NeverEnds(Lists):
    async def watch(self, publish):
        while True:
            try:
                await super().watch(publish)
            except BaseException:
                continue


class EndsWithAnother(Lists):
    async def watch(self, publish):
        with contextlib.suppress(asyncio.CancelledError):
            await super().watch(publish)
        raise RuntimeError("cancelled")


class LeavesATask(Lists):
    async def watch(self, publish):
        self.task = asyncio.ensure_future(asyncio.sleep(100))
        await super().watch(publish)


class Blocks(Lists):
    def tell(self, publish, found):
        time.sleep(0.15)
        super().tell(publish, found)


class NeverPublishes(Lists):
    def tell(self, publish, found):
        pass


@pytest.mark.parametrize(
    ("provider", "check", "said"),
    [
        (NeverPublishes, "test_it_publishes_everything_at_once", "nothing new was published"),
        (PublishesOneByOne, "test_it_publishes_everything_at_once", r"is of \['users'\], not of"),
        (PublishesTwice, "test_what_it_publishes_makes_sense", "published twice"),
        (PublishesNonsense, "test_what_it_publishes_makes_sense", "cannot be reached"),
        (PublishesChangesOnly, "test_changes_are_whole_snapshots", "publish all of them each time|nothing new"),
        (ChangesSnapshots, "test_changes_are_whole_snapshots", "was changed after it was published"),
        (EndsWithAnother, "test_it_ends_when_it_is_cancelled", "let CancelledError pass"),
        (LosesEverything, "test_it_does_not_lose_what_it_knew_when_the_source_fails", "the source failed, and"),
        (LeavesATask, "test_two_can_watch", "left behind: task"),
        (Blocks, "test_it_does_not_block", "blocked the event loop"),
    ],
)
def test_it_is_caught(provider, check, said, monkeypatch):
    patience = {"watching.PATIENCE_S": 0.3, "leaks.SETTLE_S": 0.05}
    assert re.search(said, told_in_the_end(said, lambda: breach(ListContract, provider, check), patience, monkeypatch))
