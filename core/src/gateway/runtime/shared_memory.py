"""Memory that all workers see: what must hold for the gateway as a whole, such as a limit.

The control plane makes it and hands it out as a file descriptor; it lasts until the gateway ends, whoever dies. A lock
is one of the kernel's own on a byte of the file (POSIX record locks), which ends with the process that holds it.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

__all__ = ["MAX_MEMORIES", "Lock", "MemoryStore", "SharedMemory", "own_memory"]

MAX_MEMORIES = 256
"""How many the gateway keeps; of a plugin that asks for another size at every reload the oldest ones go."""
LOCK_TIMEOUT_S = 0.1
"""Whoever holds a lock computes, and never waits; so long it takes only a process that was stopped."""
_SPIN = 50


class SharedMemory:
    """Implements ``gateway.interfaces.SharedMemory``.

    Args:
        descriptor: The file; the memory closes it.
        size_bytes: How much of it to map.
        is_alone: Whether no other process has it, so that its locks are nothing but a thing to hold.
    """

    def __init__(self, descriptor: int, size_bytes: int, *, is_alone: bool = False) -> None:
        self._descriptor = descriptor
        self.is_alone = is_alone
        try:
            self.buffer = mmap.mmap(descriptor, size_bytes)
        except BaseException:
            os.close(descriptor)
            raise

    def lock(self, number: int = 0) -> AbstractContextManager[object]:
        """Return the lock with this number, to be held ``with`` it while no other process does."""
        return _NO_LOCK if self.is_alone else Lock(self._descriptor, number)

    def close(self) -> None:
        """Give it up; other processes keep it."""
        if self._descriptor >= 0:
            self.buffer.close()
            os.close(self._descriptor)
            self._descriptor = -1


_NO_LOCK: AbstractContextManager[object] = threading.RLock()
"""A lock where nobody else is: two calls of the kernel less. It is in C, and one that is held may be taken again."""


class Lock:
    """A lock that excludes other processes, not other code of this one; held for microseconds, without ``await``."""

    __slots__ = ("_descriptor", "_number")

    def __init__(self, descriptor: int, number: int) -> None:
        self._descriptor = descriptor
        self._number = number

    def __enter__(self) -> None:
        """Take it.

        Raises:
            TimeoutError: If another process keeps it for longer than ``LOCK_TIMEOUT_S``.
        """
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._number)
        except OSError as error:
            self._insist(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give it back."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, self._number)

    def _insist(self, error: OSError) -> None:
        deadline_s = time.monotonic() + LOCK_TIMEOUT_S
        tries = 0
        while error.errno in (errno.EAGAIN, errno.EACCES):
            if time.monotonic() > deadline_s:
                msg = "another process of the gateway keeps a lock; is it stopped?"
                raise TimeoutError(msg) from error
            tries += 1
            # The holder may need this very core.
            time.sleep(0 if tries < _SPIN else 0.0005)
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._number)
            except OSError as again:
                error = again
            else:
                return
        raise error


class MemoryStore:
    """The memories of a gateway, by what they are for; kept until the gateway ends."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str, int], IO[bytes]] = {}

    def file(self, plugin: str, key: str, size_bytes: int) -> IO[bytes]:
        """Return the file of a memory, made now if it is new."""
        name = (plugin, key, size_bytes)
        file = self._files.pop(name, None) or _make_memory(size_bytes)
        # The one asked for last is the last to go.
        self._files[name] = file
        if len(self._files) > MAX_MEMORIES:
            self._files.pop(next(iter(self._files))).close()
        return file

    def close(self) -> None:
        """Give them up; processes that mapped them keep them."""
        while self._files:
            self._files.popitem()[1].close()


async def own_memory(plugin: str, key: str, size_bytes: int) -> SharedMemory:
    """Return memory that is nobody else's."""
    with _make_memory(size_bytes) as file:
        return SharedMemory(os.dup(file.fileno()), size_bytes, is_alone=True)


def _make_memory(size_bytes: int) -> IO[bytes]:
    """Return a file of zeros that has no name."""
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = os.fdopen(os.memfd_create("gateway", os.MFD_CLOEXEC), "r+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the caller closes it
    file.truncate(size_bytes)
    return file
