"""One change of a folder at a time, whoever makes it: endpoints, and gateways that have the folder in common."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from io import BufferedWriter
    from pathlib import Path

__all__ = ["turn"]

NAME = ".lock"
PATIENCE_S = 45.0
"""Shorter than a worker waits for the control plane, a minute: who waits in vain is told so. Files take milliseconds,
but a change has all sources asked again, up to twice, which may take longer than anybody waits."""
LOOK_S = 0.05


@contextlib.asynccontextmanager
async def turn(folder: Path, patience_s: float = PATIENCE_S) -> AsyncIterator[None]:
    """Wait until nobody else changes a folder, which is made if there is none.

    Whoever changes it holds the lock of a file in it, which ends with its process. The file stays: who opened it before
    it went would hold another lock than who made it anew.

    Args:
        folder: The folder.
        patience_s: How long to wait.

    Raises:
        GatewayError: ``unavailable`` if it takes too long.
        OSError: If the folder cannot be written.
    """
    with await asyncio.to_thread(_opened, folder) as file:
        try:
            async with asyncio.timeout(patience_s):
                while not _is_locked(file):  # noqa: ASYNC110 - another process may hold it
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as error:
            message = "descriptors are being changed by others; try again later"
            raise GatewayError(ErrorType.UNAVAILABLE, message) from error
        yield


def _opened(folder: Path) -> BufferedWriter:
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / NAME).open("wb")


def _is_locked(file: BufferedWriter) -> bool:
    """Lock a file until it is closed, unless it is locked already; returns whether it did."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
