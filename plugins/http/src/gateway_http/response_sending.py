"""The answering half of a client's connection: heads, and bodies as fast as the client takes them.

Most answers are whole and have a body of bytes: ``respond`` has a short way for them. Everything else takes the long
way, ``_respond_closely``, with the same outcome.
"""

from __future__ import annotations

import asyncio
import math
import time
from email.utils import formatdate
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING

from gateway import Headers
from gateway_http.chunked import LARGEST_SMALL_CHUNK, SIZE_LINES, encode_end
from gateway_http.fields import STATUS_LINES, field_line, status_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Body, Exchange, Request, Response
    from gateway_http.adapter import HttpAdapter

__all__ = ["ResponseSender"]

MAX_COPIED_BYTES = 4096
"""Up to so much, copying a piece of a body into one write costs less than writing three."""

FIRST_FINAL_STATUS = 200
NO_CONTENT_STATUS = 204
NO_CONTENT = frozenset({NO_CONTENT_STATUS, 304})
"""Answers that have no body whatever their fields say (RFC 9112 section 6.3)."""

_LINES_BEFORE_CONTENT = {
    status: line + b"\r\n"
    for status, line in STATUS_LINES.items()
    if status >= FIRST_FINAL_STATUS and status not in NO_CONTENT
}
_OURS = frozenset({b"connection", b"content-length", b"date", b"keep-alive", b"transfer-encoding", b"x-request-id"})
"""Fields of a response that are looked at: the connection's own ones must not come from elsewhere, a date must."""
_DATE_ONLY = frozenset({b"date"})
_name = itemgetter(0)


