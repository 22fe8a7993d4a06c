"""A port for metrics alone: just enough HTTP/1.1 for a scrape."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway import BuildContext

__all__ = ["MAX_CONNECTIONS", "MetricsPort"]

MAX_CONNECTIONS = 16
"""Several Prometheus servers and a person; whoever comes beyond that is hung up on."""
MAX_HEAD_BYTES = 16 * 1024
"""As h11 and the gateway's own parser have it."""
HEAD_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
"""Prometheus gives up after ten seconds, unless it is told otherwise."""
PLAIN = "text/plain; charset=utf-8"


class _Sockets:
    """Listening sockets by their address; kept over reloads, so that the port is open all the time."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], tuple[socket.socket, int]] = {}

    def take(self, host: str, port: int) -> socket.socket:
        """Return a listening socket of the caller's own.

        Raises:
            OSError: If the address cannot be had.
        """
        listening, uses = self._open.get((host, port), (None, 0))
        if listening is None:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listening = socket.create_server((host, port), family=family)
        self._open[host, port] = (listening, uses + 1)
        return listening.dup()

    def give_back(self, host: str, port: int) -> None:
        """Close the socket if nobody else uses it."""
        listening, uses = self._open.pop((host, port))
        if uses > 1:
            self._open[host, port] = (listening, uses - 1)
        else:
            listening.close()


class MetricsPort:
    """Serves metrics at one path.

    Args:
        host: The address.
        port: The port.
        path: The path.
        text: Returns content type and text for an ``Accept`` field.
        context: The gateway.
    """

    def __init__(
        self,
        host: str,
        port: int,
        path: str,
        text: Callable[[str], Awaitable[tuple[str, bytes]]],
        context: BuildContext,
    ) -> None:
        self._host = host
        self._port = port
        self._path = path
        self._text = text
        self._logger = context.logger
        self._sockets = context.keep("sockets", _Sockets)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: If the port cannot be had.
        """
        listening = self._sockets.take(self._host, self._port)
        self._server = await asyncio.start_server(self._serve, sock=listening, limit=MAX_HEAD_BYTES)
        self._logger.info("metrics are served on %s:%d%s", self._host, self._port, self._path)

    async def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
            self._sockets.give_back(self._host, self._port)
            self._server = None
        connections = [*self._connections]
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs it in one
        self._connections.add(task)
        try:
            # A client that is gone or too slow is nobody's problem; asyncio would log that it was cut off.
            with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
                async with asyncio.timeout(HEAD_TIMEOUT_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    writer.write(await self._answer(head))
                    await writer.drain()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        request, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if path != self._path:
            return _response("404 Not Found", PLAIN, f"metrics are at {self._path}\n".encode())
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", PLAIN, b"GET or HEAD\n", "Allow: GET, HEAD")
        fields = [line.partition(":") for line in lines]
        accept = ",".join(value.strip() for name, _, value in fields if name.lower() == "accept")
        try:
            content_type, body = await self._text(accept)
        except Exception:
            self._logger.exception("metrics could not be rendered")
            return _response("500 Internal Server Error", PLAIN, b"see the gateway's log\n")
        answer = _response("200 OK", content_type, body)
        return answer if method == "GET" else answer.removesuffix(body)


def _response(status: str, content_type: str, body: bytes, *fields: str) -> bytes:
    head = (
        f"HTTP/1.1 {status}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *fields,
    )
    return "\r\n".join((*head, "", "")).encode("latin-1") + body
