"""A service on loopback that keeps every request and answers as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import h11

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

__all__ = ["Received", "Reply", "Upstream"]


class Received:
    """A request that reached the service.

    Attributes:
        method: The method.
        target: Path and query, as they arrived.
        fields: The fields in order, names in lower case.
        body: The body.
    """

    def __init__(self, method: str, target: str, fields: list[tuple[str, str]], body: bytes) -> None:
        self.method = method
        self.target = target
        self.fields = fields
        self.body = body

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self.fields if key == name.lower()]

    def get(self, name: str) -> str | None:
        """Return the value of a field, ``None`` if there is none."""
        return ", ".join(self.all(name)) or None

    def __getitem__(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def __repr__(self) -> str:
        return f"<Received {self.method} {self.target} {self.fields}>"


class Reply:
    """What the service answers.

    Args:
        status: The status.
        headers: The fields.
        body: The body; an iterable streams in chunks.
        delay_s: Seconds to wait before.
        drop: Close the connection: before answering, or, with a body, in the middle of it.
    """

    def __init__(
        self,
        status: int = 200,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | str | Iterable[bytes] | AsyncIterable[bytes] = b"ok",
        delay_s: float = 0.0,
        drop: bool = False,
    ) -> None:
        self.status = status
        self.headers = list(headers.items() if isinstance(headers, Mapping) else headers)
        self.body = body.encode() if isinstance(body, str) else body
        self.delay_s = delay_s
        self.drop = drop

    @classmethod
    def json(cls, value: object, status: int = 200) -> Self:
        """Answer with JSON."""
        return cls(status, headers={"content-type": "application/json"}, body=json.dumps(value))


Answering = Callable[[Received], "Reply | Awaitable[Reply]"]


class Upstream:
    """A service: ``async with Upstream() as upstream``, or the fixture.

    Args:
        tls: Speaks TLS with this context; ``None`` is plain.

    Attributes:
        requests: Every request, in order of arrival.
        answer: Makes the answer of a request; a function or coroutine function. ``Reply()`` until it is set.
        connections: How many connections are open.
        port: Where it listens; stays the same over ``stop`` and ``start``.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.answer: Answering = lambda request: Reply()
        self.host = "127.0.0.1"
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._tasks)

    @property
    def instance(self) -> dict[str, Any]:
        """It, as an instance in the configuration of ``registry.static``."""
        return {"address": self.host, "port": self.port, "scheme": "https" if self._tls is not None else "http"}

    async def start(self) -> None:
        """Listen; where it listened before, if it was stopped."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Go, in the middle of everything."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task, writer in list(self._tasks.items()):
            writer.transport.abort()
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it runs in one
        self._tasks[task] = writer
        try:
            # Asyncio's server would log that somebody cancelled it.
            with contextlib.suppress(OSError, EOFError, h11.ProtocolError, asyncio.CancelledError):
                await _Connection(self, reader, writer).run()
        finally:
            del self._tasks[task]
            writer.close()


class _Connection:
    def __init__(self, upstream: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._upstream = upstream
        self._reader = reader
        self._writer = writer
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)

    async def run(self) -> None:
        """Answer requests until one side closes."""
        while (request := await self._receive()) is not None:
            self._upstream.requests.append(request)
            made = self._upstream.answer(request)
            reply = await made if inspect.isawaitable(made) else made
            if not await self._reply(reply):
                return
            if self._parser.our_state is not h11.DONE or self._parser.their_state is not h11.DONE:
                return
            self._parser.start_next_cycle()

    async def _receive(self) -> Received | None:
        head: h11.Request | None = None
        pieces: list[bytes] = []
        while True:
            event = self._parser.next_event()
            if event is h11.NEED_DATA:
                if self._parser.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
                self._parser.receive_data(await self._reader.read(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
                return Received(head.method.decode(), head.target.decode("latin-1"), fields, b"".join(pieces))
            else:
                return None

    async def _reply(self, reply: Reply) -> bool:
        """Send an answer; returns whether the connection goes on."""
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if reply.drop and not reply.body:
            self._writer.transport.abort()
            return False
        fields = list(reply.headers)
        names = {name.lower() for name, _ in fields}
        if isinstance(reply.body, bytes) and not names & {"content-length", "transfer-encoding"}:
            fields.append(("content-length", str(len(reply.body))))
        self._send(h11.Response(status_code=reply.status, headers=fields))
        async for piece in _pieces(reply.body):
            self._send(h11.Data(data=piece[: len(piece) // 2] if reply.drop else piece))
            await self._writer.drain()
            if reply.drop:
                self._writer.close()
                return False
        self._send(h11.EndOfMessage())
        await self._writer.drain()
        return True

    def _send(self, event: h11.Event) -> None:
        data = self._parser.send(event)
        if data:
            self._writer.write(data)


async def _pieces(body: bytes | Iterable[bytes] | AsyncIterable[bytes]) -> AsyncIterable[bytes]:
    if isinstance(body, bytes):
        if body:
            yield body
    elif isinstance(body, AsyncIterable):
        async for piece in body:
            yield piece
    else:
        for piece in body:
            yield piece
