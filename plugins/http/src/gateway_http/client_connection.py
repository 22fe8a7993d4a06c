"""One connection of a client: HTTP/1.1 requests in, responses out (RFC 9112).

One request is read at a time; what a client sends behind it waits as the bytes it is. So at most one exchange exists
per connection.

```
data_received ─▶ _receive_head ─▶ _begin: Exchange ─▶ serve ─▶ … ─▶ respond ─▶ [body_data … body_end] ─▶ _finish
                      ▲                                                                                     │
                      └───────────────────────────────────── _read_on ◀─────────────────────────────────────┘
```

A whole head at once, with the fields of the one before it and without a body: that is most requests, and ``_begin`` has
a short way for it. Everything else takes the long way, ``_begin_closely``, with the same outcome. Likewise ``respond``
and ``_respond_closely``.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from email.utils import formatdate
from functools import lru_cache
from operator import itemgetter
from random import getrandbits
from typing import TYPE_CHECKING

from gateway import Body, ErrorType, Exchange, GatewayError, Headers, Request, Response
from gateway.forwarding import UNKNOWN
from gateway.semantics import count_forwards
from gateway_http.chunked import ChunkedDecoder, TrailersTooLarge, encode_end
from gateway_http.fields import END_OF_HEAD, STATUS_LINES, Malformed, check_request_fields, field_line, status_line
from gateway_http.request_fields import NO_FIELDS, RequestFields, read_request_fields
from gateway_http.request_line import ORDINARY_LINE, RequestLine, check_beginning_of_line, read_request_line
from gateway_http.tunnel import ClientTunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Origin
    from gateway.forwarding import Hop
    from gateway.handover import Takeover
    from gateway_http.adapter import HttpAdapter
    from gateway_http.fields import Pairs

__all__ = ["ClientConnection"]

MAX_REMEMBERED_BYTES = 4096
"""Longer header sections are not remembered: an idle connection should cost little."""

SMALL_CHUNK_BYTES = 4096
"""Up to so much, copying a piece of a body into one write costs less than writing three."""

FIRST_FINAL_STATUS = 200
NO_CONTENT_STATUS = 204
NO_CONTENT = frozenset({NO_CONTENT_STATUS, 304})
"""Answers that have no body whatever their fields say (RFC 9112 section 6.3)."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_LINES_BEFORE_CONTENT = {
    status: line + b"\r\n"
    for status, line in STATUS_LINES.items()
    if status >= FIRST_FINAL_STATUS and status not in NO_CONTENT
}
_OURS = frozenset({b"connection", b"content-length", b"date", b"keep-alive", b"transfer-encoding", b"x-request-id"})
"""Fields of a response that are looked at: the connection's own ones must not come from elsewhere, a date must."""
_DATE_ONLY = frozenset({b"date"})
_name = itemgetter(0)


