"""One connection to an instance: a request out, its response in, then the next (RFC 9112).

```
send ─▶ [request on the wire] ─▶ data_received ─▶ _receive_head ─▶ waiter.set_result(Response) ─▶ [body.feed … body.end]
  ▲                                                                                                      │
  └───────────────────────────────── pool.take_back ◀── _complete ◀──────────────────────────────────────┘
```

A whole response at once, with the fields of the one before it: ``data_received`` has a short way for it.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError, Headers, Response
from gateway.dialing import too_slow
from gateway_http.chunked import ChunkedDecoder, TrailersTooLarge
from gateway_http.fields import END_OF_HEAD, Malformed, check_response_fields
from gateway_http.request_sending import RequestSender
from gateway_http.response_fields import (
    NO_FIELDS,
    ORDINARY_STATUSES,
    ResponseFields,
    check_beginning_of_line,
    read_response_fields,
    read_status_line,
)
from gateway_http.tunnel import ServiceTunnel

if TYPE_CHECKING:
    from gateway import Exchange
    from gateway_http.pool import InstancePool

__all__ = ["ServiceConnection", "StaleConnection"]

MAX_INTERIM_RESPONSES = 16
"""More 1xx responses than this are taken for a service gone wrong."""

MAX_REMEMBERED_BYTES = 4096
"""Longer header sections are not remembered."""

CONTINUE = 100
SWITCHING_PROTOCOLS = 101
FIRST_FINAL_STATUS = 200
NO_CONTENT = 204
NOT_MODIFIED = 304


_NEVER = math.inf
_ordinary_status = ORDINARY_STATUSES.get


class StaleConnection(Exception):
    """A kept connection was closed by the service before the response began; the connector tries another."""


class ServiceConnection(RequestSender):
    """The protocol of one connection to an instance; also the producer of response bodies.

    Args:
        pool: The pool it belongs to and returns to.

    Attributes:
        is_fresh: Whether it has not served a request yet.
    """

    __slots__ = (
        "_body",
        "_can_stay",
        "_decoder",
        "_fields",
        "_instance",
        "_interim_responses",
        "_received",
        "_remaining",
        "is_fresh",
    )

    def __init__(self, pool: InstancePool) -> None:
        super().__init__(pool)
        # Per connection.
        self._instance = pool.instance
        self._fields = NO_FIELDS
        self.is_fresh = True
        # Per response that arrives in pieces, or after interim ones.
        self._received = b""
        self._interim_responses = 0
        self._body: Body | None = None
        self._decoder: ChunkedDecoder | None = None
        self._remaining: int | None = None  # None is until the connection is closed
        self._can_stay = True

    # The connector's side.

    def abandon(self, exchange: Exchange) -> None:
        """Break off what is under way for ``exchange``, if it still is."""
        if self._exchange is exchange:
            self.abort()

    def abort(self) -> None:
        """Give up whatever is under way and close."""
        self._exchange = self._waiter = self._body = None
        self.deadline_s = math.inf
        self._stop_sending()
        self._transport.abort()

    # asyncio's side.

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        waiter, exchange, connector = self._waiter, self._exchange, self.connector
        if waiter is None or exchange is None:
            self._receive_body(data)
            return
        head, end, body = data.partition(END_OF_HEAD)
        line, _, lines = head.partition(b"\r\n")
        status = _ordinary_status(line)
        if status is None or not end or len(head) + 4 > connector.max_response_header_bytes or self._received:
            self._receive_head(self._received + data)
            return
        fields = connector.last_head.fields
        if lines != fields.lines:
            try:
                fields = self._read_fields(data[len(line) + 2 : len(head) + 4])
            except Malformed as error:
                self._fail(_malformed(error))
                return
        if (
            not fields.is_plain
            or len(body) != fields.content_length
            or exchange.request.method == "HEAD"
            or self._request_body is not None
        ):
            self._can_stay = b"close" not in fields.options
            self._begin_response(status, fields, body)
            return
        # The constructors' keyword arguments cost more than all of this: set the attributes instead.
        response = Response.__new__(Response)
        response.status = status
        headers = response.headers = Headers.__new__(Headers)
        headers.section = fields.shared
        headers.lines = b""
        response.body = body
        response.tunnel = None
        self._waiter = self._exchange = None
        self.is_fresh = False
        self._interim_responses = 0
        instance = self._instance
        if instance.free_connection is None and not connector.asks_pools:
            # What the pool would do, without a look at it: of a thousand pools none is at hand.
            self.deadline_s = connector.idle_until_s
            instance.free_connection = self
        else:
            self.pool.take_back(self)
        waiter.set_result(response)

    def eof_received(self) -> bool:
        """They send no more; returns whether this side stays open."""
        self.pool.withdraw(self)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection; asyncio calls it once."""
        self.deadline_s = math.inf
        self.pool.forget(self)
        waiter, body = self._waiter, self._body
        if waiter is not None:
            is_stale = not self.is_fresh and not self._received and not self._interim_responses
            self._waiter = self._exchange = None
            self._stop_sending()
            waiter.set_error(
                StaleConnection() if is_stale else _bad_gateway(f"closed the connection without an answer ({exc})")
            )
        elif body is not None and self._decoder is None and self._remaining is None and exc is None:
            self._complete()
            body.end()
        elif body is not None:
            self._fail(_bad_gateway(f"broke off in the middle of the response ({exc})"))

    def deadline_passed(self) -> None:
        """Give the instance up, it is too slow; or the connection, it was idle for long enough."""
        if self._exchange is None:
            self.deadline_s = math.inf
            self.pool.withdraw(self)
            self._transport.close()
            return
        self._fail(too_slow(self.pool.instance, f"was silent for {self._timeout_s} s"))

    # The response's head.

    def _receive_head(self, data: bytes) -> None:
        """Take what arrived since the request was sent, or since the last interim response."""
        while self._waiter is not None:
            try:
                head, data = self._take_head(data)
                if head is None:
                    return
                status, is_old, fields = self._read_head(head)
            except Malformed as error:
                self._fail(_malformed(error))
                return
            if status == SWITCHING_PROTOCOLS:
                self._switch(fields, data)
            elif status < FIRST_FINAL_STATUS:
                self._inform(status, fields)
                self._received = b""
                if data:
                    continue
            else:
                self._can_stay = b"close" not in fields.options and (not is_old or b"keep-alive" in fields.options)
                self._begin_response(status, fields, data)
            return

    def _take_head(self, data: bytes) -> tuple[bytes | None, bytes]:
        """Return the head that ``data`` begins with and what is behind it; keep it if it is not whole yet.

        Raises:
            Malformed: If it is too large, or in no order however it goes on.
        """
        end = data.find(END_OF_HEAD)
        if (end if end >= 0 else len(data)) > self.connector.max_response_header_bytes:
            raise Malformed("the head is too large")
        if end >= 0:
            return data[: end + 4], data[end + 4 :]
        self._received = data
        line, end_of_line, section = data.partition(b"\r\n")
        if end_of_line:
            read_status_line(line)
            check_response_fields(section)
        else:
            check_beginning_of_line(line)
        return None, b""

    def _read_head(self, head: bytes) -> tuple[int, bool, ResponseFields]:
        """Return the status, whether the version is 1.0, and the fields.

        Raises:
            Malformed: If it is not in order.
        """
        line, _, section = head.partition(b"\r\n")
        status, is_old = read_status_line(line)
        fields = self._read_fields(section)
        if is_old and fields.is_chunked:
            raise Malformed("Transfer-Encoding in HTTP/1.0")  # RFC 9112 section 6.1: the framing is faulty
        return status, is_old, fields

    def _read_fields(self, section: bytes) -> ResponseFields:
        """Return what a header section says.

        Raises:
            Malformed: If it is not in order.
        """
        fields = self._fields
        if section != fields.section:
            fields = read_response_fields(section)
            if fields.keep_alive_s is not None:
                self.pool.shorten_idle(fields.keep_alive_s)
        if fields.is_plain and len(section) <= MAX_REMEMBERED_BYTES:
            self._fields = fields
            if fields.keep_alive_s is None:  # which says something of this instance's connections
                self.connector.last_head.fields = fields
        return fields

    def _inform(self, status: int, fields: ResponseFields) -> None:
        """Pass an interim response on (RFC 9110 section 15.2)."""
        self._interim_responses += 1
        if self._interim_responses > MAX_INTERIM_RESPONSES:
            self._fail(_bad_gateway("sent too many interim responses"))
        elif self._exchange is not None and status != CONTINUE:
            # 100 is for us: the client got its own when its body was asked for.
            self._exchange.responder.inform(self._exchange, status, fields.pairs)

    def _begin_response(self, status: int, fields: ResponseFields, data: bytes) -> None:
        """Hand a response to the exchange, with what of its body is here."""
        exchange, waiter = self._exchange, self._waiter
        assert exchange is not None  # noqa: S101 - the caller looked
        assert waiter is not None  # noqa: S101 - the caller looked
        self._received = b""
        self._decoder, self._remaining = None, fields.content_length
        pairs = fields.pairs.copy()
        if exchange.request.method == "HEAD" or status in (NO_CONTENT, NOT_MODIFIED):
            # RFC 9112 section 6.3: it has no content, whatever its fields say; they tell of the content it would have.
            if fields.content_length is not None and status != NO_CONTENT:
                pairs.append((b"content-length", b"%d" % fields.content_length))
            self._remaining = 0
        elif fields.is_chunked:
            limit = self.connector.max_response_header_bytes
            self._decoder = ChunkedDecoder(limit, limit)
        try:
            content, is_complete = self._decode(data)
        except GatewayError as error:
            self._fail(error)
            return
        self._waiter = None
        response = Response(status, headers=Headers(pairs))
        trailers = self._decoder.trailers if self._decoder is not None else []
        if is_complete and not trailers:
            response.body = content
            self._complete()
            waiter.set_result(response)
            return
        body = self._body = response.body = Body(self, fields.content_length)
        self._await_instance()
        if content:
            body.feed(content)
        if is_complete:
            self._complete()
            body.end(trailers)
        waiter.set_result(response)

    # The response's body.

    def _receive_body(self, data: bytes) -> None:
        body = self._body
        if body is None:
            # Nobody asked: whatever this is, the next response must not begin with it.
            self.pool.withdraw(self)
            self._transport.abort()
            return
        if self.deadline_s != _NEVER:  # as it is while reading is paused, and where the instance may rest
            self.deadline_s = time.monotonic() + self._timeout_s
        decoder = self._decoder
        if decoder is not None and (content := decoder.small_chunk(data)):
            body.feed(content)  # an event: there are more of them than of all other pieces
            return
        try:
            content, is_complete = self._decode(data)
        except GatewayError as error:
            self._fail(error)
            return
        if content:
            body.feed(content)
        if is_complete and self._body is body:
            trailers = self._decoder.trailers if self._decoder is not None else []
            self._complete()
            body.end(trailers)

    def _decode(self, data: bytes) -> tuple[bytes, bool]:
        """Return the content in ``data``, and whether the body ends with it.

        Raises:
            GatewayError: If the body is malformed.
        """
        decoder = self._decoder
        if decoder is None:
            remaining = self._remaining
            if remaining is None:
                return data, False
            if len(data) > remaining:
                # What a split response looks like (RFC 9112 section 11.1): nothing behind it is believed.
                self._can_stay = False
                data = data[:remaining]
            self._remaining = remaining - len(data)
            return data, not self._remaining
        try:
            content = decoder.decode(data)
        except (Malformed, TrailersTooLarge) as error:
            raise _bad_gateway(f"sent a malformed body: {error}") from error
        if decoder.rest:
            self._can_stay = False
        return content, decoder.is_complete

    def _complete(self) -> None:
        """The response is here whole: return to the pool, or close."""
        can_stay = self._can_stay and self._request_body is None and not self._transport.is_closing()
        self._body = self._decoder = self._exchange = None
        self._interim_responses = 0
        self._can_stay = True
        self.is_fresh = False
        self._resume_reading()
        # Answered before it read everything: the connection cannot be used again, the answer can.
        self._stop_sending()
        if can_stay:
            self.pool.take_back(self)
        else:
            self.deadline_s = math.inf
            self._transport.close()

    def _fail(self, error: GatewayError) -> None:
        """Break off what is under way and close the connection."""
        waiter, body = self._waiter, self._body
        self.abort()
        if waiter is not None:
            waiter.set_error(error)
        elif body is not None:
            body.fail(error)

    def _resume_reading(self) -> None:
        if self._is_reading_paused:
            self._is_reading_paused = False
            self._transport.resume_reading()

    # gateway.body.BodyProducer: the response body.

    def pause_body(self) -> None:
        """Read no more for now; the instance cannot be too slow meanwhile."""
        if not self._is_reading_paused:
            self._is_reading_paused = True
            self.deadline_s = math.inf
            self._transport.pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        self._resume_reading()
        self._await_instance()

    def abort_body(self) -> None:
        """Nobody wants the rest."""
        self.abort()

    def set_idle_timeout(self, timeout_s: float | None) -> None:
        """Allow the instance so much silence in this body; ``None`` is as much as it likes."""
        self._timeout_s = math.inf if timeout_s is None else timeout_s
        self._await_instance()

    # Upgrades.

    def _switch(self, fields: ResponseFields, rest: bytes) -> None:
        """The service changed protocols (RFC 9110 section 7.8)."""
        exchange, waiter = self._exchange, self._waiter
        assert exchange is not None  # noqa: S101 - the caller looked
        assert waiter is not None  # noqa: S101 - the caller looked
        wanted = exchange.request.upgrade
        if wanted is None or wanted not in exchange.route.allow_upgrade or wanted.encode() not in fields.upgrade:
            self._fail(_bad_gateway("changed protocols without being asked to"))
            return
        self._exchange = self._waiter = None
        self.deadline_s = math.inf
        tunnel = ServiceTunnel(self._transport, rest, lambda: self.pool.forget(self))
        self._transport.set_protocol(tunnel)
        headers = Headers([*fields.pairs, (b"upgrade", wanted.encode("latin-1"))])
        waiter.set_result(Response(SWITCHING_PROTOCOLS, headers=headers, tunnel=tunnel))


def _malformed(error: Malformed) -> GatewayError:
    return _bad_gateway(f"sent a malformed response: {error}")


def _bad_gateway(what: str) -> GatewayError:
    return GatewayError(ErrorType.BAD_GATEWAY, "the service answered badly", detail=f"the instance {what}")
