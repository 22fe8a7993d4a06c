"""Background work under supervision: nothing is fire-and-forget, and one crash cancels nobody else."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Supervisor", "WorkReport"]

logger = logging.getLogger("gateway.supervision")

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0


@dataclass(slots=True)
class WorkReport:
    """How a piece of background work is doing, for ``/_gateway/health``.

    Attributes:
        name: What it is.
        state: ``running``, ``restarting`` or ``done``.
        restarts: How often it crashed.
        last_error: The last crash, in one line; empty if there was none.
    """

    name: str
    state: str = "running"
    restarts: int = 0
    last_error: str = ""


class Supervisor:
    """Runs background work until it returns, restarting it after a growing delay when it crashes.

    Args:
        sleep: Waits some seconds; tests pass their own.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._tasks: dict[asyncio.Task[None], WorkReport] = {}

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run ``work`` from now on; cancel the returned task to end it."""
        report = WorkReport(name)
        task = asyncio.get_running_loop().create_task(self._run(report, work), name=f"gateway {name}")
        self._tasks[task] = report
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    def reports(self) -> list[WorkReport]:
        """Return how all work is doing, by name."""
        return sorted(self._tasks.values(), key=lambda report: report.name)

    async def stop(self) -> None:
        """Cancel all work and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LONGEST_DELAY_S)

    async def _run(self, report: WorkReport, work: Callable[[], Awaitable[None]]) -> None:
        delay_s = FIRST_DELAY_S
        while True:
            started_s = asyncio.get_running_loop().time()
            try:
                await work()
            except Exception as error:
                if asyncio.get_running_loop().time() - started_s > LONGEST_DELAY_S:
                    delay_s = FIRST_DELAY_S
                report.state = "restarting"
                report.restarts += 1
                report.last_error = f"{type(error).__name__}: {error}"
                logger.exception("%s crashed and is restarted in %.1f s", report.name, delay_s)
                await self._sleep(delay_s)
                delay_s = min(2 * delay_s, LONGEST_DELAY_S)
                report.state = "running"
            else:
                report.state = "done"
                return
