"""What a component must have given back when it is gone: tasks, threads, sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from gateway.testing.contracts.expectation import expect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["expect_nothing_left", "nothing_left"]

SETTLE_S = 1.0
"""How long what was cancelled or closed may take to be gone."""

_POOLED = ("asyncio_", "uvloop_", "AnyIO worker thread", "gateway testing")
"""Threads that are kept for the next call, whoever made the first."""


@contextlib.asynccontextmanager
async def nothing_left(by: str, *, may_replace: bool = False) -> AsyncIterator[None]:
    """Fail if there are tasks, threads or sockets at the end that were not there at the beginning.

    Args:
        by: Whose they would be, for the message.
        may_replace: Whether others may be there in place of those that are gone, as in a pool of connections.
    """
    for _ in range(3):  # background work begins a turn or two after its component is entered
        await asyncio.sleep(0)
    before = _Held.now()
    yield
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + SETTLE_S
    left = _Held.now().beyond(before, may_replace=may_replace)
    while left and loop.time() < deadline_s:
        await asyncio.sleep(0.002)
        left = _Held.now().beyond(before, may_replace=may_replace)
    expect(not left, f"{by} left behind: {'; '.join(left)}")


@contextlib.contextmanager
def expect_nothing_left(by: str) -> Iterator[None]:
    """Fail if there are more threads or sockets at the end than at the beginning; where no event loop runs.

    Args:
        by: Whose they would be, for the message.
    """
    before = _Held.now()
    yield
    deadline_s = time.monotonic() + SETTLE_S
    while (left := _Held.now().beyond(before)) and time.monotonic() < deadline_s:
        time.sleep(0.002)
    expect(not left, f"{by} left behind: {'; '.join(left)}")


@dataclass(frozen=True)
class _Held:
    tasks: frozenset[asyncio.Task[object]]
    threads: frozenset[threading.Thread]
    sockets: frozenset[int]

    @classmethod
    def now(cls) -> Self:
        threads = {thread for thread in threading.enumerate() if not thread.name.startswith(_POOLED)}
        return cls(frozenset(_tasks()), frozenset(threads), frozenset(_sockets()))

    def beyond(self, before: Self, *, may_replace: bool = False) -> list[str]:
        """Return what there is more than before."""
        left = []
        for kind, now, then in (
            ("task", self.tasks, before.tasks),
            ("thread", self.threads, before.threads),
            ("socket", self.sockets, before.sockets),
        ):
            if not may_replace or len(now) > len(then):
                left += [f"{kind} {_shown(each)}" for each in now - then]
        return left


def _shown(held: object) -> object:
    if isinstance(held, asyncio.Task):
        return f"{held.get_name()} ({held.get_coro()})"
    return held.name if isinstance(held, threading.Thread) else held


def _tasks() -> set[asyncio.Task[object]]:
    """Return the tasks of the event loop that runs; none if none does."""
    try:
        return asyncio.all_tasks()
    except RuntimeError:
        return set()


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
