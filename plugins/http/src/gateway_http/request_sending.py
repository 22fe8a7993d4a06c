"""The sending half of a connection to an instance: a request's head, and its body as fast as the instance takes it."""

from __future__ import annotations

import asyncio
import math
import time
from operator import itemgetter
from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError, Headers, Response, Waiter
from gateway_http.chunked import encode_end
from gateway_http.fields import BODILESS_METHODS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Exchange
    from gateway_http.pool import InstancePool

__all__ = ["RequestSender"]

_OURS = frozenset({b"connection", b"content-length", b"transfer-encoding", b"x-request-id"})
"""Fields of a request that only the connection may send."""
_name = itemgetter(0)


class RequestSender(asyncio.Protocol):
    """Sends requests, one after the other; the sink of their bodies. ``ServiceConnection`` is what receives.

    Args:
        pool: The pool that the connection belongs to.

    Attributes:
        connector: The pool's.
        pool: As given.
        deadline_s: When the instance is given up, or the connection if it is idle.
    """

    __slots__ = (
        "_exchange",
        "_is_chunking",
        "_is_reading_paused",
        "_request_body",
        "_timeout_s",
        "_transport",
        "_waiter",
        "connector",
        "deadline_s",
        "pool",
    )

    _transport: asyncio.Transport

    def __init__(self, pool: InstancePool) -> None:
        # Per connection.
        self.pool = pool
        self.connector = pool.connector
        self._is_reading_paused = False
        self.deadline_s = math.inf
        # Per exchange.
        self._exchange: Exchange | None = None
        self._waiter: Waiter[Response] | None = None  # as long as there is no response
        self._timeout_s = math.inf
        # Per request body that leaves in pieces.
        self._request_body: Body | None = None
        self._is_chunking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a connection; asyncio calls it once."""
        self._transport = transport  # type: ignore[assignment]  # connections are stream sockets

    def send(self, exchange: Exchange, timeout_s: float) -> Waiter[Response]:
        """Send the request; the waiter delivers the response, a ``GatewayError`` or ``StaleConnection``.

        Args:
            exchange: What to send.
            timeout_s: Seconds to the response head, and between pieces of its body.
        """
        request = exchange.request
        self._exchange = exchange
        self._timeout_s = timeout_s
        self.deadline_s = time.monotonic() + timeout_s
        waiter: Waiter[Response] = Waiter()
        self._waiter = waiter
        method, query, body, origin = request.method, request.query, request.body, request.origin
        headers = request.headers
        section = headers.section
        if section is None or not exchange.route.preserve_host or not origin.host or section.among(_OURS):
            fields = self._mended(exchange)
        else:
            fields = section.block
            if headers.lines:
                is_right = _OURS.isdisjoint(headers.line_names)
                fields = fields + headers.lines if is_right else self._mended(exchange)
        target = f"{exchange.upstream_path}?{query}" if query else exchange.upstream_path
        beginning = f"{method} {target} HTTP/1.1\r\nx-request-id: {request.id}\r\n".encode("latin-1")
        head = beginning + fields + origin.forwarding.block
        if request.upgrade is not None and request.upgrade in exchange.route.allow_upgrade:
            head += f"connection: upgrade\r\nupgrade: {request.upgrade}\r\n".encode("latin-1")
        if isinstance(body, Body):
            self._send_streaming(head, body)
            return waiter
        if body or method not in BODILESS_METHODS:
            message = b"".join((head, b"content-length: %d\r\n\r\n" % len(body), body))
        else:
            message = head + b"\r\n"
        self.connector.outbox.write(self._transport, message)
        return waiter

    def _mended(self, exchange: Exchange) -> bytes:
        """Return the fields of a request without those that only the connection may send, and for the right host."""
        pairs = [pair for pair in exchange.request.headers.view() if pair[0] not in _OURS]
        if not exchange.route.preserve_host or not exchange.request.origin.host:
            authority = self.pool.instance.authority.encode("ascii")
            pairs = [(b"host", authority), *(pair for pair in pairs if pair[0] != b"host")]
        return Headers(pairs).block()

    def _send_streaming(self, head: bytes, body: Body) -> None:
        self._is_chunking = body.length is None
        framing = b"transfer-encoding: chunked" if body.length is None else b"content-length: %d" % body.length
        self.connector.outbox.flush()
        self._transport.write(b"%b%b\r\n\r\n" % (head, framing))
        self._request_body = body
        # As long as the client is the one who has to send, it is not the instance that is slow.
        self.deadline_s = math.inf
        body.attach(self)

    # gateway.body.BodySink: the request body.

    def body_data(self, chunk: bytes) -> None:
        """Send the next piece."""
        if self._request_body is None:
            return
        if not self._is_chunking:
            self._transport.write(chunk)
        elif chunk:
            self._transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the end; from now on the instance has to answer."""
        if self._request_body is None:
            return
        self._request_body = None
        if self._is_chunking:
            self._transport.write(encode_end(trailers))
        self._await_instance()

    def body_error(self, error: Exception) -> None:
        """Cut the connection: the service must not take what it has for the whole."""
        if self._request_body is None:
            return
        self._request_body = None
        if not isinstance(error, GatewayError):
            error = GatewayError(ErrorType.BAD_REQUEST, "the request body broke off", detail=f"client: {error}")
        self._fail(error)

    def _stop_sending(self) -> None:
        body, self._request_body = self._request_body, None
        if body is not None:
            body.abort()

    def pause_writing(self) -> None:
        """The instance is slow: have the client wait."""
        self._await_instance()
        if self._request_body is not None:
            self._request_body.pause()

    def resume_writing(self) -> None:
        """The instance caught up."""
        if self._request_body is not None:
            if self._waiter is not None:
                self.deadline_s = math.inf
            self._request_body.resume()

    def _await_instance(self) -> None:
        """It is for the instance to do something, within its time."""
        if self._exchange is not None and not self._is_reading_paused:
            self.deadline_s = time.monotonic() + self._timeout_s

    def _fail(self, error: GatewayError) -> None:
        """Break off what is under way and close the connection."""
        raise NotImplementedError
