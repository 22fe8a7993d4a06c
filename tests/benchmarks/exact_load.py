"""A service and a client that answer and send an exact number of requests, in one event loop, for `instructions.py`.

wrk sends for a time and nginx is a program of its own; here the number is what counts, and each turn of the gateway
should find the same amount of work. So both share a thread, which is idle whenever the gateway has something to do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import load
import upstream

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

CONNECTIONS = 32
_CONNECT_WITHIN_S = 30.0

_END_OF_HEAD = b"\r\n\r\n"
_ANSWER = b"".join(
    (
        b"HTTP/1.1 200 OK\r\nServer: exact\r\nDate: Mon, 23 Nov 2026 08:00:00 GMT\r\nContent-Type: text/plain\r\n",
        b"Content-Length: %d\r\nConnection: keep-alive\r\n\r\n" % len(upstream.SMALL_BODY),
        upstream.SMALL_BODY,
    )
)


class Service:
    """Answers every request, which has no body, with `upstream.SMALL_BODY`; a context manager.

    Args:
        runner: The event loop; the service answers while the load runs in it.
        port: A free port.
    """

    def __init__(self, runner: asyncio.Runner, port: int) -> None:
        self._runner = runner
        self._server = runner.run(_listen(port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.close()

    def load(self, port: int, lines: Sequence[str]) -> Load:
        """Returns the load of a gateway in front of it; the arguments are those of `Load`."""
        return Load(self._runner, port, lines)


class Load:
    """Keeps `CONNECTIONS` connections to a gateway; a context manager.

    Args:
        runner: The event loop.
        port: Where the gateway listens, on 127.0.0.1.
        lines: The header lines of every request.
    """

    def __init__(self, runner: asyncio.Runner, port: int, lines: Sequence[str]) -> None:
        self._runner = runner
        request = "\r\n".join(("GET /item HTTP/1.1", f"Host: 127.0.0.1:{port}", *lines, "", "")).encode()
        self._clients = runner.run(_connect(port, request))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for client in self._clients:
            client.close()
        self._runner.run(asyncio.sleep(0))  # sockets are closed by the next turn of the loop, which nothing else brings

    def send(self, count: int, *, within_s: float) -> None:
        """Sends so many requests over all connections together, each its next when it has its answer.

        Raises:
            AnswerError: If an answer is not the service's, or the time is over before all have come.
        """
        self._runner.run(self._send(count, within_s))

    async def _send(self, count: int, within_s: float) -> None:
        shares = [count // CONNECTIONS + (number < count % CONNECTIONS) for number in range(CONNECTIONS)]
        try:
            async with asyncio.timeout(within_s):
                await asyncio.gather(*map(_Client.send, self._clients, shares))
        except TimeoutError:
            message = f"{count} requests took longer than {within_s:g} s"
            raise load.AnswerError(message) from None


class _Answering(asyncio.Protocol):
    """A connection of the service."""

    _transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(_ANSWER * data.count(_END_OF_HEAD))


class _Client(asyncio.Protocol):
    """A connection to the gateway."""

    _transport: asyncio.Transport

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received = b""
        self._left = 0
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._received.endswith(upstream.SMALL_BODY) and self._received.startswith(b"HTTP/1.1 200 "):
            return
        answer, self._received = self._received, b""
        if not answer.startswith(b"HTTP/1.1 200 ") or answer.partition(_END_OF_HEAD)[2] != upstream.SMALL_BODY:
            self._fail(f"a wrong answer: {answer[:300]!r}")
        elif self._left > 1:
            self._left -= 1
            self._transport.write(self._request)
        elif self._done is not None:
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the gateway closed a connection: {exc or 'end of stream'}")

    async def send(self, count: int) -> None:
        """Sends so many requests, one after the other."""
        if count:
            self._left, self._done = count, asyncio.get_running_loop().create_future()
            self._transport.write(self._request)
            await self._done

    def close(self) -> None:
        self._done = None
        self._transport.abort()

    def _fail(self, message: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(load.AnswerError(message))


async def _listen(port: int) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", port)


async def _connect(port: int, request: bytes) -> list[_Client]:
    loop = asyncio.get_running_loop()
    clients = []
    async with asyncio.timeout(_CONNECT_WITHIN_S):
        for _ in range(CONNECTIONS):
            _transport, client = await loop.create_connection(lambda: _Client(request), "127.0.0.1", port)
            clients.append(client)
    return clients
