"""One connection to an instance: the engine on its transport, its deadlines, and its streams."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING

from gateway_http2.engine import Connection, ConnectionFault, ErrorCode
from gateway_http2.service_stream import ServiceStream, Unanswered, bad_gateway

if TYPE_CHECKING:
    from gateway import Exchange, GatewayError
    from gateway_http2.config import BackendHttp2Config
    from gateway_http2.engine import Limits
    from gateway_http2.pool import InstancePool

__all__ = ["ServiceConnection"]

logger = logging.getLogger("gateway.plugins.gateway-http2")

_PING = b"gateway?"


class ServiceConnection(asyncio.Protocol):
    """The protocol of one connection to an instance.

    Args:
        pool: The pool it belongs to.
        config: The block ``backend.http2``.
        limits: What the engine holds the instance to.
        scheme: ``http`` or ``https``.

    Attributes:
        deadline_s: When to look at what the instance does.
        engine: The state of the connection.
        pool: As given.
        scheme: As given.
        speaks_http2: Whether that was chosen in the TLS handshake, if there was one.
    """

    __slots__ = (
        "_config",
        "_fresh",
        "_heard_s",
        "_idle_since_s",
        "_in_use",
        "_is_flushing",
        "_is_leaving",
        "_is_lost",
        "_loop",
        "_pinged_s",
        "_transport",
        "deadline_s",
        "engine",
        "pool",
        "scheme",
        "speaks_http2",
    )

    _transport: asyncio.Transport

    def __init__(self, pool: InstancePool, config: BackendHttp2Config, limits: Limits, scheme: str) -> None:
        self.pool = pool
        self.scheme = scheme
        self.speaks_http2 = False
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._fresh: list[ServiceStream] = []  # responses of this turn that may be here whole at its end
        self._in_use = 0  # streams that are open or kept for somebody
        self._is_flushing = self._is_leaving = self._is_lost = False
        self._heard_s = self._idle_since_s = time.monotonic()
        self._pinged_s = math.inf
        self.deadline_s = math.inf
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
        if self._in_use == 1 and self._config.keep_alive_timeout:
            self._heard_s = time.monotonic()
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
        self.engine.receive(data)
        if self._fresh:
            fresh, self._fresh = self._fresh, []
            for stream in fresh:
                stream.begin_streaming()

    def eof_received(self) -> bool:
        """They send no more; returns whether this side stays open."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection; asyncio calls it once."""
        self._lose(Unanswered(self.pool.label, f"closed the connection without an answer ({exc})"))

    def pause_writing(self) -> None:
        """The instance is slow: have the clients wait."""
        self.engine.is_held = True
        for stream in list(self.engine.streams.values()):
            stream.sending_blocked()

    def resume_writing(self) -> None:
        """The instance caught up."""
        self.engine.is_held = False
        self.engine.send_waiting()
        for stream in list(self.engine.streams.values()):
            if not stream.is_waiting:
                stream.sending_open()

    # gateway_http2.engine.Owner.

    def open_stream(self) -> ServiceStream:
        """Return nothing: services open no streams."""
        raise NotImplementedError

    def output_ready(self) -> None:
        """Send what there is at the end of this turn: all requests of it in one write."""
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def settings_received(self) -> None:
        """The instance may allow more streams than it was taken to."""
        self.pool.room_changed()

    def ping_acknowledged(self, data: bytes) -> None:
        """The instance is there; ``data_received`` noted it."""

    def goaway_received(self, code: int) -> None:
        """The instance leaves: finish what it took, and ask elsewhere from now on."""
        self._leave()

    def failed(self, fault: ConnectionFault) -> None:
        """The instance broke the rules: nothing that is under way can be believed."""
        logger.warning("%s broke the rules of HTTP/2: %s (%s)", self.pool.label, fault, fault.code.name)
        self._flush()
        self._lose(bad_gateway(self.pool.label, f"broke the rules of HTTP/2: {fault}"))
        self._transport.close()

    # The streams' side.

    def await_body(self, stream: ServiceStream) -> None:
        """Remember a response whose body may come in this turn."""
        self._fresh.append(stream)

    def look_in(self, timeout_s: float) -> None:
        """See to it that the instance is looked at in ``timeout_s`` seconds at the latest."""
        self.deadline_s = min(self.deadline_s, time.monotonic() + timeout_s)

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
        if self._pinged_s == math.inf and self._heard_s + config.keep_alive_timeout <= now_s:
            self._pinged_s = now_s
            self.engine.ping(_PING)
        return min(self._pinged_s + config.ping_timeout, max(self._heard_s, now_s) + config.keep_alive_timeout)

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

    def _flush(self) -> None:
        self._is_flushing = False
        if not self._is_lost:
            output = self.engine.take_output()
            if output:
                self._transport.write(output)


if TYPE_CHECKING:
    from gateway.interfaces import Timed
    from gateway_http2.engine import Owner

    def _check(connection: ServiceConnection) -> tuple[Timed, Owner]:
        return connection, connection
