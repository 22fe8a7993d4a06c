"""Small writes of one turn of the event loop, sent together at its end.

Written at once, between the reads of one turn, each message would wake its receiver, which falls asleep again before
the next one comes: with clients and services on other cores the waking alone cost half of all CPU time. Written back to
back, most messages find their receiver awake.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

__all__ = ["Outbox"]


class Outbox:
    """Implements ``gateway.interfaces.Outbox``. Used from one event loop."""

    __slots__ = ("_messages",)

    def __init__(self) -> None:
        self._messages: list[tuple[asyncio.WriteTransport, bytes]] = []

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Send ``data`` over ``transport`` at the end of this turn."""
        messages = self._messages
        if not messages:
            asyncio.get_running_loop().call_soon(self.flush)
        messages.append((transport, data))

    def flush(self) -> None:
        """Send everything now."""
        messages, self._messages = self._messages, []
        for transport, data in messages:
            try:
                transport.write(data)
            except RuntimeError:
                # uvloop's word for a transport that was closed since; nobody else's message must suffer.
                continue


if TYPE_CHECKING:
    from gateway.interfaces import Outbox as OutboxInterface

    _: type[OutboxInterface] = Outbox