class ClientConnection(asyncio.Protocol):
    """The protocol of one client connection; also the responder of its exchanges and the sink of response bodies.

    Args:
        adapter: The adapter it belongs to: limits, time-outs, and the way into the gateway.
        scheme: ``http`` or ``https``.
        serve: Answers its exchanges.

    Attributes:
        deadline_s: When to look whether the client is to be given up.
    """

    __slots__ = (
        "_adapter",
        "_body_bytes",
        "_closes",
        "_connection_line",
        "_decoder",
        "_drops_input",
        "_exchange",
        "_fields",
        "_hop",
        "_idle_timeout_s",
        "_is_chunking",
        "_is_continue_due",
        "_is_fresh",
        "_is_lost",
        "_is_reading_paused",
        "_is_writing_paused",
        "_origin",
        "_origin_host",
        "_outbox",
        "_received",
        "_remaining",
        "_request_body",
        "_response_body",
        "_scheme",
        "_sent_bytes",
        "_serve",
        "_short_head_bytes",
        "_transport",
        "_unsent",
        "deadline_s",
    )

    _transport: asyncio.Transport
    _hop: Hop
    _origin: Origin

    def __init__(self, adapter: HttpAdapter, scheme: str, serve: Callable[[Exchange], None]) -> None:
        # Per connection.
        self._adapter = adapter
        self._serve = serve
        self._outbox = adapter.outbox
        self._idle_timeout_s = adapter.idle_timeout_s
        self._short_head_bytes = min(adapter.max_header_bytes, adapter.max_uri_bytes)
        self._scheme = scheme
        self._fields = NO_FIELDS
        self._origin_host: bytes | None = None
        self._received = b""  # what was not looked at yet: the beginning of a head, or what is behind the request
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._is_lost = False
        self._is_fresh = True  # no request came yet
        self._closes = False
        self._drops_input = False
        self._connection_line = ""
        self._unsent = 0
        self.deadline_s = math.inf
        # Per exchange.
        self._exchange: Exchange | None = None
        self._sent_bytes = 0
        # Per request body that arrives in pieces.
        self._request_body: Body | None = None
        self._decoder: ChunkedDecoder | None = None
        self._remaining = 0
        self._body_bytes = 0
        self._is_continue_due = False
        # Per response body that leaves in pieces.
        self._response_body: Body | None = None
        self._is_chunking = False

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a connection; asyncio calls it once."""
        self._transport = transport  # type: ignore[assignment]  # listeners are stream sockets
        adapter = self._adapter
        peer = transport.get_extra_info("peername")
        # A client that is gone already has no name; it must not pass for somebody who is trusted.
        tls = transport.get_extra_info("ssl_object") if self._scheme == "https" else None
        self._hop = adapter.hop(peer[0] if isinstance(peer, tuple) else UNKNOWN, self._scheme, tls)
        self._serve = adapter.guarded(self._serve, tls, self._hop)
        self.deadline_s = time.monotonic() + adapter.read_timeout_s
        if adapter.is_draining:
            self._close_after_answer()
        has_room = adapter.admit(self)
        takeover = self._chosen() if adapter.takeovers and self._scheme == "https" else None
        if takeover is not None:
            if not has_room or not adapter.hand_over(self, takeover, self._transport, self._hop, self._serve):
                self._transport.abort()  # a refusal in HTTP/1.1 would mean nothing to this client
        elif not has_room:
            self._refuse(GatewayError(ErrorType.UNAVAILABLE, "too many connections", headers=((b"retry-after", b"1"),)))

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        if self._exchange is None:
            if not self._received and 0 < data.find(END_OF_HEAD) == len(data) - 4:
                self._begin(data)
            else:
                self._receive_head(self._received + data)
        elif self._request_body is not None:
            self._receive_body(self._request_body, data)
        else:
            self._hold(data)

    def eof_received(self) -> bool:
        """They send no more; returns whether this side stays open."""
        # A client that sends no more while it waits for an answer is taken to be gone, as nginx and Go do: a closed
        # connection looks the same.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection; asyncio calls it once."""
        self._is_lost = True
        self._adapter.forget(self)
        error = exc or ConnectionResetError("the client closed the connection")
        body, self._request_body = self._request_body, None
        if body is not None:
            body.fail(error)
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if exchange.response is None:
            exchange.cancel()
        elif self._response_body is not None:
            self._response_body.abort()
        exchange.finish(self._sent_bytes, error)

    def pause_writing(self) -> None:
        """The client is slow: have whatever is being sent wait."""
        self._is_writing_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self.deadline_s = time.monotonic() + self._adapter.write_timeout_s
        if self._response_body is not None:
            self._response_body.pause()
        if self._request_body is None:
            # A client that does not take its answers gets no more requests served either.
            self._pause_reading()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._is_writing_paused = False
        self._unsent = 0
        self.deadline_s = time.monotonic() + self._idle_timeout_s
        if self._response_body is not None:
            self._response_body.resume()
        if self._exchange is None:
            self._read_on()
        elif self._request_body is None and not self._received:
            self._resume_reading()

    def deadline_passed(self) -> None:
        """Look whether the client is too slow, or idle for too long.

        Deadlines are not taken back when what they are for has happened: that costs more than looking now and then.
        """
        adapter, now_s = self._adapter, time.monotonic()
        unsent = self._transport.get_write_buffer_size()
        if unsent:
            if self._unsent and unsent >= self._unsent:
                self._transport.abort()
            # It takes something, however slowly; or this is the first look.
            self._unsent = unsent
            self.deadline_s = now_s + adapter.write_timeout_s
            return
        self._unsent = 0
        self.deadline_s = math.inf
        if self._exchange is None:
            if self._received:
                self._refuse(GatewayError(ErrorType.TIMEOUT, "the request took too long to arrive"))
            else:
                self._transport.close()
        elif self._request_body is not None and not self._is_reading_paused and not self._is_continue_due:
            self._spoil(GatewayError(ErrorType.TIMEOUT, "the request body took too long to arrive"))

    # Handing over.

    def _chosen(self) -> Takeover | None:
        """Return who takes the connection over, by what was chosen in the TLS handshake."""
        chosen = self._transport.get_extra_info("ssl_object").selected_alpn_protocol()
        return next((takeover for takeover in self._adapter.takeovers if chosen in takeover.alpn), None)

    def _hand_over(self, data: bytes) -> bool:
        """Look whether a connection begins with what somebody else takes over.

        Args:
            data: Everything that came.

        Returns:
            Whether there is nothing more to do here, for now at least.
        """
        for takeover in self._adapter.takeovers:
            if takeover.opening and data.startswith(takeover.opening):
                return self._adapter.hand_over(self, takeover, self._transport, self._hop, self._serve, data)
            if takeover.opening.startswith(data):
                self._received = data
                return True
        return False

    # Reading heads.

    def _receive_head(self, data: bytes) -> None:
        """Begin an exchange if ``data``, all that was not looked at yet, hold a whole head."""
        empty_lines = _EMPTY_LINES.match(data)
        if empty_lines is not None:
            data = data[empty_lines.end() :]  # RFC 9112 section 2.2
        end = data.find(END_OF_HEAD)
        if end >= 0:
            self._received = data[end + 4 :]
            self._begin(data[: end + 4])
        elif data:
            self._wait_for_head(data)
        else:
            self._received = b""

    def _wait_for_head(self, data: bytes) -> None:
        """Keep the beginning of a head, unless it is refused however it goes on."""
        adapter = self._adapter
        if not self._received:
            self.deadline_s = time.monotonic() + adapter.read_timeout_s
        if self._is_fresh and self._hand_over(data):
            return
        self._received = data
        line, end, section = data.partition(b"\r\n")
        try:
            if end:
                read_request_line(line, adapter.max_uri_bytes)
                check_request_fields(section)
            else:
                check_beginning_of_line(line, adapter.max_uri_bytes)
            if len(data) > adapter.max_header_bytes:
                raise _too_large()
        except Malformed as error:
            self._refuse(_malformed(error))
        except GatewayError as error:
            self._refuse(error)

    def _begin(self, head: bytes) -> None:
        """Serve a head. What came behind it is in ``_received``."""
        line, _, section = head.partition(b"\r\n")
        ordinary = ORDINARY_LINE.fullmatch(line.decode("latin-1"))
        fields = self._fields
        if ordinary is None or len(head) > self._short_head_bytes:
            self._begin_closely(head, line, section)
            return
        if section != fields.section:
            try:
                fields = self._read_fields(section)
            except Malformed as error:
                self._refuse(_malformed(error))
                return
        if not fields.is_plain:
            self._begin_closely(head, line, section, fields)
            return
        # The constructors' keyword arguments cost more than all of this: set the attributes instead.
        request = Request.__new__(Request)
        request.method, request.path, request.query = ordinary.groups("")
        headers = request.headers = Headers.__new__(Headers)
        headers.section = fields.shared
        request.body = b""
        request.origin = fields.origin
        request.id = fields.request_id or f"{getrandbits(128):032x}"
        request.upgrade = None
        exchange = self._exchange = Exchange(request, self)
        if fields.has_body and not self._take_body(exchange, fields):
            return
        if self._received:
            self._pause_reading()
        self._serve(exchange)

    def _begin_closely(self, head: bytes, line: bytes, section: bytes, fields: RequestFields | None = None) -> None:
        """Serve a head that is not as most are."""
        if not line:
            self._receive_head(head)
            return
        if self._is_fresh and self._hand_over(head + self._received):
            return
        try:
            asked = read_request_line(line, self._adapter.max_uri_bytes)
            if len(head) > self._adapter.max_header_bytes:
                raise _too_large()
            fields = fields or self._read_fields(section)
        except Malformed as error:
            self._refuse(_malformed(error))
            return
        except GatewayError as error:
            self._refuse(error)
            return
        request = Request(asked.method, asked.path, query=asked.query, headers=Headers(fields.pairs.copy()))
        request.id = fields.request_id or f"{getrandbits(128):032x}"
        exchange = self._exchange = Exchange(request, self)
        try:
            self._examine(request, asked, fields)
            is_for_us = asked.path == "*" or count_forwards(request)
        except GatewayError as error:
            self._refuse(error, exchange)
            return
        if fields.has_body and not self._take_body(exchange, fields):
            return
        if self._received:
            self._pause_reading()
        if is_for_us:
            # It asks about the gateway itself (RFC 9110 section 9.3.7).
            exchange.response = Response()
            self.respond(exchange, exchange.response)
        else:
            self._serve(exchange)

    def _read_fields(self, section: bytes) -> RequestFields:
        """Return what a header section says.

        Raises:
            Malformed: If it is not in order.
        """
        if section == self._fields.section:
            return self._fields
        self._is_fresh = False
        fields = read_request_fields(section, self._adapter.max_headers)
        host = fields.host or b""
        if fields.forwarding or fields.takes_trailers:
            fields.origin = self._hop.origin(host, fields.forwarding, takes_trailers=fields.takes_trailers)
        else:
            if host != self._origin_host:
                self._origin_host, self._origin = host, self._hop.origin(host, [])
            fields.origin = self._origin
        if fields.is_plain and len(section) <= MAX_REMEMBERED_BYTES:
            self._fields = fields
        return fields

    def _examine(self, request: Request, asked: RequestLine, fields: RequestFields) -> None:
        """Apply what a request says about host, version, connection and upgrade.

        Raises:
            GatewayError: If it is refused.
        """
        if fields.fault is not None:
            raise fields.fault
        request.origin = self._where_from(request, asked, fields)
        keeps_alive = b"close" not in fields.options
        if asked.http_version == "1.0":
            if fields.is_chunked:
                # RFC 9112 section 6.1: the framing is faulty.
                raise GatewayError(ErrorType.BAD_REQUEST, "Transfer-Encoding in HTTP/1.0")
            keeps_alive = keeps_alive and b"keep-alive" in fields.options
            self._connection_line = "connection: keep-alive\r\n"
        elif fields.upgrade and b"upgrade" in fields.options and not (fields.content_length or fields.is_chunked):
            # With a body in between it would not be clear where the other protocol begins.
            request.upgrade = fields.upgrade
        if not keeps_alive or self._closes:
            self._close_after_answer()

    def _where_from(self, request: Request, asked: RequestLine, fields: RequestFields) -> Origin:
        """Return the origin of a request, whose host is that of the target if it has one (RFC 9112 section 3.2.2)."""
        host = fields.host
        if host is None and asked.http_version == "1.1":
            raise GatewayError(ErrorType.BAD_REQUEST, "the Host field is missing")
        if asked.authority:
            if host is not None and not asked.is_same_authority(host.decode("latin-1")):
                raise GatewayError(ErrorType.BAD_REQUEST, "the request target and the Host field name different hosts")
            if asked.scheme != fields.origin.scheme:
                raise GatewayError(ErrorType.BAD_REQUEST, "the scheme of the request target is not served here")
            host = asked.authority.encode("ascii")
            pairs = request.headers.pairs
            pairs[:] = [(b"host", host), *(pair for pair in pairs if pair[0] != b"host")]
        elif asked.http_version == "1.1":
            return fields.origin
        return self._hop.origin(
            host or b"", fields.forwarding, http_version=asked.http_version, takes_trailers=fields.takes_trailers
        )

    def _refuse(self, error: GatewayError, exchange: Exchange | None = None) -> None:
        """Answer a request that is refused, or bytes that are none (``exchange`` is ``None``), and close."""
        self._drop_input()
        if exchange is None:
            request = Request("-", "/", id=f"{getrandbits(128):032x}", scheme=self._scheme, client=self._hop.peer)
            exchange = Exchange(request, self)
        self._exchange = exchange
        self._adapter.refuse(exchange, error)

    # Reading bodies.

    def _take_body(self, exchange: Exchange, fields: RequestFields) -> bool:
        """Take the body that follows a head: as bytes if it is here already, else as a stream.

        Returns:
            Whether it is in order so far; if it is not, the exchange is refused.
        """
        length = fields.content_length
        if length is not None and length <= len(self._received) and length <= self._adapter.max_request_size:
            exchange.request.body, self._received = self._received[:length], self._received[length:]
            return True
        try:
            self._begin_body(exchange.request, fields)
        except GatewayError as error:
            self._refuse(error, exchange)
            return False
        return True

    def _begin_body(self, request: Request, fields: RequestFields) -> None:
        """Begin to read a body that is not here whole, or is chunked.

        Raises:
            GatewayError: If it is refused.
        """
        length = fields.content_length
        self._body_bytes = 0
        if length is None:
            self._decoder = ChunkedDecoder(self._adapter.max_header_bytes, self._adapter.max_headers)
        elif length > self._adapter.max_request_size:
            raise self._too_large_body()
        else:
            self._decoder, self._remaining = None, length
        received, self._received = self._received, b""
        content, is_complete = self._decode(received)
        if is_complete and not self._trailers():
            request.body = content
            return
        body = request.body = Body(self, length)
        if content:
            body.feed(content)
        if is_complete:
            body.end(self._trailers())
            return
        self._request_body = body
        self._is_continue_due = fields.expects_continue and not received and request.http_version == "1.1"
        self.deadline_s = time.monotonic() + self._adapter.read_timeout_s
        if self._is_continue_due:
            # The body is wanted when somebody reads it: only then the client is told to go on.
            body.pause()

    def _receive_body(self, body: Body, data: bytes) -> None:
        """Pass on the next piece of a body."""
        self.deadline_s = time.monotonic() + self._adapter.read_timeout_s
        if self._is_continue_due:
            # It did not wait to be told; but nobody wants the body yet.
            self._is_continue_due = False
            self._pause_reading()
        try:
            content, is_complete = self._decode(data)
        except GatewayError as error:
            self._spoil(error)
            return
        if is_complete:
            self._request_body = None
        if content:
            body.feed(content)
        if is_complete:
            if self._received:
                self._pause_reading()
            else:
                self._resume_reading()  # to notice if the client goes
            body.end(self._trailers())

    def _decode(self, data: bytes) -> tuple[bytes, bool]:
        """Return the content in ``data``, and whether the body ends with it; what follows is in ``_received`` then.

        Raises:
            GatewayError: If the body is malformed or too large.
        """
        decoder = self._decoder
        if decoder is None:
            content, self._received = data[: self._remaining], data[self._remaining :]
            self._remaining -= len(content)
            return content, not self._remaining
        try:
            content = decoder.decode(data)
        except Malformed as error:
            raise _malformed(error) from error
        except TrailersTooLarge as error:
            raise GatewayError(ErrorType.HEADERS_TOO_LARGE, "the request has too many trailer fields") from error
        self._body_bytes += len(content)
        if self._body_bytes + decoder.remaining > self._adapter.max_request_size:
            raise self._too_large_body()
        self._received = decoder.rest
        return content, decoder.is_complete

    def _trailers(self) -> Pairs:
        return self._decoder.trailers if self._decoder is not None else []

    def _spoil(self, error: GatewayError) -> None:
        """The body cannot be read to its end: whoever reads it is told so, and the connection is closed."""
        self._drop_input()
        body, self._request_body = self._request_body, None
        if body is not None:
            body.fail(error)

    def _too_large_body(self) -> GatewayError:
        limit = self._adapter.max_request_size
        return GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the request body is larger than {limit} bytes")

    def _hold(self, data: bytes) -> None:
        """Keep what a client sends while its last request is being answered, and read no more of it."""
        self._received += data
        self._pause_reading()

    def _pause_reading(self) -> None:
        if not self._is_reading_paused and not self._is_lost:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_reading_paused and not self._is_lost:
            self._is_reading_paused = False
            self._transport.resume_reading()

    # gateway.body.BodyProducer: the request body.

    def pause_body(self) -> None:
        """Read no more of the body for now."""
        if not self._is_continue_due:
            self._pause_reading()

    def resume_body(self) -> None:
        """Read on; the client is told to go on if it waits for that."""
        self.deadline_s = time.monotonic() + self._adapter.read_timeout_s
        if self._is_continue_due:
            self._is_continue_due = False
            self._write_now(_CONTINUE)
        else:
            self._resume_reading()

    def abort_body(self) -> None:
        """Nobody reads the rest of the body, and it is in the way: close after the answer."""
        self._request_body = None
        self._drop_input()

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
        if headers.names_among(_OURS) != _DATE_ONLY:
            headers = _mended(headers)
        end = f"x-request-id: {request.id}\r\ncontent-length: {len(body)}\r\n{self._connection_line}\r\n"
        self._sent_bytes = len(body)
        self._outbox.write(self._transport, b"".join((line, headers.block(), end.encode("latin-1"), body)))
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

    def _write_now(self, data: bytes) -> None:
        """Write what must not wait for the end of the turn, behind what does."""
        self._outbox.flush()
        self._transport.write(data)

    # gateway.body.BodySink: the response body.

    def body_data(self, chunk: bytes) -> None:
        """Send the next piece."""
        self._sent_bytes += len(chunk)
        if not self._is_chunking:
            self._transport.write(chunk)
        elif chunk:
            size = len(chunk)
            if size <= SMALL_CHUNK_BYTES:
                self._transport.write(b"%x\r\n%b\r\n" % (size, chunk))
            else:
                self._transport.writelines((b"%x\r\n" % size, chunk, b"\r\n"))

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

    def _cut(self, error: Exception) -> None:
        exchange, self._exchange = self._exchange, None
        self._transport.abort()
        if exchange is not None:
            exchange.finish(self._sent_bytes, error)

    # Between two exchanges.

    def _finish(self) -> None:
        """The response is written: go on with the next request, or close."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.finish(self._sent_bytes)
        if self._request_body is not None:
            # Answered before it was read: the rest of it would be taken for the next request.
            self._spoil(GatewayError(ErrorType.BAD_REQUEST, "the response was sent before the request was read"))
        if self._closes:
            self._leave()
            return
        self._unsent = 0
        self.deadline_s = time.monotonic() + self._idle_timeout_s
        if self._is_reading_paused:
            # Not from within an answer: a flood of pipelined requests must not nest.
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        """Take up what was pipelined."""
        if self._exchange is not None or self._is_writing_paused or self._is_lost or self._transport.is_closing():
            return
        self._resume_reading()
        data, self._received = self._received, b""
        self._receive_head(data)

    def _close_after_answer(self) -> None:
        self._closes = True
        self._connection_line = "connection: close\r\n"

    def _drop_input(self) -> None:
        """Answer, then close: what the client sends from here on is no request, or cannot be told from one."""
        self._received = b""
        self._drops_input = True
        self._close_after_answer()

    def _leave(self) -> None:
        """Close, as soon as the client has read its answer."""
        self._outbox.flush()
        if self._is_lost:
            return
        if self._scheme == "https" and not self._drops_input:
            # TLS cannot be closed by half, and there is nothing unread that would make TCP destroy the answer.
            self.deadline_s = time.monotonic() + self._adapter.write_timeout_s
            self._transport.close()
            return
        self._resume_reading()
        self._adapter.linger(self, self._transport)

    def drain(self) -> None:
        """Close if idle; else close after the answer that is under way."""
        self._close_after_answer()
        if self._exchange is None and not self._received:
            self._outbox.flush()
            self._transport.close()

    def close(self) -> None:
        """Cut whatever is under way."""
        self._transport.abort()

    def _begin_tunnel(self, exchange: Exchange, response: Response) -> None:
        """Change protocols: from now on bytes go through as they are (RFC 9110 section 7.8)."""
        assert response.tunnel is not None  # noqa: S101 - the caller looked
        id_line = f"x-request-id: {exchange.request.id}".encode("latin-1")
        lines = [status_line(response.status), *map(field_line, response.headers.pairs), id_line]
        self._write_now(b"\r\n".join([*lines, b"connection: upgrade", b"", b""]))
        tunnel = ClientTunnel(self._adapter, self._transport, exchange, response.tunnel)
        self._adapter.replace(self, tunnel)
        self._transport.set_protocol(tunnel)
        if self._received:
            response.tunnel.write(self._received)
        self._resume_reading()
        response.tunnel.attach(tunnel)


def _malformed(error: Malformed) -> GatewayError:
    return GatewayError(ErrorType.BAD_REQUEST, "the request is malformed", detail=f"malformed request: {error}")


def _too_large() -> GatewayError:
    return GatewayError(ErrorType.HEADERS_TOO_LARGE, "the request head is too large")


def _mended(headers: Headers) -> Headers:
    """Return the fields of a response without those that only the connection may send, and with a date.

    A recipient with a clock dates what it passes on (RFC 9110 section 6.6.1).
    """
    kept = [pair for pair in headers.pairs if pair[0] not in _OURS or pair[0] == b"date"]
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
