"""A client on loopback that shows everything it is answered, read by h11, which shares nothing with the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Self

import h11

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable, Mapping
    from types import TracebackType

__all__ = ["PATIENCE_S", "Answer", "AnswerStream", "Client"]

PATIENCE_S = 10.0
"""How long anything that must happen may take."""


class Answer:
    """What a client was answered.

    Attributes:
        status: The status.
        fields: The fields in order, names in lower case.
        body: The body.
    """

    def __init__(self, status: int, fields: list[tuple[str, str]], body: bytes = b"") -> None:
        self.status = status
        self.fields = fields
        self.body = body

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:  # noqa: ANN401 - whatever it is
        """Return the body, read as JSON."""
        return json.loads(self.body)

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for key, value in self.fields if key == name.lower()]

    def get(self, name: str) -> str | None:
        """Return the value of a field, ``None`` if there is none; several are joined as RFC 9110 section 5.3 says."""
        return ", ".join(self.all(name)) or None

    def __getitem__(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.fields} {self.body[:200]!r}>"


class AnswerStream(Answer):
    """An answer whose body still arrives."""

    def __init__(self, status: int, fields: list[tuple[str, str]], client: Client) -> None:
        super().__init__(status, fields)
        self._client = client

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            ConnectionError: If it is cut short.
        """
        async for piece in self._client.body():
            yield piece

    async def read(self) -> bytes:
        """Return what is left of the body."""
        self.body += b"".join([piece async for piece in self.pieces()])
        return self.body


class Client:
    """A connection to a gateway. One request at a time.

    Args:
        host: Where it is.
        port: Where it is.
        tls: Speaks TLS with this context; ``None`` is plain.
        source: The local address to ask from; ``None`` leaves it to the system.
    """

    def __init__(self, host: str, port: int, *, tls: ssl.SSLContext | None = None, source: str | None = None) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._source = source
        self._parser = h11.Connection(h11.CLIENT)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(
            self._host,
            self._port,
            ssl=self._tls,
            server_hostname="localhost" if self._tls is not None else None,
            local_addr=(self._source, 0) if self._source is not None else None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def ask(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Answer:
        """Send a request and return the whole answer."""
        async with asyncio.timeout(PATIENCE_S):
            answer = await self.begin(method, target, headers=headers, body=body)
            await answer.read()
        return Answer(answer.status, answer.fields, answer.body)

    async def begin(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> AnswerStream:
        """Send a request and return the answer as soon as its head is there."""
        if self._parser.our_state is h11.DONE:
            self._parser.start_next_cycle()
        fields = [*(headers.items() if hasattr(headers, "items") else headers)]
        names = {name.lower() for name, _ in fields}
        if "host" not in names:
            fields.insert(0, ("host", f"{self._host}:{self._port}"))
        if body and not names & {"content-length", "transfer-encoding"}:
            fields.append(("content-length", str(len(body))))
        self._send(h11.Request(method=method, target=target, headers=fields))
        if body:
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())
        head = await self._next()
        while isinstance(head, h11.InformationalResponse):
            if head.status_code == 101:
                break
            head = await self._next()
        assert isinstance(head, (h11.Response, h11.InformationalResponse)), head  # noqa: S101 - as h11 promises
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
        return AnswerStream(head.status_code, pairs, self)

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body of the answer that has begun."""
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    def _send(self, event: h11.Event) -> None:
        assert self._writer is not None, "the client was not entered"  # noqa: S101 - a bug of the caller's
        data = self._parser.send(event)
        if data:
            self._writer.write(data)

    async def _next(self) -> Any:  # noqa: ANN401 - events of h11 and its sentinels
        assert self._reader is not None, "the client was not entered"  # noqa: S101 - a bug of the caller's
        while True:
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                raise ConnectionError(str(error)) from error
            if event is not h11.NEED_DATA:
                if isinstance(event, h11.ConnectionClosed):
                    raise ConnectionError("the gateway closed the connection")
                return event
            self._parser.receive_data(await self._reader.read(65536))
