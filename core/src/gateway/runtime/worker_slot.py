"""The place of one worker: its process, the way to it, and what it listens on."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.metrics import FamilySnapshot
    from gateway.runtime.channel import Channel
    from gateway.runtime.listeners import Address
    from gateway.runtime.supervision import WorkReport

__all__ = ["WorkerSlot"]

logger = logging.getLogger("gateway.runtime")

KILL_AFTER_S = 5.0
"""How much longer than it should a worker may take to end."""


class WorkerSlot:
    """The place of one worker. Its listening sockets outlive it: what the kernel keeps for it is served by the next.

    Args:
        number: Its number, from 1.

    Attributes:
        number: As given.
        sockets: What it listens on, by the address as the configuration has it.
        wanted: The addresses that it serves.
        process: Its process, until that one is mourned.
        channel: The way to it; ``None`` while nobody would answer.
        delay_s: How long its next replacement waits.
        started_s: Monotonic time at which its process was started.
        restarts: How many processes have taken the place of another one.
        is_new: Whether it has not served yet, and so knows of no service.
        is_being_replaced: Whether somebody sees to it that there is another one.
        work: How its background work is doing.
        metrics: What it measured when it was last asked.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.sockets: dict[Address, socket.socket] = {}
        self.wanted: set[Address] = set()
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: Channel | None = None
        self.delay_s = 0.0
        self.started_s = 0.0
        self.restarts = 0
        self.is_new = False
        self.is_being_replaced = False
        self.work: Sequence[WorkReport] = ()
        self.metrics: Sequence[FamilySnapshot] = ()

    def close_sockets(self, *, but: set[Address] | frozenset[Address] = frozenset()) -> None:
        """Close the listening sockets that nobody serves any more."""
        for address in self.sockets.keys() - but:
            self.sockets.pop(address).close()

    def bound(self) -> list[Address]:
        """Return the addresses it listens on, with the ports that the system chose."""
        return [listening.getsockname()[:2] for listening in self.sockets.values()]

    def spawn(self) -> socket.socket:
        """Start a process, and return this side's end of the way to it.

        Raises:
            OSError: If the system starts no more processes.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                self.process = subprocess.Popen(  # noqa: S603 - this interpreter and this module
                    [sys.executable, "-m", "gateway.runtime.worker", str(theirs.fileno()), str(self.number)],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    # The terminal's Ctrl-C is for the control plane, which then drains the workers.
                    start_new_session=True,
                )
            except OSError:
                ours.close()
                raise
        self.started_s = time.monotonic()
        self.is_new = True
        self.work = ()
        return ours

    async def end(self, timeout_s: float) -> None:
        """Wait until its process ended, and kill it some time after ``timeout_s``."""
        if self.process is not None:
            await _ended(self.process, time.monotonic() + timeout_s + KILL_AFTER_S)

    async def bury(self) -> None:
        """Wait for the end of a process whose channel is closed, and say how it came to it."""
        process, self.process = self.process, None
        if process is not None:
            await _ended(process, time.monotonic() + KILL_AFTER_S)
            logger.error("worker %d (pid %d) died (%s)", self.number, process.pid, _exit_of(process))


async def _ended(process: subprocess.Popen[bytes], deadline_s: float) -> None:
    """Wait until ``process`` ended; at the deadline it is killed."""
    while process.poll() is None and time.monotonic() < deadline_s:  # noqa: ASYNC110 - a process sets no event
        await asyncio.sleep(0.02)
    if process.poll() is None:
        logger.warning("worker with pid %d does not stop and is killed", process.pid)
        process.kill()
        await asyncio.to_thread(process.wait)


def _exit_of(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
