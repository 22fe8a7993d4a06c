"""One connection of a client: HTTP/1.1 requests in, responses out (RFC 9112).

The parser is fed one message at a time: never past the end of a head or of a body. So at most one exchange exists per
connection, and what a client pipelines waits as the bytes it is.

```
data_received ──▶ _feed ──▶ parser callbacks ──▶ _begin: Exchange ──▶ serve
                                                         │
_next_message ◀── _finish ◀── body_data/body_end ◀── respond ◀┘
```
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from random import getrandbits
from typing import TYPE_CHECKING, ClassVar

import httptools

from gateway import Body, ErrorType, Exchange, GatewayError, Headers, Request
from gateway_http.fields import HOP_BY_HOP, METHODS, STATUS_LINES, status_line
from gateway_http.forwarding import FORWARDING_FIELDS, Hop, forwarded_client, forwarded_scheme

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Forwarding, Response
    from gateway.interfaces import Tunnel
    from gateway_http.adapter import HttpAdapter

__all__ = ["ClientConnection"]

Pairs = list[tuple[bytes, bytes]]

END_OF_HEAD = b"\r\n\r\n"
TOP_BIT = 1 << 127
"""Set in the request ids that are made here, so that all have 32 hexadecimal digits."""
LINGER_S = 1.0
"""How long what a refused client still sends is read and dropped, so that it can read the answer (as nginx does)."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~+/=@:-]{1,128}")
_KEEP_ALIVE = re.compile(rb"\r\nconnection:[ \t]*keep-alive[ \t]*\r\n", re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"[!-~]+ [!-~]+ HTTP/[0-9]\.[0-9]\r\n")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_BODILESS_STATUSES = frozenset({*range(100, 200), 204, 304})
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_ABSOLUTE_FORM = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#@]+)(/[^?#]*)?(?:\?([^#]*))?")
_DIGITS = frozenset(b"0123456789")


