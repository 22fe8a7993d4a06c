"""Whom TLS towards others trusts when nobody says it: the authorities of the system, read when they are first needed.

There are more than a hundred, and reading them takes a process 50 to 100 ms (OpenSSL 3): too long for every start and
every reload of gateways that may never open a TLS connection, and far too long for an event loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

__all__ = ["SystemTrust"]


class SystemTrust:
    """A TLS context towards others that comes to trust the authorities of the system. Used from one event loop.

    Args:
        tls: The context; nothing is read yet.
        is_wanted: Whether it is to trust them; if not, it is ready as it is.
    """

    __slots__ = ("_is_wanted", "_reading", "_tls")

    def __init__(self, tls: ssl.SSLContext, *, is_wanted: bool = True) -> None:
        self._tls = tls
        self._is_wanted = is_wanted
        self._reading: asyncio.Future[None] | None = None

    async def ready(self) -> ssl.SSLContext:
        """Return the context with its authorities, which the first call reads in a thread while the others wait.

        Raises:
            OSError: If they cannot be read; the next call tries again.
        """
        if not self._is_wanted:
            return self._tls
        reading = self._reading
        if reading is None or (reading.done() and reading.exception() is not None):
            reading = self._reading = asyncio.ensure_future(asyncio.to_thread(self._tls.load_default_certs))
        if not reading.done():
            # Who gives up must not take the authorities from those that wait too.
            await asyncio.shield(reading)
        return self._tls
