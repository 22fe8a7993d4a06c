"""What a component must have given back when it is gone: tasks, threads, sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gateway.testing.contracts.expectation import expect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["nothing_left"]

SETTLE_S = 1.0
"""How long what was cancelled or closed may take to be gone."""

_POOLED = ("asyncio_", "uvloop_", "AnyIO worker thread", "gateway testing")
"""Threads that are kept for the next call, whoever made the first."""


@contextlib.asynccontextmanager
async def nothing_left(by: str) -> AsyncIterator[None]:
    """Fail if there are more tasks, threads or sockets at the end than at the beginning.

    Args:
        by: Whose they would be, for the message.
    """
    for _ in range(3):  # background work begins a turn or two after its component is entered
        await asyncio.sleep(0)
    before = _Held.now()
    yield
    deadline_s = asyncio.get_running_loop().time() + SETTLE_S
    while (left := _Held.now().beyond(before)) and asyncio.get_running_loop().time() < deadline_s:  # noqa: ASYNC110 - what it waits for has no event
        await asyncio.sleep(0.002)
    expect(not left, f"{by} left behind: {'; '.join(left)}")


@dataclass(frozen=True)
class _Held:
    tasks: frozenset[asyncio.Task[object]]
    threads: frozenset[threading.Thread]
    sockets: frozenset[int]

    @classmethod
    def now(cls) -> Self:
        threads = {thread for thread in threading.enumerate() if not thread.name.startswith(_POOLED)}
        return cls(frozenset(asyncio.all_tasks()), frozenset(threads), frozenset(_sockets()))

    def beyond(self, before: Self) -> list[str]:
        """Return what there is more than before."""
        tasks = [f"task {task.get_name()} ({task.get_coro()})" for task in self.tasks - before.tasks]
        threads = [f"thread {thread.name}" for thread in self.threads - before.threads]
        sockets = [f"socket {number}" for number in self.sockets - before.sockets]
        return [*tasks, *threads, *sockets]


def _sockets() -> list[int]:
    """Return the inodes of the sockets that are open in this process; none where the system does not say."""
    found = []
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/dev/fd"):
            with contextlib.suppress(OSError):
                status = os.fstat(int(name))
                if stat.S_ISSOCK(status.st_mode):
                    found.append(status.st_ino)
    return found
