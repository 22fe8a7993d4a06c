"""What everything promises that watches a source and publishes what it finds: discovery providers and route sources."""

from __future__ import annotations

import asyncio
import contextlib
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gateway.testing.contracts.cancelling import MAX_POINTS, Stepped
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.expectation import PATIENCE_S, expect
from gateway.testing.contracts.standstill import expect_a_running_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from gateway.testing.workbench import Workbench

__all__ = ["Watched", "WatchingContract", "supervised"]

P = TypeVar("P")
"""What is published."""

_QUIET_S = 0.2


class Watched(Generic[P]):
    """What was published.

    Args:
        nothing: What counts as published before anything was.
        listed: Returns it in a form that can be compared, and that nobody changes.

    Attributes:
        latest: What was published last.
    """

    def __init__(self, nothing: P, listed: Callable[[P], Any]) -> None:
        self.latest = nothing
        self._listed = listed
        self._count = 0
        self._seen = 0

    def publish(self, published: P) -> None:
        """Take what is published."""
        self.latest = published
        self._count += 1

    async def next(self) -> P:
        """Return the first that nobody has looked at."""
        seen = self._seen
        return await self.until(lambda found: self._count > seen)

    async def until(self, is_so: Callable[[P], Any]) -> P:
        """Return the latest as soon as something is so."""
        deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
        while not is_so(self.latest):
            in_time = asyncio.get_running_loop().time() < deadline_s
            latest = self._listed(self.latest)
            expect(in_time, f"nothing new was published within {PATIENCE_S:g} s; the latest is {latest}")
            await asyncio.sleep(0.002)
        self._seen = self._count
        return self.latest


class WatchingContract(ComponentContract, Generic[P]):
    """The base of both contracts. Extend one of these."""

    # To be overridden by tests of plugins.

    async def change(self) -> bool:
        """Change what there is to find, and return ``True``; ``False`` if nothing can change."""
        return False

    async def fail(self) -> bool:
        """Let the source fail, so that those who follow it notice, and return ``True``; ``False`` if it cannot."""
        return False

    async def mend(self) -> None:
        """Let the source work again."""

    # To be overridden by contracts.

    @abstractmethod
    def nothing(self) -> P:
        """Return what counts as published before anything was."""

    @abstractmethod
    def listed(self, published: P) -> Any:  # noqa: ANN401 - whatever can be compared
        """Return what was published in a form that can be compared, and that nobody changes."""

    @abstractmethod
    def watcher(
        self, bench: Workbench
    ) -> AbstractAsyncContextManager[Callable[[Callable[[P], None]], Awaitable[None]]]:
        """Build what watches, and give its ``watch``."""

    # What is promised.

    async def test_it_ends_when_it_is_cancelled(self) -> None:
        """At any moment: before it published, after it, on the way. It can be started again."""
        async with self.bench() as bench:
            for point in range(1, MAX_POINTS + 1):
                if not await self._cancelled_at(point, bench):
                    break
            async with self._watching(bench) as watched:
                await watched.next()

    async def test_it_does_not_lose_what_it_knew_when_the_source_fails(self) -> None:
        """It may raise, and is started again, or try again itself; what it published stays in force meanwhile."""
        async with self._watched() as watched:
            known = self.listed(await watched.next())
            if not await self.fail():
                return
            await asyncio.sleep(_QUIET_S)
            latest = self.listed(watched.latest)
            expect(latest == known, f"the source failed, and {known} became {latest}")
            await self.mend()
            if await self.change():
                await watched.until(lambda found: self.listed(found) != known)

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
                found = self.listed(await other.next())
                expect(found == self.listed(one.latest), "two that watch the same find different things")

    # Underneath.

    @contextlib.asynccontextmanager
    async def _watched(self) -> AsyncIterator[Watched[P]]:
        async with self.bench() as bench, self._watching(bench) as watched:
            yield watched

    @contextlib.asynccontextmanager
    async def _watching(self, bench: Workbench) -> AsyncIterator[Watched[P]]:
        """Run it as a gateway does: started again when it crashes, cancelled in the end."""
        async with self.watcher(bench) as watch:
            watched = Watched(self.nothing(), self.listed)
            async with supervised(bench, lambda: watch(watched.publish)):
                yield watched

    async def _cancelled_at(self, point: int, bench: Workbench) -> bool:
        """Cancel it at an await, and return whether it got there."""
        async with self.watcher(bench) as watch:
            stepped = Stepped(_begun(watch), point)
            task = asyncio.get_running_loop().create_task(stepped.run(), name="watch, to be cancelled")
            await asyncio.wait([task], timeout=_QUIET_S)
            was_quiet = not stepped.is_cancelled
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
            expect(done, f"watch did not end within {PATIENCE_S:g} s although it was cancelled")
            ended_well = task.cancelled() or (was_quiet and task.exception() is None)
            expect(ended_well, f"watch was cancelled and went on: {task}; let CancelledError pass")
        await bench.clear()
        return not was_quiet


@contextlib.asynccontextmanager
async def supervised(bench: Workbench, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run work as a gateway does: started again when it crashes, cancelled in the end."""
    task = bench.supervisor.start("watch", work)
    try:
        yield
    finally:
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
        expect(done, f"watch did not end within {PATIENCE_S:g} s although it was cancelled")


async def _begun(watch: Callable[[Callable[[Any], None]], Awaitable[None]]) -> None:
    await watch(lambda published: None)
