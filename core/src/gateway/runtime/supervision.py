"""Background work under supervision: nothing is fire-and-forget, and one crash cancels nobody else."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import Outage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

__all__ = ["Supervisor", "WorkReport"]

logger = logging.getLogger("gateway.supervision")

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
STOP_TIMEOUT_S = 5.0
"""How long work may take to end when it is cancelled."""


@dataclass(slots=True)
class WorkReport:
    """How a piece of background work is doing, for ``/_gateway/status``.

    Attributes:
        name: What it is.
        is_restarting: Whether it crashed and waits for its next start.
        restarts: How often it crashed.
        last_error: The last crash, in one line; empty if there was none.
    """

    name: str
    is_restarting: bool = False
    restarts: int = 0
    last_error: str = ""


class Supervisor:
    """Runs background work until it returns, restarting it after a growing delay when it crashes.

    Args:
        changed: Called when there is more or less work, or it is doing otherwise than before.
        sleep: Waits some seconds; tests pass their own.
        clock: Monotonic seconds; tests pass a manual one.
    """

    def __init__(
        self,
        changed: Callable[[], None] = lambda: None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._changed = changed
        self._sleep = sleep
        self._clock = clock
        self._tasks: dict[asyncio.Task[None], WorkReport] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run ``work`` from now on; cancel the returned task to end it."""
        report = WorkReport(name)
        task = asyncio.get_running_loop().create_task(self._run(report, work), name=f"gateway {name}")
        self._tasks[task] = report
        task.add_done_callback(self._ended)
        self._changed()
        return task

    def reports(self) -> list[WorkReport]:
        """Return how all work is doing, by name."""
        return sorted(self._tasks.values(), key=lambda report: report.name)

    async def stop(self) -> None:
        """Cancel all work and wait for it, but not for long."""
        await end_tasks(self._tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._changed()

    async def _run(self, report: WorkReport, work: Callable[[], Awaitable[None]]) -> None:
        clock = self._clock or asyncio.get_running_loop().time
        delay_s = FIRST_DELAY_S
        while True:
            started_s = clock()
            crash = await _crash(work, report.name)
            if crash is None:
                return
            if clock() - started_s > LONGEST_DELAY_S:
                delay_s = FIRST_DELAY_S
            report.is_restarting = True
            report.restarts += 1
            report.last_error = f"{type(crash).__name__}: {crash}"
            _log(report, delay_s, crash)
            del crash  # its frames, and what they hold, are not needed while the work runs again
            self._changed()
            await self._sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)
            report.is_restarting = False
            self._changed()


def _log(report: WorkReport, delay_s: float, crash: BaseException) -> None:
    """Say what happened: an outage in one line, for its frames say nothing; anything else is a bug, with its frames."""
    if isinstance(crash, Outage | OSError):
        reason = str(crash) or type(crash).__name__
        logger.warning("%s: %s; it is tried again in %.1f s", report.name, reason, delay_s)
    else:
        logger.error("%s crashed and is restarted in %.1f s", report.name, delay_s, exc_info=crash)


async def end_tasks(tasks: Iterable[asyncio.Task[None]], timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Cancel tasks and wait until they have ended, but not longer than ``timeout_s``."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    _, stubborn = await asyncio.wait(tasks, timeout=timeout_s)
    for task in stubborn:
        logger.warning("%s does not end although it was cancelled", task.get_name())


async def _crash(work: Callable[[], Awaitable[None]], name: str) -> BaseException | None:
    """Do some work; returns what it crashed with, a cancellation that nobody asked for included.

    In a task of its own: so a cancellation from outside is known as one. ``Task.cancelling`` does not tell, for task
    groups of anyio take back more than they asked for (4.16), and the work would begin again instead of ending.
    """

    async def run() -> None:
        await work()

    task = asyncio.get_running_loop().create_task(run(), name=f"gateway {name}")
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await _ended_by_force(task)
        raise
    return asyncio.CancelledError() if task.cancelled() else task.exception()


async def _ended_by_force(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("%s failed while it was ended", task.get_name(), exc_info=error)
