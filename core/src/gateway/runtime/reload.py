"""When to reload: the file changed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

__all__ = ["watch_files"]

logger = logging.getLogger("gateway.runtime")

POLL_INTERVAL_S = 0.5
"""Polling needs no native watcher and sees what editors, ConfigMaps and bind mounts do alike: they replace files."""

_Fingerprint = tuple[tuple[int, int, int] | None, ...]


async def watch_files(files: Callable[[], Sequence[Path]], reload: Callable[[], Awaitable[None]]) -> None:
    """Call ``reload`` whenever one of the files changed and then rested for half a second; runs until cancelled.

    Args:
        files: Returns the files to watch.
        reload: Reloads; a ``ConfigurationError`` was logged by it, and the next change is another chance.
    """
    seen = await asyncio.to_thread(_fingerprint, files())
    while True:
        await asyncio.sleep(POLL_INTERVAL_S)
        now = await asyncio.to_thread(_fingerprint, files())
        if now == seen:
            continue
        # Wait until the writer is done: half a file is no configuration.
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            again = await asyncio.to_thread(_fingerprint, files())
            if again == now:
                break
            now = again
        seen = now
        logger.info("a file of the configuration changed")
        try:
            await reload()
        except ConfigurationError:
            continue


def _fingerprint(files: Sequence[Path]) -> _Fingerprint:
    return tuple(_identity(file) for file in files)


def _identity(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
