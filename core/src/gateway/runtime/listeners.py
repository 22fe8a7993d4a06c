"""Listening sockets: they belong to the gateway, not to a generation, so a reload turns nobody away.

```
prepare(wanted)   opens the sockets that are not open yet, and makes a server for everything that is new
commit()          the new servers begin to accept, then the old ones stop; a socket that is still wanted stays open
discard()         closes what was prepared
```
"""

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
    from collections.abc import Sequence

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
        problem = f"cannot listen on {_text(address)}: {error.strerror or error}; check the address"
        raise ConfigurationError([Problem(problem)]) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host not in ("", "::")))
        listening.bind(target)
        listening.listen(backlog)
        listening.setblocking(False)  # noqa: FBT003 - positional only
    except (OSError, OverflowError) as error:
        listening.close()
        raise ConfigurationError([Problem(_refusal(address, error))]) from error
    return listening


async def _bind_here(address: Address, backlog: int) -> socket.socket:
    return bind(address, backlog=backlog)


def _refusal(address: Address, error: OSError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return f"cannot listen on {_text(address)}: a port is a number from 0 to 65535"
    what = f"cannot listen on {_text(address)}: {error.strerror}"
    if error.errno == errno.EADDRINUSE:
        return f"{what}; another process has the port: stop it, or choose another port"
    if error.errno == errno.EACCES:
        return f"{what}; ports below 1024 need privileges: choose another port, or grant CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{what}; this machine does not have the address: choose one of its own, or 0.0.0.0"
    return what


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(slots=True, kw_only=True, eq=False)
class _Served:
    """A listening socket, and who serves it how."""

    address: Address
    socket: socket.socket
    listener: Listener
    adapter: Adapter
    server: asyncio.Server


class Listeners:
    """The sockets that are served now.

    Args:
        obtain: Returns a listening socket for an address and backlog; workers are handed theirs.
    """

    def __init__(self, obtain: ObtainSocket | None = None) -> None:
        self._obtain = obtain or _bind_here
        self._served: list[_Served] = []
        self._prepared: list[_Served] = []

    def addresses(self) -> list[Address]:
        """Return the addresses that are served, with the ports that the system chose."""
        return [served.socket.getsockname()[:2] for served in self._served]

    def wanted(self) -> list[Address]:
        """Return the addresses that are served, as they were asked for."""
        return [served.address for served in self._served]

    async def prepare(self, wanted: Sequence[tuple[Adapter, Listener]]) -> None:
        """Open the sockets that are not open yet, and get everything ready that ``commit`` needs.

        A socket that is wanted again stays open; its connections to come go to the new adapter.

        Raises:
            ConfigurationError: If an address cannot be had; everything stays as it was.
        """
        self.discard()
        left = list(self._served)
        try:
            for adapter, listener in wanted:
                self._prepared.append(await self._prepare(adapter, listener, left))
        except BaseException:
            self.discard()
            raise

    async def _prepare(self, adapter: Adapter, listener: Listener, left: list[_Served]) -> _Served:
        address = (listener.host, listener.port)
        if listener.port and any(prepared.address == address for prepared in self._prepared):
            raise ConfigurationError(
                [Problem(f"{_text(address)} is asked for twice; give each listener a port of its own")]
            )
        served = next((each for each in left if each.address == address), None)
        if served is None:
            opened = await self._obtain(address, listener.backlog)
        else:
            left.remove(served)
            if served.adapter is adapter and served.listener == listener:
                return served
            opened = served.socket
        try:
            server = await _server(adapter, listener, opened)
        except BaseException:
            if served is None:
                opened.close()
            raise
        return _Served(address=address, socket=opened, listener=listener, adapter=adapter, server=server)

    async def commit(self) -> None:
        """Serve what was prepared, and nothing else."""
        before, self._served, self._prepared = self._served, self._prepared, []
        # Begin to accept anew before the old servers end; in between the kernel keeps what arrives.
        for served in self._served:
            if served not in before:
                await served.server.start_serving()
        _close([served for served in before if served not in self._served], keep=self._served)

    def discard(self) -> None:
        """Close what was prepared and is not served."""
        prepared, self._prepared = self._prepared, []
        _close([served for served in prepared if served not in self._served], keep=self._served)

    def close(self) -> None:
        """Accept no more connections."""
        self.discard()
        served, self._served = self._served, []
        _close(served, keep=[])


async def _server(adapter: Adapter, listener: Listener, listening: socket.socket) -> asyncio.Server:
    # The server closes the socket it is given when it ends: give it a duplicate.
    return await asyncio.get_running_loop().create_server(
        lambda: adapter.connection(listener),
        sock=listening.dup(),
        ssl=listener.tls,
        backlog=listener.backlog,
        start_serving=False,
    )


def _close(gone: Sequence[_Served], *, keep: Sequence[_Served]) -> None:
    kept = {served.socket for served in keep}
    for served in gone:
        served.server.close()
        if served.socket not in kept:
            served.socket.close()
