"""Sockets that are closed also when whoever asked for one is cancelled meanwhile."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import dns.asyncbackend

__all__ = ["closing_backend"]


def closing_backend() -> Any:  # noqa: ANN401 - dnspython keeps its types to itself
    """Return the sockets of dnspython on asyncio, of which none is left open.

    An event loop of uvloop that is cancelled while it makes a datagram socket leaves that to the garbage collector,
    which may come late: a gateway that is reloaded often would run out of file descriptors.
    """
    return _ClosingBackend(dns.asyncbackend.get_backend("asyncio"))


class _ClosingBackend:
    """A backend of dnspython but for one method.

    Args:
        own: The backend.
    """

    def __init__(self, own: Any) -> None:  # noqa: ANN401 - as above
        self._own = own

    def __getattr__(self, name: str) -> object:
        return getattr(self._own, name)

    async def make_socket(self, af: int, socktype: int, *arguments: object, **options: object) -> Any:  # noqa: ANN401 - as above
        """Make a socket."""
        making = asyncio.ensure_future(self._own.make_socket(af, socktype, *arguments, **options))
        if socktype != socket.SOCK_DGRAM:
            return await making
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            # A turn of the event loop or two: a datagram socket reaches nobody to begin with.
            await (await making).close()
            raise
