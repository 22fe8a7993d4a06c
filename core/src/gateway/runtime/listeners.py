"""Listening sockets: they belong to the gateway, not to a generation, so a reload turns nobody away."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.interfaces import Adapter, Listener

__all__ = ["Address", "Listeners", "ObtainSocket", "bind"]

logger = logging.getLogger("gateway.runtime")

Address = tuple[str, int]
ObtainSocket = Callable[[Address, int], Awaitable[socket.socket]]
"""Returns a listening socket for an address and a backlog."""


def bind(address: Address, *, backlog: int = 2048, reuse_port: bool = False) -> socket.socket:
    """Return a listening socket.

    Args:
        address: Host and port.
        backlog: Connections the kernel keeps for us.
        reuse_port: Whether other sockets of this gateway listen on the same port, one for each worker.

    Raises:
        ConfigurationError: If the address cannot be had; says why and what to do.
    """
    host, port = address
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError([Problem(f"cannot listen on {host}:{port}: {error.strerror or error}")]) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host not in ("", "::")))
        listening.bind(target)
        listening.listen(backlog)
        listening.setblocking(False)  # noqa: FBT003 - positional only
    except OSError as error:
        listening.close()
        raise ConfigurationError([Problem(_refusal(host, port, error))]) from error
    return listening


async def _bind_here(address: Address, backlog: int) -> socket.socket:
    return bind(address, backlog=backlog)


def _refusal(host: str, port: int, error: OSError) -> str:
    what = f"cannot listen on {host}:{port}: {error.strerror}"
    if error.errno == errno.EADDRINUSE:
        return f"{what}; another process has the port: stop it, or choose another port"
    if error.errno == errno.EACCES:
        return f"{what}; ports below 1024 need privileges: choose another port, or grant CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{what}; this machine does not have the address: choose one of its own, or 0.0.0.0"
    return what


@dataclass(slots=True)
class _Served:
    """A listening socket, and who serves it how."""

    socket: socket.socket
    wanted: Address
    server: asyncio.Server
    listener: Listener
    adapter: Adapter


class Listeners:
    """The sockets that are served now.

    Args:
        obtain: Returns a listening socket for an address and backlog; workers are handed theirs.
    """

    def __init__(self, obtain: ObtainSocket | None = None) -> None:
        self._obtain = obtain or _bind_here
        self._served: list[_Served] = []
        self._opened: dict[Address, socket.socket] = {}

    def addresses(self) -> list[Address]:
        """Return the addresses that are served, with the ports that the system chose."""
        return [served.socket.getsockname()[:2] for served in self._served]

    async def open(self, wanted: Iterable[Listener]) -> None:
        """Open the sockets that ``serve`` will need and that are not open yet.

        Raises:
            ConfigurationError: If an address cannot be had; everything stays as it was.
        """
        for listener in wanted:
            address = (listener.host, listener.port)
            if address not in self._opened and self._find(self._served, listener) is None:
                self._opened[address] = await self._obtain(address, listener.backlog)

    def discard(self) -> None:
        """Close what was opened and is not served."""
        for opened in self._opened.values():
            opened.close()
        self._opened.clear()

    async def serve(self, wanted: Iterable[tuple[Adapter, Listener]]) -> None:
        """Serve these listeners, whose sockets are open, and no others.

        A socket that is wanted again stays open; its connections to come go to the new adapter.
        """
        old = list(self._served)
        kept: list[_Served] = []
        for adapter, listener in wanted:
            served = self._find(old, listener)
            if served is None:
                opened = self._opened.pop((listener.host, listener.port))
                kept.append(await self._start(adapter, listener, opened))
            else:
                old.remove(served)
                await self._hand_over(served, adapter, listener)
                kept.append(served)
        self._served = kept
        for served in old:
            served.server.close()
            served.socket.close()
        self.discard()

    def close(self) -> None:
        """Accept no more connections."""
        for served in self._served:
            served.server.close()
            served.socket.close()
        self._served = []
        self.discard()

    def _find(self, served: list[_Served], listener: Listener) -> _Served | None:
        address = (listener.host, listener.port)
        return next((each for each in served if each.wanted == address), None)

    async def _hand_over(self, served: _Served, adapter: Adapter, listener: Listener) -> None:
        if served.adapter is adapter and served.listener == listener:
            return
        # Begin to accept anew before the old server ends; in between the kernel keeps what arrives.
        server = await self._accept(adapter, listener, served.socket)
        served.server.close()
        served.server, served.adapter, served.listener = server, adapter, listener

    async def _start(self, adapter: Adapter, listener: Listener, opened: socket.socket) -> _Served:
        server = await self._accept(adapter, listener, opened)
        return _Served(opened, (listener.host, listener.port), server, listener, adapter)

    async def _accept(self, adapter: Adapter, listener: Listener, listening: socket.socket) -> asyncio.Server:
        # The server closes the socket it is given when it ends: give it a duplicate.
        return await asyncio.get_running_loop().create_server(
            lambda: adapter.connection(listener), sock=listening.dup(), ssl=listener.tls, backlog=listener.backlog
        )
