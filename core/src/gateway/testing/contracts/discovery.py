"""What a discovery provider promises."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.interfaces import Endpoint
from gateway.registrations import DiscoveryRegistration, Registration
from gateway.testing.contracts.cancelling import MAX_POINTS, Stepped
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.expectation import PATIENCE_S, expect
from gateway.testing.contracts.standstill import expect_a_running_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from gateway.interfaces import DiscoveryProvider
    from gateway.testing.workbench import Workbench

    Snapshot = Mapping[str, Sequence[Endpoint]]

__all__ = ["DiscoveryContract"]

MAX_PORT = 65535
_QUIET_S = 0.2


class DiscoveryContract(ComponentContract):
    """Extend it, name it ``Test...``, and say what there is to find, and how that changes.

    ``config`` must lead to services; ``change``, ``fail`` and ``mend`` are for sources that can.
    """

    kind: ClassVar[type[Registration]] = DiscoveryRegistration

    # To be overridden.

    def services(self) -> set[str]:
        """Return the names of all services that are to be found at first, at least one."""
        raise NotImplementedError("say which services there are: override services")

    async def change(self) -> bool:
        """Change which instances one of the services has, and return ``True``; ``False`` if nothing can change."""
        return False

    async def fail(self) -> bool:
        """Let the source fail, so that those who follow it notice, and return ``True``; ``False`` if it cannot."""
        return False

    async def mend(self) -> None:
        """Let the source work again."""

    # What is promised.

    async def test_it_publishes_everything_at_once(self) -> None:
        """The first snapshot has all services: what it lacks has no instances."""
        async with self._watched() as watched:
            found = await watched.next()
            expect(
                set(found) == self.services(),
                f"the first snapshot is of {sorted(found)}, not of {sorted(self.services())}",
            )
            expect(any(found.values()), "no service has an instance")

    async def test_what_it_publishes_makes_sense(self) -> None:
        """Endpoints with an address, a port and a weight; none of them twice."""
        async with self._watched() as watched:
            for service, endpoints in (await watched.next()).items():
                for each in endpoints:
                    expect(isinstance(each, Endpoint), f"{service}: {each!r} is no Endpoint")
                    is_right = each.address and each.scheme and 1 <= each.port <= MAX_PORT and each.weight >= 0
                    expect(is_right, f"{service}: {each!r} cannot be reached")
                places = [(each.scheme, each.address, each.port) for each in endpoints]
                expect(len(places) == len(set(places)), f"{service}: an instance is published twice: {places}")

    async def test_changes_are_whole_snapshots(self) -> None:
        """Services that did not change are in them, too; earlier snapshots stay as they were."""
        async with self._watched() as watched:
            first = await watched.next()
            noted = {service: list(endpoints) for service, endpoints in first.items()}
            if not await self.change():
                return
            second = await watched.until(lambda found: _listed(found) != noted)
            expect(
                {service: list(endpoints) for service, endpoints in first.items()} == noted,
                "a snapshot was changed after it was published",
            )
            expect(second is not first, "the same snapshot was published again, changed; make a new one")
            lost = self.services() - set(second)
            expect(not lost, f"one service changed, and {sorted(lost)} are gone: publish all of them each time")

    async def test_it_ends_when_it_is_cancelled(self) -> None:
        """At any moment: before the first snapshot, after it, on the way. It can be started again."""
        async with self.bench() as bench:
            for point in range(1, MAX_POINTS + 1):
                provider = await bench.build(self.registration, self.config())
                stepped = Stepped(provider.watch(lambda snapshot: None), point)
                task = asyncio.get_running_loop().create_task(stepped.run(), name="watch, to be cancelled")
                await asyncio.wait([task], timeout=_QUIET_S)
                was_quiet = not stepped.is_cancelled
                task.cancel()
                done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
                expect(done, f"watch did not end within {PATIENCE_S:g} s although it was cancelled")
                ended_well = task.cancelled() or (was_quiet and task.exception() is None)
                expect(ended_well, f"watch was cancelled and went on: {task}; let CancelledError pass")
                await bench.clear()
                if was_quiet:
                    break
            async with self._watching(bench) as watched:
                await watched.next()

    async def test_it_does_not_lose_what_it_knew_when_the_source_fails(self) -> None:
        """It may raise, and is started again, or try again itself; what it published stays in force meanwhile."""
        async with self._watched() as watched:
            known = _listed(await watched.next())
            if not await self.fail():
                return
            await asyncio.sleep(_QUIET_S)
            expect(_listed(watched.latest) == known, f"the source failed, and {known} became {_listed(watched.latest)}")
            await self.mend()
            if await self.change():
                await watched.until(lambda found: _listed(found) != known)

    async def test_it_does_not_block(self) -> None:
        """It runs beside the admin API and the health checks."""

        async def work() -> None:
            async with self._watched() as watched:
                await watched.next()

        await expect_a_running_loop(work, "watch")

    async def test_two_can_watch(self) -> None:
        """A reload starts the next one before it ends the last one."""
        async with self.bench() as bench, self._watching(bench) as one:
            await one.next()
            async with self._watching(bench) as other:
                expect(
                    _listed(await other.next()) == _listed(one.latest), "two that watch the same find different things"
                )

    # Underneath.

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[_Watched]:
        async with self.bench() as bench, self._watching(bench) as watched:
            yield watched

    @contextlib.asynccontextmanager
    async def _watching(self, bench: Workbench) -> AsyncIterator[_Watched]:
        """Run the provider as a gateway does: started again when it crashes, cancelled in the end."""
        provider: DiscoveryProvider = await bench.build(self.registration, self.config())
        watched = _Watched()
        task = bench.supervisor.start("watch", lambda: provider.watch(watched.publish))
        try:
            yield watched
        finally:
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
            expect(done, f"watch did not end within {PATIENCE_S:g} s although it was cancelled")


class _Watched:
    """What a provider published."""

    def __init__(self) -> None:
        self.latest: Snapshot = {}
        self._count = 0
        self._seen = 0

    def publish(self, snapshot: Snapshot) -> None:
        self.latest = snapshot
        self._count += 1

    async def next(self) -> Snapshot:
        """Return the first snapshot that nobody has looked at."""
        seen = self._seen
        return await self.until(lambda found: self._count > seen)

    async def until(self, is_so: Callable[[Snapshot], Any]) -> Snapshot:
        """Return the latest snapshot as soon as something is so."""
        deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
        while not is_so(self.latest):
            in_time = asyncio.get_running_loop().time() < deadline_s
            expect(in_time, f"nothing new was published within {PATIENCE_S:g} s; the latest is {_listed(self.latest)}")
            await asyncio.sleep(0.002)
        self._seen = self._count
        return self.latest


def _listed(snapshot: Snapshot) -> dict[str, list[Endpoint]]:
    return {service: list(endpoints) for service, endpoints in snapshot.items()}