class ResponseSender(asyncio.Protocol):
    """Answers requests, one after the other: their responder, and the sink of response bodies.

    Args:
        adapter: The adapter it belongs to.

    Attributes:
        deadline_s: When to look whether the client is to be given up.
    """

    __slots__ = (
        "_adapter",
        "_closes",
        "_connection_line",
        "_exchange",
        "_is_chunking",
        "_is_lost",
        "_is_reading_paused",
        "_outbox",
        "_received",
        "_request_body",
        "_response_body",
        "_sent_bytes",
        "_transport",
        "deadline_s",
    )

    _transport: asyncio.Transport

    def __init__(self, adapter: HttpAdapter) -> None:
        # Per connection.
        self._adapter = adapter
        self._outbox = adapter.outbox
        self._received = b""  # what was not looked at yet: the beginning of a head, or what is behind the request
        self._is_reading_paused = False
        self._is_lost = False
        self._closes = False
        self._connection_line = ""
        self.deadline_s = math.inf
        # Per exchange.
        self._exchange: Exchange | None = None
        self._request_body: Body | None = None  # one that arrives in pieces, as long as it does
        self._sent_bytes = 0
        # Per response body that leaves in pieces.
        self._response_body: Body | None = None
        self._is_chunking = False

    def _finish(self) -> None:
        """The response is written: go on with the next request, or close."""
        raise NotImplementedError

    def _begin_tunnel(self, exchange: Exchange, response: Response) -> None:
        """Change protocols: from now on bytes go through as they are (RFC 9110 section 7.8)."""
        raise NotImplementedError

    # gateway.exchange.Responder.

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Send an interim response, unless the client cannot take it (RFC 9110 section 15.2)."""
        if exchange is self._exchange and exchange.response is None and exchange.request.http_version != "1.0":
            self._write_now(b"\r\n".join([status_line(status), *map(field_line, pairs), b"", b""]))

    def respond(self, exchange: Exchange, response: Response) -> None:
        """Send the answer."""
        line = _LINES_BEFORE_CONTENT.get(response.status)
        body = response.body
        request = exchange.request
        if (
            type(body) is not bytes
            or line is None
            or request.method == "HEAD"
            or self._request_body is not None
            or exchange is not self._exchange
        ):
            self._respond_closely(exchange, response)
            return
        headers = response.headers
        section = headers.section
        if section is not None and section.among(_OURS) == _DATE_ONLY:
            fields = section.block
            if headers.lines:
                is_right = _OURS.isdisjoint(headers.line_names)
                fields = fields + headers.lines if is_right else _mended(headers).block()
        else:
            fields = _mended(headers).block()
        end = f"x-request-id: {request.id}\r\ncontent-length: {len(body)}\r\n{self._connection_line}\r\n"
        self._sent_bytes = len(body)
        self._outbox.write(self._transport, b"".join((line, fields, end.encode("latin-1"), body)))
        self._finish()

    def _respond_closely(self, exchange: Exchange, response: Response) -> None:
        """Send an answer that has no body, or one that comes in pieces."""
        if exchange is not self._exchange:
            response.discard()
            return
        if response.tunnel is not None:
            self._begin_tunnel(exchange, response)
            return
        body, status = response.body, response.status
        if status < FIRST_FINAL_STATUS:
            response.discard()
            self._cut(ValueError(f"status {status} is no final answer"))
            return
        if self._request_body is not None:
            self._close_after_answer()  # what is left of the request may never come
        self._is_chunking = False
        self._sent_bytes = 0
        has_content = exchange.request.method != "HEAD" and status not in NO_CONTENT
        framing = self._frame(exchange.request, body) if has_content else _length_without_content(response)
        end = f"x-request-id: {exchange.request.id}\r\n{framing}{self._connection_line}\r\n"
        self._write_now(b"%b\r\n%b%b" % (status_line(status), _mended(response.headers).block(), end.encode("latin-1")))
        if not has_content:
            response.discard()
            self._finish()
        elif isinstance(body, bytes):
            self._sent_bytes = len(body)
            self._transport.write(body)
            self._finish()
        else:
            self._response_body = body
            body.attach(self)

    def _frame(self, request: Request, body: bytes | Body) -> str:
        """Return the line that says where the content of a response ends (RFC 9112 section 6.3)."""
        length = len(body) if isinstance(body, bytes) else body.length
        if length is not None:
            return f"content-length: {length}\r\n"
        if request.http_version == "1.0":
            self._close_after_answer()
            return ""
        self._is_chunking = True
        return "transfer-encoding: chunked\r\n"

    # gateway.body.BodySink: the response body.

    def body_data(self, chunk: bytes) -> None:
        """Send the next piece."""
        size = len(chunk)
        self._sent_bytes += size
        if not self._is_chunking:
            self._transport.write(chunk)
        elif size > MAX_COPIED_BYTES:
            self._transport.writelines((b"%x\r\n" % size, chunk, b"\r\n"))
        elif size > LARGEST_SMALL_CHUNK:
            self._transport.write(b"%x\r\n%b\r\n" % (size, chunk))
        elif size:
            self._transport.write(SIZE_LINES[size] + chunk + b"\r\n")

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the end."""
        body, self._response_body = self._response_body, None
        if self._is_chunking:
            self._transport.write(encode_end(trailers))
        elif body is not None and body.length is not None and body.length != self._sent_bytes:
            # Too short or too long for what was promised: only a cut connection tells the client so.
            self._cut(ConnectionError(f"the body has {self._sent_bytes} bytes instead of {body.length}"))
            return
        self._finish()

    def body_error(self, error: Exception) -> None:
        """Cut the connection: a response that is not whole must not look as if it were."""
        self._response_body = None
        self._cut(error)

    # The connection.

    def _cut(self, error: Exception) -> None:
        exchange, self._exchange = self._exchange, None
        self._transport.abort()
        if exchange is not None:
            exchange.finish(self._sent_bytes, error)

    def _write_now(self, data: bytes) -> None:
        """Write what must not wait for the end of the turn, behind what does."""
        self._outbox.flush()
        self._transport.write(data)

    def _close_after_answer(self) -> None:
        self._closes = True
        self._connection_line = "connection: close\r\n"

    def _resume_reading(self) -> None:
        if self._is_reading_paused and not self._is_lost:
            self._is_reading_paused = False
            self._transport.resume_reading()


def _mended(headers: Headers) -> Headers:
    """Return the fields of a response without those that only the connection may send, and with a date.

    A recipient with a clock dates what it passes on (RFC 9110 section 6.6.1).
    """
    kept = [pair for pair in headers.view() if pair[0] not in _OURS or pair[0] == b"date"]
    if b"date" not in map(_name, kept):
        kept.append((b"date", _date(int(time.time()))))
    return Headers(kept)


@lru_cache(1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode("ascii")


def _length_without_content(response: Response) -> str:
    """Return the line that says how long the content would be that a HEAD or a condition spared (RFC 9110 8.6)."""
    if response.status == NO_CONTENT_STATUS:
        return ""
    length = response.headers.get("content-length")
    if length is None and isinstance(response.body, bytes) and response.body:
        length = str(len(response.body))
    return f"content-length: {length}\r\n" if length is not None and length.isdigit() else ""