class ClientConnection(asyncio.Protocol):
    """The protocol of one client connection; also the responder of its exchanges and the sink of response bodies.

    Args:
        adapter: The adapter it belongs to: limits, time-outs, and the way into the gateway.
        scheme: ``http`` or ``https``.

    Attributes:
        deadline_s: When the client is given up.
    """

    __slots__ = (
        "_adapter",
        "_body",
        "_close_after",
        "_coded_bytes",
        "_content_length",
        "_exchange",
        "_expects_continue",
        "_forwarding",
        "_has_chunked_body",
        "_head_bytes",
        "_hop",
        "_host",
        "_host_bytes",
        "_host_text",
        "_in_body",
        "_is_chunking",
        "_is_complete",
        "_is_head_done",
        "_is_lingering",
        "_is_lost",
        "_is_parser_spent",
        "_is_reading_paused",
        "_is_special",
        "_is_writing_paused",
        "_known_forwarding",
        "_lacks_host",
        "_outbox",
        "_pairs",
        "_parser",
        "_peer",
        "_pending",
        "_raw_remaining",
        "_received",
        "_refused",
        "_request_id",
        "_request_line",
        "_response_body",
        "_scheme",
        "_sent",
        "_serve",
        "_small_body",
        "_tail",
        "_transport",
        "_tunnel",
        "_unsent",
        "_upgrade",
        "_url",
        "deadline_s",
    )

    _transport: asyncio.Transport
    _hop: Hop
    _peer: str
    _known_forwarding: Forwarding

    def __init__(self, adapter: HttpAdapter, scheme: str) -> None:
        # Per connection.
        self._adapter = adapter
        self._serve = adapter.serve
        self._outbox = adapter.outbox
        self._scheme = scheme
        self._parser = httptools.HttpRequestParser(self)
        self._pending = b""
        self._host_bytes: bytes | None = None
        self._host_text = ""
        self._is_lost = False
        self._is_lingering = False
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._is_parser_spent = False
        self._tunnel: Tunnel | None = None
        self._unsent = 0
        self.deadline_s = math.inf
        # Per request.
        self._exchange: Exchange | None = None
        self._url = b""
        self._pairs: Pairs = []
        self._host: bytes | None = None
        self._is_head_done = False
        self._is_complete = False
        self._small_body: list[bytes] = []
        self._body: Body | None = None
        self._response_body: Body | None = None
        self._is_chunking = False
        self._sent = 0
        self._close_after = False
        self._head_bytes = 0
        self._reset_special()

    def _reset_special(self) -> None:
        """Forget what only some requests have."""
        self._is_special = False
        self._refused: GatewayError | None = None
        self._content_length: int | None = None
        self._has_chunked_body = False
        self._expects_continue = False
        self._request_id: bytes | None = None
        self._request_line = b""
        self._lacks_host = False
        self._forwarding: Pairs = []
        self._upgrade: bytes | None = None
        self._in_body = False
        self._raw_remaining = 0
        self._received = 0
        self._coded_bytes = 0
        self._tail = b""

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a connection; asyncio calls it once."""
        self._transport = transport  # type: ignore[assignment]  # listeners are stream sockets
        peer = transport.get_extra_info("peername")
        adapter = self._adapter
        self._peer = peer[0] if isinstance(peer, tuple) else "127.0.0.1"
        self._hop = adapter.hop(self._peer, self._scheme)
        self.deadline_s = time.monotonic() + adapter.read_timeout_s
        if not adapter.admit(self):
            self._close_after = True
            self._write_refusal(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n")

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        if self._exchange is None and self._tunnel is None:
            if self._is_lingering:
                return
            if self._head_bytes or data.find(END_OF_HEAD) + 4 != len(data) or self._is_reading_paused:
                self._feed(data)
            elif self._feed_head(data):
                # What most reads are: one whole head.
                self._begin(data, b"")
        elif self._tunnel is not None:
            self._tunnel.write(data)
        elif self._in_body:
            self._feed(data)
        else:
            self._hold(data)

    def eof_received(self) -> bool:
        """The other side sends no more; returns whether this side stays open."""
        if self._tunnel is not None:
            self._tunnel.write_eof()
            return self._scheme == "http"
        # A client that sends no more while it waits for an answer is taken to be gone, as nginx and Go do: a closed
        # connection looks the same.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection; asyncio calls it once."""
        self._is_lost = True
        self.deadline_s = math.inf
        self._adapter.forget(self)
        if self._tunnel is not None:
            self._tunnel.abort()
        error = exc or ConnectionResetError("the client closed the connection")
        if self._body is not None:
            self._body.fail(error)
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.response is None:
            exchange.cancel()
        body, self._response_body = self._response_body, None
        if body is not None:
            body.abort()
        self._exchange = None
        exchange.finish(self._sent, error)

    def pause_writing(self) -> None:
        """The other side is slow: have the source of what is being sent wait."""
        self._is_writing_paused = True
        if self._exchange is None and not self._is_reading_paused:
            # A client that takes no answers gets no more requests served either.
            self._is_reading_paused = True
            self._transport.pause_reading()
        self._unsent = self._transport.get_write_buffer_size()
        self.deadline_s = time.monotonic() + self._adapter.write_timeout_s
        if self._tunnel is not None:
            self._tunnel.pause()
        elif self._response_body is not None:
            self._response_body.pause()

    def resume_writing(self) -> None:
        """The other side caught up."""
        self._is_writing_paused = False
        self._unsent = 0
        self.deadline_s = math.inf
        if self._tunnel is not None:
            self._tunnel.resume()
        elif self._response_body is not None:
            self._response_body.resume()
        elif self._exchange is None:
            self.deadline_s = time.monotonic() + self._adapter.idle_timeout_s
            self._read_on()

    def deadline_passed(self) -> None:
        """Give the client up: it is too slow, or idle for too long."""
        unsent = self._transport.get_write_buffer_size()
        if unsent:
            if unsent < self._unsent:
                # It does take something, only slowly.
                self._unsent = unsent
                self.deadline_s = time.monotonic() + self._adapter.write_timeout_s
                return
            self._transport.abort()
        elif self._is_lingering or (self._exchange is None and not self._head_bytes):
            self._transport.close()
        elif self._exchange is None:
            self._refuse(GatewayError(ErrorType.TIMEOUT, "the request took too long to arrive"))
        elif self._body is not None:
            self._close_after = True
            self._body.fail(GatewayError(ErrorType.TIMEOUT, "the request body took too long to arrive"))
            self._end_of_body()
        self.deadline_s = math.inf if self._is_lost else time.monotonic() + LINGER_S

    # Reading a message.

    def _feed(self, data: bytes) -> None:
        """Take what arrived, message by message, until an exchange is under way that has all it needs."""
        while data:
            if self._in_body:
                data = self._feed_body(data)
            else:
                end = data.find(END_OF_HEAD) + 4 if not self._tail else self._end_in_pieces(data)
                if end == len(data):
                    head, data = data, b""
                elif end > 0 and (end >= 4 or self._tail):
                    head, data = data[:end], data[end:]
                else:
                    self._feed_head(data)
                    return
                if self._feed_head(head):
                    data = self._begin(head, data)
            if self._is_lost or self._is_lingering:
                return
            if data and self._exchange is not None and not self._in_body:
                self._hold(data)
                return

    def _end_in_pieces(self, data: bytes) -> int:
        """Find the end of a head or chunk that may have begun before ``data``; 0 or less if it is not here."""
        found = (self._tail + data).find(END_OF_HEAD)
        return found + 4 - len(self._tail) if found >= 0 else 0

    def _hold(self, data: bytes) -> None:
        """Keep what a client sends while its last request is being answered, and read no more of it."""
        self._pending += data
        if not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def _feed_head(self, data: bytes) -> bool:
        """Feed a head or a part of one; returns whether it is whole and in order."""
        adapter = self._adapter
        self._head_bytes += len(data)
        if self._head_bytes > adapter.max_header_bytes:
            end_of_line = (self._request_line + data).find(b"\r\n", 2)
            is_long_target = end_of_line < 0 or end_of_line > adapter.max_uri_bytes
            kind = ErrorType.URI_TOO_LONG if is_long_target else ErrorType.HEADERS_TOO_LARGE
            self._refuse(GatewayError(kind, "the request head is too large"))
            return False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_parser_spent = True
        except httptools.HttpParserError as error:
            self._refuse(_malformed(error, data))
            return False
        if self._is_head_done:
            if self._tail:
                self._tail = b""
            return True
        # The rest comes later (or these were empty lines before a request, RFC 9112 section 2.2).
        self._tail = (self._tail + data)[-3:]
        if self._request_line.find(b"\r\n") < 0:
            self._request_line = (self._request_line + data).lstrip(b"\r\n")
            self._is_special = True
        if self._head_bytes == len(data):
            self.deadline_s = time.monotonic() + adapter.read_timeout_s
        return False

    def _feed_body(self, data: bytes) -> bytes:
        """Take the part of ``data`` that belongs to the body; returns what is left."""
        body = self._body
        assert body is not None  # noqa: S101 - set with _in_body
        self.deadline_s = time.monotonic() + self._adapter.read_timeout_s
        if self._raw_remaining:
            # The length is known and validated: no parser needed.
            piece = data if len(data) <= self._raw_remaining else data[: self._raw_remaining]
            self._raw_remaining -= len(piece)
            if not self._raw_remaining:
                self._end_of_body()
            body.feed(piece)
            if not self._raw_remaining:
                body.end()
            return data[len(piece) :]
        data = self._feed_chunks(data)
        if self._is_complete:
            self._end_of_body()
            body.end(self._take_trailers())
        return data

    def _feed_chunks(self, data: bytes) -> bytes:
        """Feed the chunked coding up to the next empty line, where alone a message can end; returns the rest."""
        end = self._end_in_pieces(data) if self._tail else data.find(END_OF_HEAD) + 4
        if end <= 0 or (end < 4 and not self._tail):
            end = len(data)
        piece = data[:end]
        self._tail = (self._tail + piece)[-3:]
        self._coded_bytes += len(piece)
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError as error:
            self._spoil_body(_malformed(error, piece))
            return b""
        if len(self._pairs) > self._adapter.max_headers:
            self._spoil_body(GatewayError(ErrorType.HEADERS_TOO_LARGE, "the request has too many trailer fields"))
            return b""
        # Chunk extensions and trailers have no bound of their own. One-byte chunks are six bytes a byte, so this much
        # more than the body itself is nothing that an honest client sends.
        if self._coded_bytes > self._adapter.max_header_bytes + 8 * self._received:
            self._spoil_body(GatewayError(ErrorType.HEADERS_TOO_LARGE, "the request's chunk extensions are too large"))
            return b""
        return data[end:]

    def _take_trailers(self) -> Pairs:
        trailers, self._pairs = self._pairs, []
        return trailers

    def _spoil_body(self, error: GatewayError) -> None:
        """The body cannot be read to its end: whoever reads it is told so, and the connection is closed."""
        self._close_after = True
        body = self._body
        if body is None:
            self._refused = error
        else:
            self._end_of_body()
            body.fail(error)

    def _end_of_body(self) -> None:
        if not self._is_complete or self._raw_remaining:
            # The parser did not see the end of this message: the next one needs another.
            self._is_parser_spent = True
        self._in_body = False
        self._body = None
        self.deadline_s = math.inf

    # The parser's side.

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head, or of the trailer."""
        name = name.lower()
        special = _SPECIAL.get(name)
        if special is None:
            self._pairs.append((name, value))
        elif self._has_chunked_body and self._in_body:
            # Framing and routing fields mean nothing, and must mean nothing, in a trailer (RFC 9110 section 6.5.1).
            pass
        else:
            special(self, name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._is_head_done = True

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body that the parser took apart."""
        self._received += len(data)
        limit = self._adapter.max_request_size
        if limit and self._received > limit:
            self._spoil_body(
                GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the request body is larger than {limit} bytes")
            )
        elif self._body is not None:
            self._body.feed(data)
        elif not self._raw_remaining:
            self._small_body.append(data)

    def on_message_complete(self) -> None:
        """The message is whole."""
        self._is_complete = True

    # Special fields. Called with the lower-case name.

    def _on_host(self, name: bytes, value: bytes) -> None:
        if self._host is not None:
            self._fault("more than one Host field")
        self._host = value = value.rstrip(b" \t")
        self._pairs.append((name, value))

    def _on_content_length(self, name: bytes, value: bytes) -> None:
        self._is_special = True
        value = value.strip()
        if not value or not _DIGITS.issuperset(value) or len(value) > 18 or self._content_length is not None:
            self._fault("Content-Length is not one number")
        else:
            self._content_length = int(value)

    def _on_transfer_encoding(self, name: bytes, value: bytes) -> None:
        self._is_special = True
        if value.strip().lower() != b"chunked":
            self._refuse_with(ErrorType.NOT_IMPLEMENTED, "only the chunked transfer coding is supported")
        self._has_chunked_body = True

    def _on_expect(self, name: bytes, value: bytes) -> None:
        self._is_special = True
        self._expects_continue = value.strip().lower() == b"100-continue"

    def _on_request_id(self, name: bytes, value: bytes) -> None:
        self._is_special = True
        if _REQUEST_ID.fullmatch(value):
            self._request_id = value

    def _on_forwarding(self, name: bytes, value: bytes) -> None:
        self._is_special = True
        self._forwarding.append((name, value))

    def _on_upgrade(self, name: bytes, value: bytes) -> None:
        self._is_special = True
        self._upgrade = value.strip().lower()

    def _on_connection(self, name: bytes, value: bytes) -> None:
        value = value.strip().lower()
        if value == b"close":
            self._close_after = True
        elif value != b"keep-alive":
            self._is_special = True
            self._close_after = self._close_after or b"close" in value
            self._pairs.append((name, value))

    def _on_hop_by_hop(self, name: bytes, value: bytes) -> None:
        pass

    def _fault(self, message: str) -> None:
        self._refuse_with(ErrorType.BAD_REQUEST, message)

    def _refuse_with(self, error_type: ErrorType, message: str) -> None:
        """Note that this request is refused; what was wrong first is what is answered."""
        self._is_special = True
        if self._refused is None:
            self._refused = GatewayError(error_type, message)

    # Beginning an exchange.

    def _begin(self, head: bytes, rest: bytes) -> bytes:
        """Make an exchange of the head that was read, and serve it; returns what of ``rest`` is left."""
        method = self._parser.get_method()
        pairs, url, host = self._pairs, self._url, self._host
        self._pairs = []
        self._url = b""
        self._host = None
        self._head_bytes = 0
        self._is_head_done = False

        # The constructors' keyword arguments cost as much as all of this: set the attributes instead.
        request = Request.__new__(Request)
        request.method = METHODS.get(method) or self._unusual_method(method)
        request.http_version = "1.1"
        request.body = b""
        request.scheme = self._scheme
        request.client = self._peer
        request.peer_certificate = None
        request.upgrade = None
        headers = request.headers = Headers.__new__(Headers)
        headers.pairs = pairs
        if host is None or host != self._host_bytes:
            self._new_host(host)
        request.host = self._host_text
        path, _, query = url.partition(b"?")
        request.path = path.decode("latin-1")
        request.query = query.decode("latin-1") if query else ""
        adapter = self._adapter
        if (
            # Exactly one space before and after the target, the right version, and nothing before the method.
            not head.startswith(b" HTTP/1.1\r\n", len(method) + 1 + len(url))
            or url[:1] != b"/"
            or len(url) > adapter.max_uri_bytes
            or len(pairs) > adapter.max_headers
            # find(), not "in": bytes try their operand as a number first, and the failure costs as much as all this.
            or url.find(b"#") >= 0
            or head.find(b" \r\n") >= 0
            or head.find(b"\t\r\n") >= 0
        ):
            self._check_rarities(request, head, url)
        if self._is_special:
            self._apply_special(request)
            if (self._content_length or self._has_chunked_body) and self._refused is None:
                rest = self._begin_body(request, rest)
        else:
            request.id = hex(getrandbits(127) | TOP_BIT)[2:]
            request.forwarding = self._known_forwarding
        exchange = self._exchange = Exchange(request, self)
        self._sent = 0
        if not self._in_body:
            self.deadline_s = math.inf
        if self._refused is None:
            self._serve(exchange)
        else:
            self._close_after = True
            adapter.refuse(exchange, self._refused)
        return rest

    def _unusual_method(self, method: bytes) -> str:
        if method == b"CONNECT":
            self._refuse_with(ErrorType.NOT_IMPLEMENTED, "CONNECT is not supported")
        return method.decode("latin-1")

    def _new_host(self, host: bytes | None) -> None:
        """Take over a host that is not the one of the last request (RFC 9112 section 3.2)."""
        if host is None:
            self._lacks_host = self._is_special = True
            host = b""
        elif not _HOST.fullmatch(host):
            self._fault("the Host field is malformed")
            host = b""
        self._host_bytes = host
        self._host_text = host.decode("latin-1").lower()
        self._known_forwarding = self._hop.forwarding(host)

    def _check_rarities(self, request: Request, head: bytes, url: bytes) -> None:
        """Look closer at a head that is unusual, or came in pieces."""
        limits = self._adapter
        pairs = request.headers.pairs
        pairs[:] = [(name, value.rstrip(b" \t")) for name, value in pairs]
        request.http_version = self._parser.get_http_version()
        if request.http_version == "1.0" and not _KEEP_ALIVE.search(head):
            # Closing is always right; a head in pieces that asks for more is not worth the search.
            self._close_after = True
        self._is_special = True
        if len(url) > limits.max_uri_bytes:
            self._refuse_with(ErrorType.URI_TOO_LONG, "the request target is too long")
        if len(pairs) > limits.max_headers:
            self._refuse_with(ErrorType.HEADERS_TOO_LARGE, "the request has too many header fields")
        if url.find(b"#") >= 0:
            self._fault("the request target holds characters that are not allowed there")
        if request.http_version not in ("1.1", "1.0"):
            self._fault(f"HTTP/{request.http_version} is not spoken here")
        if not _REQUEST_LINE.match((self._request_line + head).lstrip(b"\r\n")):
            # The parser lets several spaces and other protocols' names pass.
            self._fault("the request line is malformed")
        if url[:1] == b"/":
            return
        if request.method != "CONNECT" and not (url == b"*" and request.method == "OPTIONS"):
            self._absolute_target(request, url)
            return
        request.path, request.query = ("*" if url == b"*" else "/"), ""

    def _absolute_target(self, request: Request, url: bytes) -> None:
        """Take over an absolute-form target, whose host counts (RFC 9112 section 3.2.2)."""
        match = _ABSOLUTE_FORM.fullmatch(url)
        if match is None or not _HOST.fullmatch(match[1]):
            self._fault("the request target is malformed")
            request.path, request.query = "/", ""
            return
        authority, path, query = match[1], match[2] or b"/", match[3] or b""
        if not self._lacks_host and authority.lower() != (self._host_bytes or b"").lower():
            self._fault("the request target and the Host field name different hosts")
        request.path, request.query = path.decode("latin-1"), query.decode("latin-1")
        self._new_host(authority)
        request.host = self._host_text

    def _apply_special(self, request: Request) -> None:
        """Take over what the special fields said."""
        adapter, hop, pairs = self._adapter, self._hop, request.headers.pairs
        host = self._host_bytes or b""
        if self._lacks_host and request.http_version == "1.1":
            self._fault("the Host field is missing")
        options = _remove_nominated(pairs)
        if self._upgrade is not None and b"upgrade" in options and request.http_version == "1.1":
            request.upgrade = self._upgrade.decode("latin-1")
        pairs[:] = [(b"host", host), *(pair for pair in pairs if pair[0] != b"host")]
        inbound = self._forwarding
        if inbound and hop.peer in adapter.trusted_proxies:
            request.client = forwarded_client(inbound, hop.peer, adapter.trusted_proxies)
            request.scheme = forwarded_scheme(inbound, hop.scheme)
            request.forwarding = hop.continued(host, inbound)
        else:
            request.forwarding = self._known_forwarding if host == self._host_bytes else hop.forwarding(host)
        request.id = self._request_id.decode() if self._request_id else hex(getrandbits(127) | TOP_BIT)[2:]
        if self._has_chunked_body and request.http_version == "1.0":
            self._fault("Transfer-Encoding in HTTP/1.0")
        limit = adapter.max_request_size
        if limit and (self._content_length or 0) > limit:
            self._refuse_with(ErrorType.PAYLOAD_TOO_LARGE, f"the request body is larger than {limit} bytes")

    def _begin_body(self, request: Request, rest: bytes) -> bytes:
        """A body follows: take it whole if it is here already, else stream it; returns what of ``rest`` is left."""
        length = self._content_length
        is_continue_due = self._expects_continue and request.http_version == "1.1" and not rest
        self._expects_continue = False
        self._is_complete = False
        self._tail = b""
        if self._is_parser_spent:
            # llhttp takes what follows an upgrade request for the other protocol, but a body stands in between.
            request.upgrade = None
            self._parser = httptools.HttpRequestParser(self)
            self._is_parser_spent = False
            self._parser.feed_data(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
            self._forget_head()
        if length is not None and len(rest) >= length:
            request.body = rest[:length]
            self._is_parser_spent = True
            return rest[length:]
        if length is None:
            self._in_body = True
            while rest and not self._is_complete and self._refused is None:
                rest = self._feed_chunks(rest)
            pieces, self._small_body = self._small_body, []
            if self._refused is not None or (self._is_complete and not self._pairs):
                self._in_body = False
                request.body = b"".join(pieces)
                return rest
            body = request.body = Body(self, None)
            for piece in pieces:
                body.feed(piece)
            if self._is_complete:
                self._in_body = False
                body.end(self._take_trailers())
                return rest
            self._body = body
        else:
            self._in_body = True
            self._raw_remaining = length
            self._body = request.body = Body(self, length)
        self.deadline_s = time.monotonic() + self._adapter.read_timeout_s
        if is_continue_due:
            # The body is wanted when somebody reads it: only then the client is told to go on.
            self._expects_continue = True
            self._body.pause()
        return rest

    def _forget_head(self) -> None:
        """Drop what a made-up head left behind."""
        self._url, self._pairs, self._host, self._is_head_done = b"", [], None, False

    # gateway.interfaces.BodyProducer: the request body.

    def pause_body(self) -> None:
        """Stop reading from the other side for now."""
        if not self._expects_continue and not self._is_reading_paused:
            self._is_reading_paused = True
            self.deadline_s = math.inf
            self._transport.pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        if self._expects_continue:
            self._expects_continue = False
            self.deadline_s = time.monotonic() + self._adapter.read_timeout_s
            if not self._received and not self._is_lost:
                self._write_now(_CONTINUE)
        elif self._is_reading_paused and not self._is_lost:
            self._is_reading_paused = False
            self.deadline_s = time.monotonic() + self._adapter.read_timeout_s
            self._transport.resume_reading()

    def abort_body(self) -> None:
        """Nobody reads the request body: answer, then close, since the rest of it is in the way."""
        self._close_after = True
        if self._in_body:
            self._end_of_body()

    # gateway.Responder.

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Send an interim response (RFC 9110 section 15.2)."""
        if exchange is self._exchange and exchange.request.http_version == "1.1" and exchange.response is None:
            fields = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
            self._write_now(b"%b%b\r\n" % (status_line(status), fields))

    def respond(self, exchange: Exchange, response: Response) -> None:
        """Send the response."""
        if exchange is not self._exchange:
            response.discard()
            return
        status = response.status
        if response.tunnel is not None:
            self._begin_tunnel(response)
            return
        if (
            type(response.body) is bytes
            and status not in _BODILESS_STATUSES
            and exchange.request.method != "HEAD"
            and not (self._close_after or self._is_special or self._adapter.is_draining)
        ):
            self._respond_whole(exchange, response, response.body)
            return
        if self._in_body:
            # Answered before the request was read: the rest of its body would be taken for the next request.
            self._close_after = True
        has_body = exchange.request.method != "HEAD" and status not in _BODILESS_STATUSES
        body = response.body
        head = self._response_head(exchange, response, has_body=has_body)
        if not has_body:
            if not isinstance(body, bytes):
                body.abort()
            self._write_now(head)
            self._finish()
        elif isinstance(body, bytes):
            self._sent = len(body)
            self._outbox.write(self._transport, head + body)
            self._finish()
        else:
            self._write_now(head)
            self._response_body = body
            body.attach(self)

    def _response_head(self, exchange: Exchange, response: Response, *, has_body: bool) -> bytes:
        """Return the head of a response, and note how its body is framed and whether the connection stays."""
        request, body = exchange.request, response.body
        length = len(body) if isinstance(body, bytes) else body.length
        parts = [STATUS_LINES.get(response.status) or status_line(response.status)]
        for name, value in response.headers.pairs:
            parts += (name, b": ", value, b"\r\n")
        parts.append(f"x-request-id: {request.id}\r\n".encode())
        self._is_chunking = False
        if has_body:
            parts.append(self._framing(length, request.http_version))
        elif request.method == "HEAD" and length and "content-length" not in response.headers:
            parts.append(b"content-length: %d\r\n" % length)
        if self._close_after or self._adapter.is_draining:
            self._close_after = True
            parts.append(b"connection: close\r\n")
        elif request.http_version == "1.0":
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    def _framing(self, length: int | None, http_version: str) -> bytes:
        """Return the field that says where the body ends (RFC 9112 section 6.3)."""
        if length is not None:
            return b"content-length: %d\r\n" % length
        if http_version == "1.1":
            self._is_chunking = True
            return b"transfer-encoding: chunked\r\n"
        # An HTTP/1.0 client knows no chunks: the end of the connection is the end of the body.
        self._close_after = True
        return b""

    def _respond_whole(self, exchange: Exchange, response: Response, body: bytes) -> None:
        """Send an ordinary response that is all there. What most requests get."""
        parts = [STATUS_LINES.get(response.status) or status_line(response.status)]
        for name, value in response.headers.pairs:
            parts += (name, b": ", value, b"\r\n")
        length = len(body)
        parts += (f"x-request-id: {exchange.request.id}\r\ncontent-length: {length}\r\n\r\n".encode(), body)
        self._outbox.write(self._transport, b"".join(parts))
        self._exchange = None
        self._sent = length
        if not self._is_writing_paused:
            self.deadline_s = time.monotonic() + self._adapter.idle_timeout_s
        exchange.finish(length)
        if self._is_reading_paused:
            asyncio.get_running_loop().call_soon(self._read_on)

    def _write_now(self, data: bytes) -> None:
        """Write what must not wait for the end of the turn, behind what does."""
        self._outbox.flush()
        self._transport.write(data)

    # gateway.interfaces.BodySink: the response body.

    def body_data(self, chunk: bytes) -> None:
        """Send a piece of the body."""
        self._sent += len(chunk)
        if self._is_chunking:
            self._transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
        else:
            self._transport.write(chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """The body is whole."""
        body, self._response_body = self._response_body, None
        if self._is_chunking:
            fields = b"".join([b"%b: %b\r\n" % pair for pair in trailers])
            self._transport.write(b"0\r\n%b\r\n" % fields)
        elif body is not None and body.length is not None and body.length != self._sent:
            # Too short or too long for what was promised: only a cut connection tells the client so.
            self._cut(ConnectionError(f"the body has {self._sent} bytes instead of {body.length}"))
            return
        self._finish()

    def body_error(self, error: Exception) -> None:
        """The body broke off: so does the message."""
        self._response_body = None
        self._cut(error)

    def _cut(self, error: Exception) -> None:
        """End the connection without a clean end, so that the client sees that the response is not whole."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.finish(self._sent, error)
        self._transport.abort()

    # Between two exchanges.

    def _finish(self) -> None:
        """The response is sent: go on with the next request, or close."""
        exchange = self._exchange
        self._exchange = None
        if exchange is not None:
            exchange.finish(self._sent)
        if self._body is not None:
            self._body.fail(ConnectionAbortedError("the response was sent before the request was read"))
            self._body = None
            self._close_after = True
        if self._close_after:
            self._linger()
            return
        if self._is_special:
            self._reset_special()
        self._close_after = False
        if self._is_parser_spent:
            self._parser = httptools.HttpRequestParser(self)
            self._is_parser_spent = False
        if not self._is_writing_paused:
            self.deadline_s = time.monotonic() + self._adapter.idle_timeout_s
        if self._is_reading_paused:
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        """Take up what was pipelined. Not called from within an answer: a flood of requests must not nest."""
        if self._exchange is not None or self._is_lost or self._is_lingering or self._is_writing_paused:
            return
        pending, self._pending = self._pending, b""
        self._is_reading_paused = False
        if pending:
            self._feed(pending)
        self._resume_reading()

    def _resume_reading(self) -> None:
        """Read on, unless what was pipelined led to another pause."""
        if not (self._is_reading_paused or self._is_lost or self._transport.is_closing()):
            self._transport.resume_reading()

    def _refuse(self, error: GatewayError) -> None:
        """Answer bytes that are no request, and close."""
        method = self._parser.get_method().decode("latin-1") if self._url else "-"
        path = self._url.partition(b"?")[0].decode("latin-1") or "/"
        request = Request(
            method,
            path if path.startswith("/") else "/",
            headers=Headers([pair for pair in self._pairs if pair[0] == b"accept"]),
            scheme=self._scheme,
            client=self._hop.peer,
            id=hex(getrandbits(127) | TOP_BIT)[2:],
        )
        self._close_after = True
        self._sent = 0
        self._exchange = Exchange(request, self)
        self._adapter.refuse(self._exchange, error)

    def _write_refusal(self, head: bytes) -> None:
        self._write_now(head + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self._linger()

    def _linger(self) -> None:
        """Close, but read and drop a while what the client still sends: a reset would destroy the answer."""
        self._pending = b""
        if self._is_lost:
            return
        self._is_lingering = True
        self._outbox.flush()
        if self._scheme == "https" or not self._transport.can_write_eof():
            self._transport.close()
            return
        self.deadline_s = time.monotonic() + LINGER_S
        self._transport.write_eof()
        if self._is_reading_paused:
            self._is_reading_paused = False
            self._transport.resume_reading()

    def drain(self) -> None:
        """Close if idle; else close after the answer that is under way."""
        self._close_after = True
        if self._exchange is None and not self._head_bytes:
            self._outbox.flush()
            self._transport.close()

    def close(self) -> None:
        """Cut whatever is under way."""
        self._transport.abort()

    # Tunnels.

    def _begin_tunnel(self, response: Response) -> None:
        """Change protocols: from now on bytes go through as they are (RFC 9110 section 7.8)."""
        tunnel = response.tunnel
        assert tunnel is not None  # noqa: S101 - the caller looked
        parts = [status_line(response.status)]
        parts += [b"%b: %b\r\n" % pair for pair in response.headers.pairs]
        parts.append(b"connection: upgrade\r\n\r\n")
        self._write_now(b"".join(parts))
        self._tunnel = tunnel
        self.deadline_s = math.inf
        tunnel.attach(self)
        waiting, self._pending = self._pending, b""
        if waiting:
            tunnel.write(waiting)
        if self._is_reading_paused:
            self._is_reading_paused = False
            self._transport.resume_reading()

    def tunnel_data(self, data: bytes) -> None:
        """Send to the client."""
        self._sent += len(data)
        self._transport.write(data)

    def tunnel_eof(self) -> None:
        """The service sends no more."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def tunnel_lost(self) -> None:
        """The connection to the service is gone."""
        self._transport.close()

    def tunnel_pause(self) -> None:
        """The service is slow: read no more from the client."""
        self._transport.pause_reading()

    def tunnel_resume(self) -> None:
        """The service caught up."""
        self._transport.resume_reading()

    # Fields that are not simply passed on, each with the method that takes it.
    SPECIAL_FIELDS: ClassVar[dict[bytes, Callable[[ClientConnection, bytes, bytes], None]]] = {
        **dict.fromkeys(HOP_BY_HOP, _on_hop_by_hop),
        **dict.fromkeys(FORWARDING_FIELDS, _on_forwarding),
        b"connection": _on_connection,
        b"content-length": _on_content_length,
        b"expect": _on_expect,
        b"host": _on_host,
        b"transfer-encoding": _on_transfer_encoding,
        b"upgrade": _on_upgrade,
        b"x-request-id": _on_request_id,
    }


_SPECIAL = ClientConnection.SPECIAL_FIELDS


def _remove_nominated(pairs: Pairs) -> frozenset[bytes]:
    """Drop the ``Connection`` fields and whatever they nominate (RFC 9110 section 7.6.1); returns the options."""
    options = frozenset(
        option.strip() for name, value in pairs if name == b"connection" for option in value.split(b",")
    )
    if options:
        pairs[:] = [pair for pair in pairs if pair[0] != b"connection" and pair[0] not in options - _KEPT]
    return options


_KEPT = frozenset({b"host", b"x-request-id", b"via", *FORWARDING_FIELDS, b"authorization", b"content-type", b"cookie"})
"""Fields that a client cannot have removed by nominating them: what they carry must reach the service."""


def _malformed(error: httptools.HttpParserError, data: bytes) -> GatewayError:
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        method = data.lstrip(b"\r\n").split(b" ", 1)[0]
        if re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}", method):
            return GatewayError(ErrorType.NOT_IMPLEMENTED, "the method is not supported")
    return GatewayError(ErrorType.BAD_REQUEST, "the request is malformed", detail=f"malformed request: {error}")
