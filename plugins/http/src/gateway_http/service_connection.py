"""One connection to an instance: a request out, its response in, then the next (RFC 9112).

```
send ──▶ [request on the wire] ──▶ data_received ──▶ parser ──▶ waiter.set_result(Response) ──▶ body.feed … body.end
```
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

import httptools

from gateway import Body, ErrorType, GatewayError, Headers, Response, Waiter
from gateway_http.fields import BODILESS_METHODS, HOP_BY_HOP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import Exchange
    from gateway_http.pool import InstancePool

__all__ = ["ServiceConnection", "StaleConnection"]

MAX_INTERIM_RESPONSES = 16
"""More 1xx responses than this are taken for a service gone wrong."""

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_UNFORWARDED = HOP_BY_HOP | _FRAMING


class StaleConnection(Exception):
    """A kept connection was closed by the service before the response began."""


class ServiceConnection(asyncio.Protocol):
    """The protocol of one connection to an instance; also the sink of request bodies and producer of response bodies.

    Args:
        pool: The pool it belongs to and returns to.

    Attributes:
        is_fresh: Whether it has not served a request yet.
        is_usable: Whether it can take a request.
        deadline_s: When the instance is given up.
    """

    __slots__ = (
        "_body",
        "_chunks",
        "_content_length",
        "_exchange",
        "_has_chunks",
        "_has_response",
        "_head",
        "_head_bytes",
        "_interim_responses",
        "_is_chunked",
        "_is_closing",
        "_is_complete",
        "_is_head_done",
        "_is_malformed",
        "_is_reading_paused",
        "_is_sending",
        "_is_special",
        "_options",
        "_outbox",
        "_pairs",
        "_parser",
        "_pool",
        "_raw_remaining",
        "_request_body",
        "_status",
        "_timeout_s",
        "_transport",
        "_tunnel",
        "_waiter",
        "deadline_s",
        "is_fresh",
        "is_usable",
    )

    _transport: asyncio.Transport

    def __init__(self, pool: InstancePool) -> None:
        # Per connection.
        self._pool = pool
        self._outbox = pool.outbox
        self._parser = httptools.HttpResponseParser(self)
        self.is_fresh = True
        self.is_usable = False
        self.deadline_s = math.inf
        self._tunnel: ServiceTunnel | None = None
        self._is_reading_paused = False
        # Per exchange.
        self._exchange: Exchange | None = None
        self._waiter: Waiter[Response] | None = None
        self._timeout_s: float | None = None
        self._request_body: Body | None = None
        self._is_chunked = False
        self._is_sending = False
        self._body: Body | None = None
        self._status = 0
        self._is_special = True
        self._reset_response()

    def _reset_response(self) -> None:
        self._pairs: list[tuple[bytes, bytes]] = []
        self._content_length: int | None = None
        self._has_response = False
        self._is_head_done = False
        self._is_complete = False
        if self._is_special:
            self._reset_special()

    def _reset_special(self) -> None:
        """Forget what only some responses have."""
        self._is_special = False
        self._chunks: list[bytes] = []
        self._head: list[tuple[bytes, bytes]] = []
        self._options = b""
        self._head_bytes = 0
        self._interim_responses = 0
        self._raw_remaining = 0
        self._is_closing = False
        self._is_malformed = False
        self._has_chunks = False

    # The connector's side.

    def send(self, exchange: Exchange, timeout_s: float | None) -> Waiter[Response]:
        """Send the request; the waiter delivers the response, a ``GatewayError`` or ``StaleConnection``.

        Args:
            exchange: What to send.
            timeout_s: Seconds to the response head, and between pieces of its body; ``None`` is no limit.
        """
        request = exchange.request
        route = exchange.route
        self.is_usable = False
        self._exchange = exchange
        self._timeout_s = timeout_s
        if timeout_s is not None:
            self.deadline_s = time.monotonic() + timeout_s
        waiter: Waiter[Response] = Waiter()
        self._waiter = waiter
        method, query, body = request.method, request.query, request.body
        target = f"{exchange.upstream_path}?{query}" if query else exchange.upstream_path
        parts = [f"{method} {target} HTTP/1.1\r\nx-request-id: {request.id}\r\n".encode("latin-1")]
        pairs = request.headers.pairs
        if not route.preserve_host:
            authority = self._pool.instance.authority.encode()
            pairs = [(b"host", authority), *(pair for pair in pairs if pair[0] != b"host")]
        for name, value in pairs:
            parts += (name, b": ", value, b"\r\n")
        parts.append(request.forwarding.block)
        if request.upgrade is not None and request.upgrade in route.allow_upgrade:
            parts.append(b"connection: upgrade\r\nupgrade: %b\r\n" % request.upgrade.encode("latin-1"))
        if not isinstance(body, bytes):
            self._send_streaming(parts, body)
            return waiter
        if method == "HEAD":
            self._is_special = True
        if body or method not in BODILESS_METHODS:
            parts.append(b"content-length: %d\r\n\r\n" % len(body))
            parts.append(body)
        else:
            parts.append(b"\r\n")
        self._outbox.write(self._transport, b"".join(parts))
        return waiter

    def _send_streaming(self, parts: list[bytes], body: Body) -> None:
        self._is_chunked = body.length is None
        parts.append(
            b"transfer-encoding: chunked\r\n\r\n"
            if body.length is None
            else b"content-length: %d\r\n\r\n" % body.length
        )
        self._outbox.flush()
        self._transport.write(b"".join(parts))
        self._request_body = body
        self._is_sending = self._is_special = True
        body.attach(self)

    def abort(self) -> None:
        """Give up whatever is under way and close."""
        self._exchange = None
        self._waiter = None
        self._stop_sending()
        self._transport.abort()

    # gateway.interfaces.BodySink: the request body.

    def body_data(self, chunk: bytes) -> None:
        """Send a piece of the body."""
        if self._is_sending:
            if self._is_chunked:
                self._transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
            else:
                self._transport.write(chunk)
            if self._timeout_s is not None and not self._has_response:
                self.deadline_s = time.monotonic() + self._timeout_s

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """The body is whole."""
        if self._is_sending and self._is_chunked:
            fields = b"".join([b"%b: %b\r\n" % pair for pair in trailers])
            self._transport.write(b"0\r\n%b\r\n" % fields)
        self._is_sending = False
        self._request_body = None
        if self._is_complete:
            self._release()

    def body_error(self, error: Exception) -> None:
        """The body broke off: so does the message."""
        self._request_body = None
        self._is_sending = False
        # The service must not take what it has for the whole: only a cut connection tells it so.
        if not isinstance(error, GatewayError):
            error = GatewayError(ErrorType.BAD_REQUEST, "the request body broke off", detail=f"client: {error}")
        self._fail(error)

    def _stop_sending(self) -> None:
        body, self._request_body = self._request_body, None
        self._is_sending = False
        if body is not None:
            body.abort()

    def pause_writing(self) -> None:
        """The other side is slow: have the source of what is being sent wait."""
        if self._tunnel is not None:
            self._tunnel.pause_client()
        elif self._request_body is not None:
            self._request_body.pause()

    def resume_writing(self) -> None:
        """The other side caught up."""
        if self._tunnel is not None:
            self._tunnel.resume_client()
        elif self._request_body is not None:
            self._request_body.resume()

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a connection; asyncio calls it once."""
        self._transport = transport  # type: ignore[assignment]  # connections are stream sockets
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        if self._tunnel is not None:
            self._tunnel.receive(data)
            return
        if self._exchange is None:
            # Nobody asked: whatever this is, the next response must not begin with it.
            self.is_usable = False
            self._transport.abort()
            return
        if self._raw_remaining:
            self._take_raw(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._fail(_bad_gateway(f"sent a malformed response: {error}"))
            return
        if self._has_response:
            if self._is_complete:
                self._complete()
            else:
                self._extend_deadline()
        elif not self._is_head_done:
            self._await_head(len(data))
        elif self._is_complete and not self._is_special:
            self._deliver_whole()
        else:
            self._deliver()

    def _take_raw(self, data: bytes) -> None:
        """Take a piece of a body whose length is known and validated: no parser needed."""
        if len(data) > self._raw_remaining:
            # Bytes behind the response: whatever they are, the next response must not begin with them.
            self._is_closing = self._is_special = True
            data = data[: self._raw_remaining]
        self._raw_remaining -= len(data)
        body = self._body
        assert body is not None  # noqa: S101 - set with _raw_remaining
        if self._raw_remaining:
            self._extend_deadline()
            body.feed(data)
        else:
            self._parser = httptools.HttpResponseParser(self)
            body.feed(data)
            self._complete()

    def _await_head(self, received_bytes: int) -> None:
        """The head is not whole yet."""
        self._is_special = True
        self._head_bytes += received_bytes
        if self._head_bytes > self._pool.max_response_header_bytes:
            self._fail(_bad_gateway("sent a response head that is too large"))

    def _extend_deadline(self) -> None:
        """Something came, so the instance gets its time again, unless it is us who do not read."""
        if self._timeout_s is not None and not self._is_reading_paused:
            self.deadline_s = time.monotonic() + self._timeout_s

    def eof_received(self) -> bool:
        """The other side sends no more; returns whether this side stays open."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection; asyncio calls it once."""
        was_usable, self.is_usable = self.is_usable, False
        self.deadline_s = math.inf
        self._pool.forget(self, was_idle=was_usable)
        if self._tunnel is not None:
            self._tunnel.lost()
            return
        if self._exchange is None:
            return
        if not self._has_response:
            self._stop_sending()
            waiter, self._waiter = self._waiter, None
            self._exchange = None
            if waiter is not None:
                is_stale = not self.is_fresh and not self._head_bytes and not self._interim_responses
                waiter.set_error(
                    StaleConnection() if is_stale else _bad_gateway(f"closed the connection without an answer ({exc})")
                )
        elif self._body is not None and self._is_until_close() and exc is None:
            self._body.end()
        else:
            self._fail(_bad_gateway(f"broke off in the middle of the response ({exc})"))

    def deadline_passed(self) -> None:
        """Give the instance up: it is too slow."""
        self._fail(
            GatewayError(
                ErrorType.UPSTREAM_TIMEOUT,
                "the service did not answer in time",
                detail=f"{self._pool.label} was silent for {self._timeout_s} s",
            )
        )

    # The parser's side.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head, or of the trailer."""
        name = name.lower()
        if name in _UNFORWARDED:
            if name == b"content-length":
                self._content_length = int(value)
            elif name == b"connection":
                if value != b"keep-alive":
                    self._is_special = True
                    self._options += value.lower() + b","
            elif name == b"transfer-encoding":
                self._is_special = True
                if value.strip().lower() != b"chunked":
                    self._is_malformed = True
                self._has_chunks = True
        else:
            self._pairs.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._is_complete:
            # A second response behind the first, which is what a split response looks like: none of it is delivered.
            self._is_closing = self._is_special = True
            self._pairs = []
            return
        parser = self._parser
        status = self._status = parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._inform(status)
        else:
            self._is_head_done = True
            # What comes after the head, if anything, are trailers.
            self._head, self._pairs = self._pairs, []
            if status == 304:
                self._is_special = True
            if not parser.should_keep_alive():
                self._is_closing = self._is_special = True

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body that the parser took apart."""
        body = self._body
        if self._is_complete:
            return
        if body is None:
            self._chunks.append(data)
        else:
            body.feed(data)

    def on_message_complete(self) -> None:
        """The message is whole."""
        if self._is_head_done:
            self._is_complete = True

    # From here to the exchange.

    def _deliver_whole(self) -> None:
        """All of an ordinary response is there: hand it over, and be ready for the next. What most requests get."""
        waiter = self._waiter
        assert waiter is not None  # noqa: S101 - nothing was delivered yet
        response = Response.__new__(Response)
        response.status = self._status
        headers = response.headers = Headers.__new__(Headers)
        headers.pairs = self._head
        chunks = self._chunks
        response.body = chunks.pop() if len(chunks) == 1 else self._joined(chunks)
        response.tunnel = None
        self._waiter = self._exchange = None
        self._pairs = []
        self._content_length = None
        self._is_head_done = self._is_complete = self.is_fresh = False
        self.is_usable = True
        # Before the exchange goes on: the next request of this very turn can use this connection.
        self._pool.take_back(self)
        waiter.set_result(response)

    def _inform(self, status: int) -> None:
        """Pass an interim response on (RFC 9110 section 15.2)."""
        pairs, self._pairs = self._pairs, []
        self._is_special = True
        self._interim_responses += 1
        if self._interim_responses > MAX_INTERIM_RESPONSES:
            self._is_closing = self._is_malformed = True
        elif self._exchange is not None and status != 100:
            # 100 was answered when the client's body was asked for.
            self._exchange.responder.inform(self._exchange, status, pairs)

    def _deliver(self) -> None:
        """The head is there: hand the response to the exchange."""
        exchange, waiter = self._exchange, self._waiter
        assert exchange is not None  # noqa: S101 - the caller looked
        assert waiter is not None  # noqa: S101 - nothing was delivered yet
        if self._is_malformed:
            self._fail(_bad_gateway("used a transfer coding that was not asked for, or too many interim responses"))
            return
        self._waiter = None
        self._has_response = True
        pairs, status = self._head, self._status
        if self._options:
            pairs = self._without_nominated(pairs)
        if exchange.request.method == "HEAD" or status == 304:
            if self._content_length is not None:
                pairs.append((b"content-length", b"%d" % self._content_length))
            if exchange.request.method == "HEAD" and not self._is_complete:
                self._parser = httptools.HttpResponseParser(self)
                self._is_complete = True
        response = Response.__new__(Response)
        response.status = status
        headers = response.headers = Headers.__new__(Headers)
        headers.pairs = pairs
        response.tunnel = None
        if self._is_complete:
            chunks = self._chunks
            response.body = chunks.pop() if len(chunks) == 1 else self._joined(chunks)
            self._complete()
        else:
            response.body = self._begin_body()
        waiter.set_result(response)

    def _joined(self, chunks: list[bytes]) -> bytes:
        joined = b"".join(chunks)
        chunks.clear()
        return joined

    def _begin_body(self) -> Body:
        length = self._content_length
        body = self._body = Body(self, length)
        self._is_special = True
        chunks, self._chunks = self._chunks, []
        for chunk in chunks:
            body.feed(chunk)
        if length is not None:
            # From here on the parser is not needed: the length is validated.
            self._raw_remaining = length - body.received_bytes
        if self._timeout_s is not None:
            self.deadline_s = time.monotonic() + self._timeout_s
        return body

    def _without_nominated(self, pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        options = {option.strip() for option in self._options.split(b",")} - {b"", b"keep-alive", b"close"}
        return [pair for pair in pairs if pair[0] not in options] if options else pairs

    def _is_until_close(self) -> bool:
        return self._content_length is None and not self._has_chunks

    def _complete(self) -> None:
        """The response was received whole."""
        self.deadline_s = math.inf
        self._is_complete = True
        body, self._body = self._body, None
        trailers = self._pairs
        if self._is_sending:
            # Answered before it read everything: the connection cannot be used again, the answer can.
            self._is_closing = self._is_special = True
            self._stop_sending()
        self._release()
        if body is not None:
            body.end(trailers)

    def _release(self) -> None:
        """Return to the pool, or close."""
        can_stay = not self._is_closing
        self._exchange = None
        self.is_fresh = False
        self._reset_response()
        if can_stay and not self._transport.is_closing():
            self.is_usable = True
            self._pool.take_back(self)
        else:
            self._transport.close()

    def _fail(self, error: GatewayError) -> None:
        """Break off what is under way and close the connection."""
        self.deadline_s = math.inf
        self._exchange = None
        self._stop_sending()
        self._transport.abort()
        waiter, self._waiter = self._waiter, None
        body, self._body = self._body, None
        if waiter is not None:
            waiter.set_error(error)
        elif body is not None:
            body.fail(error)

    # gateway.interfaces.BodyProducer: the response body.

    def pause_body(self) -> None:
        """Stop reading from the other side for now."""
        if not self._is_reading_paused:
            self._is_reading_paused = True
            self.deadline_s = math.inf
            self._transport.pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        if self._is_reading_paused:
            self._is_reading_paused = False
            if self._timeout_s is not None:
                self.deadline_s = time.monotonic() + self._timeout_s
            self._transport.resume_reading()

    def abort_body(self) -> None:
        """Nobody wants the rest of the body."""
        self._body = None
        self.abort()

    # Tunnels.

    def _switch(self, rest: bytes) -> None:
        """The service changed protocols (101)."""
        exchange, waiter = self._exchange, self._waiter
        if exchange is None or waiter is None or exchange.request.upgrade not in exchange.route.allow_upgrade:
            self._fail(_bad_gateway("changed protocols without being asked to"))
            return
        self._exchange = self._waiter = None
        self.deadline_s = math.inf
        pairs = [pair for pair in self._pairs if pair[0] != b"connection"]
        upgrade = (exchange.request.upgrade or "").encode("latin-1")
        self._tunnel = ServiceTunnel(self._transport, rest)
        waiter.set_result(Response(101, headers=Headers([*pairs, (b"upgrade", upgrade)]), tunnel=self._tunnel))


class ServiceTunnel:
    """Implements ``gateway.exchange.Tunnel``: bytes both ways over a connection that changed protocols."""

    __slots__ = ("_client", "_early", "_is_lost", "_transport", "on_close")

    def __init__(self, transport: asyncio.Transport, early: bytes) -> None:
        self.on_close: Callable[[], None] | None = None
        self._transport = transport
        self._early = early
        self._client: TunnelEnd | None = None
        self._is_lost = False

    @property
    def is_over(self) -> bool:
        """Whether the connection to the service is gone."""
        return self._is_lost

    def attach(self, client: TunnelEnd) -> None:
        """Send to ``client`` from now on, beginning with what came early."""
        self._client = client
        early, self._early = self._early, b""
        if early:
            client.tunnel_data(early)
        if self._is_lost:
            client.tunnel_lost()

    def write(self, data: bytes) -> None:
        """Send to the service."""
        self._transport.write(data)

    def write_eof(self) -> None:
        """The client sends no more."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def pause(self) -> None:
        """The client is slow: read no more from the service."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """The client caught up."""
        self._transport.resume_reading()

    def abort(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    # The connection's side.

    def receive(self, data: bytes) -> None:
        """Pass on what the service sent."""
        if self._client is None:
            self._early += data
        else:
            self._client.tunnel_data(data)

    def pause_client(self) -> None:
        """The service is slow."""
        if self._client is not None:
            self._client.tunnel_pause()

    def resume_client(self) -> None:
        """The service caught up."""
        if self._client is not None:
            self._client.tunnel_resume()

    def lost(self) -> None:
        """The connection is gone."""
        self._is_lost = True
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()
        if self._client is not None:
            self._client.tunnel_lost()


def _bad_gateway(what: str) -> GatewayError:
    return GatewayError(ErrorType.BAD_GATEWAY, "the service answered badly", detail=f"the instance {what}")


if TYPE_CHECKING:
    from gateway.interfaces import TunnelEnd
