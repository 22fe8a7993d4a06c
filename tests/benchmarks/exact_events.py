"""A service that sends an exact number of events, and clients that take them, in one event loop, for `instructions.py`.

As in `exact_load.py`, both share a thread. Each stream has its next event when the one before it has arrived, so that
every event is one read and one write of the gateway, however fast it is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import load
from exact_load import CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_CONNECT_WITHIN_S = 30.0

_END_OF_HEAD = b"\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_TIME_NS = 1_763_884_800_000_000_000
"""A number as long as the times in the events of `live_service.py`, and the same in every run."""


class Service:
    """Opens a stream for every request, which has no body, and sends in it when it is told to; a context manager.

    Args:
        runner: The event loop; the service sends while the load runs in it.
        port: A free port.
    """

    def __init__(self, runner: asyncio.Runner, port: int) -> None:
        self._runner = runner
        self._sending: list[_Sending] = []
        self._server = runner.run(self._listen(port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.close()

    def load(self, port: int, lines: Sequence[str]) -> Load:
        """Returns the load of a gateway in front of it; the arguments are those of `Load`."""
        return Load(self._runner, port, lines, self)

    async def _listen(self, port: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Sending(self._sending), "127.0.0.1", port)

    def send(self, stream: int, number: int) -> None:
        """Sends an event in the stream that was opened as this one, counted from 0."""
        self._sending[stream].send(number)


class Load:
    """Keeps `CONNECTIONS` streams open through a gateway; a context manager.

    Args:
        runner: The event loop.
        port: Where the gateway listens, on 127.0.0.1.
        lines: The header lines of every request.
        service: Where the events come from.
    """

    def __init__(self, runner: asyncio.Runner, port: int, lines: Sequence[str], service: Service) -> None:
        self._runner = runner
        request = "\r\n".join(("GET /events HTTP/1.1", f"Host: 127.0.0.1:{port}", *lines, "", "")).encode()
        self._clients = runner.run(_open(port, request, service))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for client in self._clients:
            client.close()
        self._runner.run(asyncio.sleep(0))  # sockets are closed by the next turn of the loop, which nothing else brings

    def send(self, count: int, *, within_s: float) -> None:
        """Has so many events sent through all streams together.

        Raises:
            AnswerError: If anything else arrives, or the time is over before all have come.
        """
        self._runner.run(self._send(count, within_s))

    async def _send(self, count: int, within_s: float) -> None:
        shares = [count // CONNECTIONS + (number < count % CONNECTIONS) for number in range(CONNECTIONS)]
        try:
            async with asyncio.timeout(within_s):
                await asyncio.gather(*map(_Client.take, self._clients, shares))
        except TimeoutError:
            message = f"{count} events took longer than {within_s:g} s"
            raise load.AnswerError(message) from None


class _Sending(asyncio.Protocol):
    """A connection of the service."""

    _transport: asyncio.Transport

    def __init__(self, opened: list[_Sending]) -> None:
        self._opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._opened.append(self)
        self._transport.write(_HEAD)
        self.send(0)

    def send(self, number: int) -> None:
        self._transport.write(_chunk(number))


class _Client(asyncio.Protocol):
    """A stream through the gateway."""

    _transport: asyncio.Transport

    def __init__(self, request: bytes, service: Service, stream: int) -> None:
        self._request = request
        self._service = service
        self._stream = stream
        self._received = b""
        self._is_answered = False
        self._number = 0
        self._left = 1
        self._done: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._is_answered:
            head, end, self._received = self._received.partition(_END_OF_HEAD)
            if not end or not head.startswith(b"HTTP/1.1 200 "):
                self._fail(f"a wrong answer: {head[:300]!r}")
                return
            self._is_answered = True
        if self._received:
            self._take()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the gateway closed a connection: {exc or 'end of stream'}")

    async def opened(self) -> None:
        """Waits for the first event, which comes unasked."""
        assert self._done is not None
        await self._done

    async def take(self, count: int) -> None:
        """Has so many events sent, one after the other."""
        if count:
            self._left, self._done = count, asyncio.get_running_loop().create_future()
            self._service.send(self._stream, self._number)
            await self._done

    def close(self) -> None:
        self._done = None
        self._transport.abort()

    def _take(self) -> None:
        expected = _chunk(self._number)
        if self._received != expected:
            self._fail(f"{self._received[:300]!r} instead of {expected!r}")
            return
        self._received = b""
        self._number += 1
        self._left -= 1
        if self._left:
            self._service.send(self._stream, self._number)
        elif self._done is not None:
            self._done.set_result(None)

    def _fail(self, message: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(load.AnswerError(message))


def _chunk(number: int) -> bytes:
    event = b"data: %d %d\n\n" % (number, _TIME_NS)
    return b"%x\r\n%b\r\n" % (len(event), event)


async def _open(port: int, request: bytes, service: Service) -> list[_Client]:
    loop = asyncio.get_running_loop()
    clients: list[_Client] = []
    async with asyncio.timeout(_CONNECT_WITHIN_S):
        for number in range(CONNECTIONS):
            made = _Client(request, service, number)
            await loop.create_connection(lambda made=made: made, "127.0.0.1", port)  # type: ignore[misc]
            await made.opened()
            clients.append(made)
    return clients
