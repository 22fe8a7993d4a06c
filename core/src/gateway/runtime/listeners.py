"""Listening sockets: they belong to the gateway, not to a generation, so a reload turns nobody away.

```
prepare(wanted)   opens the sockets that are not open yet
commit()          serves them; a socket that is still wanted stays open, only its connections to come change hands
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
from gateway.metrics import Metrics
from gateway.runtime.handshakes import Handshakes, TlsServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import Adapter, Listener

__all__ = ["Address", "Listeners", "ObtainSocket", "bind"]

logger = logging.getLogger("gateway.runtime")

MAX_PORT = 65535

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
    if not 0 <= port <= MAX_PORT:  # getaddrinfo would take the remainder
        raise ConfigurationError(
            [
                Problem(
                    f"cannot listen on {_text(address)}: a port is a number from 0 to {MAX_PORT}; choose one of these"
                )
            ]
        )
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
    except OSError as error:
        listening.close()
        raise ConfigurationError([Problem(_refusal(address, error))]) from error
    return listening


async def _bind_here(address: Address, backlog: int) -> socket.socket:
    return bind(address, backlog=backlog)


def _refusal(address: Address, error: OSError) -> str:
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


class _Served:
    """A listening socket, and who serves it how: both may change, while the server goes on."""

    __slots__ = ("adapter", "address", "listener", "server", "socket")

    server: asyncio.Server | TlsServer

    def __init__(self, address: Address, listening: socket.socket, adapter: Adapter, listener: Listener) -> None:
        self.address = address
        self.socket = listening
        self.adapter = adapter
        self.listener = listener

    def connection(self) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""
        return self.adapter.connection(self.listener)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Who is going to serve a socket."""

    served: _Served
    adapter: Adapter
    listener: Listener


class Listeners:
    """The sockets that are served now.

    Args:
        obtain: Returns a listening socket for an address and backlog; workers are handed theirs.
        metrics: Where TLS handshakes that fail are counted.
    """

    def __init__(self, obtain: ObtainSocket | None = None, metrics: Metrics | None = None) -> None:
        self._obtain = obtain or _bind_here
        self._handshakes = Handshakes(metrics if metrics is not None else Metrics())
        self._served: list[_Served] = []
        self._prepared: list[_Plan] = []

    def addresses(self) -> list[Address]:
        """Return the addresses that are served, with the ports that the system chose."""
        return [served.socket.getsockname()[:2] for served in self._served]

    def wanted(self) -> list[Address]:
        """Return the addresses that are served, as they were asked for."""
        return [served.address for served in self._served]

    async def prepare(self, wanted: Sequence[tuple[Adapter, Listener]]) -> None:
        """Open the sockets that are not open yet, and get everything ready that ``commit`` needs.

        Raises:
            ConfigurationError: If an address cannot be had; everything stays as it was.
        """
        self.discard()
        left = list(self._served)
        try:
            for adapter, listener in wanted:
                served = await self._prepare(adapter, listener, left)
                self._prepared.append(_Plan(served=served, adapter=adapter, listener=listener))
        except BaseException:
            self.discard()
            raise

    async def _prepare(self, adapter: Adapter, listener: Listener, left: list[_Served]) -> _Served:
        address = (listener.host, listener.port)
        if listener.port and any(plan.served.address == address for plan in self._prepared):
            raise ConfigurationError(
                [Problem(f"{_text(address)} is asked for twice; give each listener a port of its own")]
            )
        known = next((each for each in left if each.address == address), None)
        if known is not None:
            left.remove(known)
            if (known.listener.tls is None) == (listener.tls is None):
                return known
        opened = known.socket if known is not None else await self._obtain(address, listener.backlog)
        served = _Served(address, opened, adapter, listener)
        try:
            served.server = await self._server(served)
        except BaseException:
            if known is None:
                opened.close()
            raise
        return served

    async def _server(self, served: _Served) -> asyncio.Server | TlsServer:
        # The server closes the socket it is given when it ends: give it a duplicate.
        duplicate = served.socket.dup()
        if served.listener.tls is not None:
            self._handshakes.open()
            # Adapter and context are looked up for each connection: a reload may have put others there.
            begin = self._handshakes.begin
            return TlsServer(duplicate, lambda accepted, peer: begin(accepted, peer, served.adapter, served.listener))
        try:
            return await asyncio.get_running_loop().create_server(
                served.connection, sock=duplicate, backlog=served.listener.backlog, start_serving=False
            )
        except BaseException:
            duplicate.close()
            raise

    async def commit(self) -> None:
        """Serve what was prepared, and nothing else."""
        before, self._served = self._served, [plan.served for plan in self._prepared]
        prepared, self._prepared = self._prepared, []
        for plan in prepared:
            # Connections to come go to the new adapter; those that are there stay where they are.
            plan.served.adapter, plan.served.listener = plan.adapter, plan.listener
            if plan.served not in before:
                await plan.served.server.start_serving()
        await self._end([served for served in before if served not in self._served])

    def discard(self) -> None:
        """Close what was prepared and is not served."""
        prepared, self._prepared = self._prepared, []
        sockets = {served.socket for served in self._served}
        for plan in prepared:
            if plan.served not in self._served:
                plan.served.server.close()
                if plan.served.socket not in sockets:
                    plan.served.socket.close()

    async def close(self) -> None:
        """Accept no more connections."""
        self.discard()
        served, self._served = self._served, []
        await self._end(served)
        await self._handshakes.close()

    async def _end(self, gone: Sequence[_Served]) -> None:
        """Stop to accept, and lose nobody who was accepted."""
        loop = asyncio.get_running_loop()
        for served in gone:
            for listening in served.server.sockets:
                # asyncio's server accepts in one turn of the loop, makes the connection in the next, and fails to do
                # so if it was closed in between. So it is told to accept no more first; to uvloop this means nothing.
                loop.remove_reader(listening.fileno())
        for _ in range(2 if gone else 0):
            await asyncio.sleep(0)
        sockets = {served.socket for served in self._served}
        for served in gone:
            served.server.close()
            if served.socket not in sockets:
                served.socket.close()
