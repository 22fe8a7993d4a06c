"""A service on loopback that keeps every request and answers as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

import h11

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

__all__ = ["Received", "Reply", "Speaker", "Upstream"]


class Received:
    """A request that reached the service.

    Attributes:
        method: The method.
        target: Path and query, as they arrived.
        fields: The fields in order, names in lower case.
        body: The body.
        trailers: The trailer fields, in the same form.
    """

    def __init__(
        self,
        method: str,
        target: str,
        fields: list[tuple[str, str]],
        body: bytes,
        trailers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.method = method
        self.target = target
        self.fields = fields
        self.body = body
        self.trailers = list(trailers)

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


class Speaker(Protocol):
    """Speaks the protocol that a connection has changed to.

    Attributes:
        is_over: Whether the connection is to be closed.
    """

    is_over: bool

    def received(self, data: bytes) -> bytes:
        """Take what the client sent, and return what to send back."""


class Reply:
    """What the service answers.

    Args:
        status: The status.
        headers: The fields.
        body: The body; an iterable streams in chunks.
        delay_s: Seconds to wait before.
        drop: Close the connection: before answering, or, with a body, in the middle of it.
        trailers: The trailer fields, for a body in chunks (``transfer-encoding: chunked``).
        speaker: Who speaks when the status is 101 and the protocol has changed, such as ``WebSocketEcho()``.
    """

    def __init__(
        self,
        status: int = 200,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | str | Iterable[bytes] | AsyncIterable[bytes] = b"ok",
        delay_s: float = 0.0,
        drop: bool = False,
        trailers: Iterable[tuple[str, str]] = (),
        speaker: Speaker | None = None,
    ) -> None:
        self.status = status
        self.headers = list(headers.items() if isinstance(headers, Mapping) else headers)
        self.body = body.encode() if isinstance(body, str) else body
        self.delay_s = delay_s
        self.drop = drop
        self.trailers = list(trailers)
        self.speaker = speaker

    @classmethod
    def json(cls, value: object, status: int = 200) -> Self:
        """Answer with JSON."""
        return cls(status, headers={"content-type": "application/json"}, body=json.dumps(value))


_LOOK_S = 0.01
"""How soon a service that takes its time sees that the client is gone."""

Answering = Callable[[Received], "Reply | Awaitable[Reply]"]


class Upstream:
    """A service: ``async with Upstream() as upstream``, or the fixture.

    Args:
        tls: Speaks TLS with this context; ``None`` is plain.

    Attributes:
        requests: Every request, in order of arrival.
        answer: Makes the answer of a request; a function or coroutine function. ``Reply()`` until it is set.
        accepted: How many connections there were.
        connections: How many connections are open.
        port: Where it listens; stays the same over ``stop`` and ``start``.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.answer: Answering = lambda request: Reply()
        self.accepted = 0
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
        self.accepted += 1
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
                trailers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
                return Received(head.method.decode(), head.target.decode("latin-1"), fields, b"".join(pieces), trailers)
            else:
                return None

    async def _reply(self, reply: Reply) -> bool:
        """Send an answer; returns whether the connection goes on."""
        if reply.delay_s and not await self._still_there(reply.delay_s):
            return False
        if reply.drop and not reply.body:
            self._writer.transport.abort()
            return False
        if reply.speaker is not None:
            await self._speak(reply, reply.speaker)
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
        self._send(h11.EndOfMessage(headers=reply.trailers))
        await self._writer.drain()
        return True

    async def _still_there(self, delay_s: float) -> bool:
        """Wait, and return whether the client has waited, too."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + delay_s
        while (left_s := until_s - loop.time()) > 0 and not self._reader.at_eof():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(min(_LOOK_S, left_s))
        return not self._reader.at_eof()

    async def _speak(self, reply: Reply, speaker: Speaker) -> None:
        self._send(h11.InformationalResponse(status_code=reply.status, headers=reply.headers))
        early, _ = self._parser.trailing_data
        if early:
            self._writer.write(speaker.received(early))
        while not speaker.is_over and (data := await self._reader.read(65536)):
            self._writer.write(speaker.received(data))
            await self._writer.drain()
        await self._writer.drain()

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
