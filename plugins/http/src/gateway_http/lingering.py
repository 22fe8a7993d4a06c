"""The last moments of a client connection: what was written goes out, what still comes in is dropped."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_http.adapter import HttpAdapter

__all__ = ["LINGER_S", "Lingering"]

LINGER_S = 5.0
"""How long what a client sends after its last answer is read and dropped; ``lingering_timeout`` of nginx."""


class Lingering(asyncio.Protocol):
    """Closes a connection so that the client can read its last answer (RFC 9112 section 9.6).

    Closed with something unread, TCP resets the connection, and a reset destroys what the client has not read yet. So
    our side ends first, and the connection is closed when the client's side ends too, or after ``LINGER_S``.

    Args:
        adapter: The adapter it belongs to.
        transport: The connection, with everything written.

    Attributes:
        deadline_s: When the client is given up.
    """

    def __init__(self, adapter: HttpAdapter, transport: asyncio.Transport) -> None:
        self._adapter = adapter
        self._transport = transport
        self._unsent = 0
        self._note_unsent()
        if transport.can_write_eof():
            transport.write_eof()

    def drain(self) -> None:
        """Do not wait for the client."""
        self._transport.close()

    def close(self) -> None:
        """Cut it."""
        self._transport.abort()

    def deadline_passed(self) -> None:
        """Close, unless the client still takes what was written."""
        if not self._unsent or self._transport.get_write_buffer_size() >= self._unsent:
            self._transport.abort()
        self._note_unsent()

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection; asyncio calls it once."""
        self._adapter.forget(self)

    def _note_unsent(self) -> None:
        self._unsent = self._transport.get_write_buffer_size()
        self.deadline_s = time.monotonic() + (self._adapter.write_timeout_s if self._unsent else LINGER_S)
