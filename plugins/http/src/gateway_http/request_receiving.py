"""The reading half of a client's connection: heads, out of whatever pieces they arrive in (RFC 9112).

A whole head at once, with the fields of the one before it and without a body: that is most requests, and ``_begin`` has
a short way for it. Everything else takes the long way, ``_begin_closely``, with the same outcome.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

from gateway import ErrorType, Exchange, GatewayError, Headers, Request, Response
from gateway.semantics import count_forwards, new_request_id
from gateway_http.body_receiving import BodyReceiver, malformed
from gateway_http.fields import END_OF_HEAD, Malformed, check_request_fields
from gateway_http.request_fields import NO_FIELDS, RequestFields, read_request_fields
from gateway_http.request_line import (
    RequestLine,
    check_beginning_of_line,
    read_request_line,
    split_ordinary_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway import Origin
    from gateway.forwarding import Hop
    from gateway_http.adapter import HttpAdapter

__all__ = ["RequestReceiver"]

MAX_REMEMBERED_BYTES = 4096
"""Longer header sections are not remembered: an idle connection should cost little."""

_EMPTY_LINES = re.compile(rb"(?:\r\n)+")


class RequestReceiver(BodyReceiver):
    """Reads requests, one after the other.

    Args:
        adapter: The adapter it belongs to: limits and time-outs.
        scheme: ``http`` or ``https``.
        serve: Answers its exchanges.
    """

    __slots__ = (
        "_fields",
        "_hop",
        "_idle_timeout_s",
        "_is_fresh",
        "_is_writing_paused",
        "_origin",
        "_origin_host",
        "_scheme",
        "_serve",
        "_short_head_bytes",
        "_unsent",
    )

    _hop: Hop
    _origin: Origin

    def __init__(self, adapter: HttpAdapter, scheme: str, serve: Callable[[Exchange], None]) -> None:
        super().__init__(adapter)
        self._serve = serve
        self._idle_timeout_s = adapter.idle_timeout_s
        self._short_head_bytes = min(adapter.max_header_bytes, adapter.max_uri_bytes)
        self._scheme = scheme
        self._fields = NO_FIELDS
        self._origin_host: bytes | None = None
        self._is_writing_paused = False
        self._is_fresh = True  # no request came yet
        self._unsent = 0

    def _hand_over(self, data: bytes) -> bool:
        """Look whether a connection begins with what somebody else takes over.

        Args:
            data: Everything that came.

        Returns:
            Whether there is nothing more to do here, for now at least.
        """
        raise NotImplementedError

    def _leave(self) -> None:
        """Close, as soon as the client has read its answer."""
        raise NotImplementedError

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

    # Heads.

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
            self._refuse(malformed(error))
        except GatewayError as error:
            self._refuse(error)

    def _begin(self, head: bytes) -> None:
        """Serve a head. What came behind it is in ``_received``."""
        line, _, section = head.partition(b"\r\n")
        asked = split_ordinary_line(line)
        fields = self._fields
        if asked is None or len(head) > self._short_head_bytes:
            self._begin_closely(head, line, section)
            return
        if section != fields.section:
            try:
                fields = self._read_fields(section)
            except Malformed as error:
                self._refuse(malformed(error))
                return
        if not fields.is_plain:
            self._begin_closely(head, line, section, fields)
            return
        # The constructors' keyword arguments cost more than all of this: set the attributes instead.
        request = Request.__new__(Request)
        request.method, request.path, request.query = asked
        headers = request.headers = Headers.__new__(Headers)
        headers.section = fields.shared
        headers.lines = b""
        request.body = b""
        request.origin = fields.origin
        request.id = fields.request_id or new_request_id()
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
            self._refuse(malformed(error))
            return
        except GatewayError as error:
            self._refuse(error)
            return
        request = Request(asked.method, asked.path, query=asked.query, headers=Headers(fields.pairs.copy()))
        request.id = fields.request_id or new_request_id()
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
            request = Request("-", "/", id=new_request_id(), scheme=self._scheme, client=self._hop.peer)
            exchange = Exchange(request, self)
        self._exchange = exchange
        self._adapter.refuse(exchange, error)

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

    def _hold(self, data: bytes) -> None:
        """Keep what a client sends while its last request is being answered, and read no more of it."""
        self._received += data
        self._pause_reading()

    # Between two exchanges.

    def _finish(self) -> None:
        """The response is written: go on with the next request, or close."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.finish(self._sent_bytes)
            self.deadline_s = exchange.started_s + exchange.duration_s + self._idle_timeout_s
        if self._request_body is not None:
            # Answered before it was read: the rest of it would be taken for the next request.
            self._spoil(GatewayError(ErrorType.BAD_REQUEST, "the response was sent before the request was read"))
        if self._closes:
            self._leave()
            return
        self._unsent = 0
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


def _too_large() -> GatewayError:
    return GatewayError(ErrorType.HEADERS_TOO_LARGE, "the request head is too large")
