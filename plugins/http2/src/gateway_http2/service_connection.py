"""One connection to an instance: the engine on its transport, its deadlines, and its streams."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from gateway_http2.driver import EngineDriver
from gateway_http2.engine import Connection, ConnectionFault, ErrorCode
from gateway_http2.service_stream import ServiceStream, Unanswered, bad_gateway

if TYPE_CHECKING:
    import asyncio

    from gateway import Exchange, GatewayError
    from gateway_http2.config import BackendHttp2Config
    from gateway_http2.engine import Limits
    from gateway_http2.pool import InstancePool

__all__ = ["ServiceConnection"]

logger = logging.getLogger("gateway.plugins.gateway-http2")

_PING = b"gateway?"
QUIET_PING_INTERVAL_S = 300.0
"""Between two pings, if nothing but the answer to the first came: servers of gRPC close connections on which there are
more (C core, ``GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS``)."""


class ServiceConnection(EngineDriver):
    """The protocol of one connection to an instance.

    Args:
        pool: The pool it belongs to.
        config: The block ``backend.http2``.
        limits: What the engine holds the instance to.
        scheme: ``http`` or ``https``.

    Attributes:
        pool: As given.
        scheme: As given.
        speaks_http2: Whether that was chosen in the TLS handshake, if there was one.
    """

    __slots__ = (
        "_config",
        "_heard_s",
        "_idle_since_s",
        "_in_use",
        "_is_leaving",
        "_is_quiet",
        "_pinged_s",
        "pool",
        "scheme",
        "speaks_http2",
    )

    def __init__(self, pool: InstancePool, config: BackendHttp2Config, limits: Limits, scheme: str) -> None:
        super().__init__()
        self.pool = pool
        self.scheme = scheme
        self.speaks_http2 = False
        self._config = config
        self._in_use = 0  # streams that are open or kept for somebody
        self._is_leaving = False
        self._heard_s = self._idle_since_s = time.monotonic()
        self._pinged_s = math.inf
        self._is_quiet = False  # nothing but the answer to a ping came lately
        self.engine = Connection(self, is_server=False, limits=limits)

    # The pool's and the connector's side.

    def reserve(self) -> bool:
        """Keep a stream for somebody; returns whether there was one."""
        limit = min(self._config.max_concurrent_streams, self.engine.peer.max_concurrent_streams)
        if self._in_use >= limit or self._is_leaving:
            return False
        self._in_use += 1
        return True

    def release(self) -> None:
        """A stream is free again."""
        self._in_use -= 1
        if not self._in_use:
            self._idle_since_s = time.monotonic()
            if self._is_leaving:
                self._close()
            else:
                self.look_in(self._config.idle_conn_timeout)
        if not self._is_leaving:
            self.pool.room_changed()

    def send(self, exchange: Exchange, timeout_s: float) -> ServiceStream:
        """Send a request on the stream that was kept for it; its waiter delivers the response or a ``GatewayError``.

        Args:
            exchange: What to send.
            timeout_s: Seconds to the response head, and between pieces of its body.
        """
        stream = ServiceStream(self, exchange, timeout_s)
        if self._is_lost or self.engine.is_peer_leaving:
            # It went between being kept and being used.
            self.release()
            stream.waiter.set_error(Unanswered(self.pool.label, "closed the connection", is_unsent=True))
            return stream
        if (self._in_use == 1 or self._is_quiet) and self._config.keep_alive_timeout:
            self._heard_s = time.monotonic()
            self._is_quiet = False
            self.look_in(self._config.keep_alive_timeout)
        self.engine.open(stream)
        if not self.engine.has_numbers:
            self._leave()
        stream.send()
        return stream

    def close(self) -> None:
        """Cut whatever is under way."""
        self._lose(bad_gateway(self.pool.label, "is not used any more"))
        self._transport.abort()

    # asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a connection; asyncio calls it once."""
        self._transport = transport  # type: ignore[assignment]  # connections are stream sockets
        secured = transport.get_extra_info("ssl_object")
        self.speaks_http2 = secured is None or secured.selected_alpn_protocol() == "h2"
        if self.speaks_http2:
            self._flush()

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        if self._config.keep_alive_timeout:
            self._heard_s = time.monotonic()
            self._pinged_s = math.inf
            if self._is_quiet:
                self._is_quiet = False
                self.look_in(self._config.keep_alive_timeout)
        self.engine.receive(data)
        if self._fresh:
            self._stream_fresh()

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection; asyncio calls it once."""
        self._lose(Unanswered(self.pool.label, f"closed the connection without an answer ({exc})"))

    # gateway_http2.engine.Owner.

    def open_stream(self) -> ServiceStream:
        """Return nothing: services open no streams."""
        raise NotImplementedError

    def settings_received(self) -> None:
        """The instance may allow more streams than it was taken to."""
        self.pool.room_changed()

    def ping_acknowledged(self, data: bytes) -> None:
        """The instance is there; ``data_received`` noted it."""
        self._is_quiet = True

    def goaway_received(self, code: int) -> None:
        """The instance leaves: finish what it took, and ask elsewhere from now on."""
        self._leave()

    def failed(self, fault: ConnectionFault) -> None:
        """The instance broke the rules: nothing that is under way can be believed."""
        logger.warning("%s broke the rules of HTTP/2: %s (%s)", self.pool.label, fault, fault.code.name)
        self._flush()
        self._lose(bad_gateway(self.pool.label, f"broke the rules of HTTP/2: {fault}"))
        self._transport.close()

    # Deadlines.

    def deadline_passed(self) -> None:
        """Look whether the instance is too slow, or the connection idle for long enough."""
        now_s = time.monotonic()
        due_s = self._look_at_connection(now_s)
        for stream in list(self.engine.streams.values()):
            if isinstance(stream, ServiceStream):
                if stream.deadline_s <= now_s:
                    stream.time_out()
                else:
                    due_s = min(due_s, stream.deadline_s)
        self.deadline_s = due_s

    def _look_at_connection(self, now_s: float) -> float:
        config = self._config
        if not self._in_use:
            idle_due_s = self._idle_since_s + config.idle_conn_timeout
            if idle_due_s <= now_s:
                self._leave()
                return math.inf
            return idle_due_s
        if not config.keep_alive_timeout:
            return math.inf
        if self._pinged_s + config.ping_timeout <= now_s:
            self._lose(bad_gateway(self.pool.label, f"did not answer a PING within {config.ping_timeout} s"))
            self._transport.abort()
            return math.inf
        silence_s = config.keep_alive_timeout
        if self._is_quiet:
            silence_s = max(silence_s, QUIET_PING_INTERVAL_S)
        if self._pinged_s == math.inf:
            if self._heard_s + silence_s > now_s:
                return self._heard_s + silence_s
            self._pinged_s = now_s
            self.engine.ping(_PING)
        return self._pinged_s + config.ping_timeout

    # The end.

    def _leave(self) -> None:
        """Take no more requests, and close when those under way are over."""
        if not self._is_leaving:
            self._is_leaving = True
            self.pool.withdraw(self)
        if not self._in_use:
            self._close()

    def _close(self) -> None:
        if not self._is_lost:
            self.engine.leave(ErrorCode.NO_ERROR)
            self._flush()
            self._transport.close()

    def _lose(self, error: GatewayError) -> None:
        """Nothing more comes: everything under way ends with ``error``."""
        if self._is_lost:
            return
        self._is_lost = self._is_leaving = True
        self.deadline_s = math.inf
        self.pool.forget(self)
        streams = list(self.engine.streams.values())
        self.engine.streams.clear()
        for stream in streams:
            if isinstance(stream, ServiceStream):
                stream.fail(error)


if TYPE_CHECKING:
    from gateway.interfaces import Timed
    from gateway_http2.engine import Owner

    def _check(connection: ServiceConnection) -> tuple[Timed, Owner]:
        return connection, connection
