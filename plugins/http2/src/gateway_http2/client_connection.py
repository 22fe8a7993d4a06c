"""One connection of a client: the engine on its transport, its deadlines, and the end of it.

```
data_received ─▶ Connection.receive ─▶ ClientStream … ─▶ serve ─▶ … ─▶ ClientStream.respond ─▶ output_ready
transport ◀─ write, once for everything of a turn ◀─ _flush ◀──────────────────────────────────────┘
```
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from gateway_http2.client_stream import ClientStream
from gateway_http2.driver import EngineDriver
from gateway_http2.engine import Connection, ConnectionFault, ErrorCode
from gateway_http2.request_fields import RequestFields, read_request_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway import Exchange, GatewayError, Origin
    from gateway.handover import Handover
    from gateway_http2.config import FrontendHttp2Config
    from gateway_http2.engine import HeaderBlock, Limits

__all__ = ["ClientConnection"]

logger = logging.getLogger("gateway.plugins.gateway-http2")

DRAIN_GRACE_S = 1.0
"""How long requests that are on their way when a GOAWAY was announced are still taken (RFC 9113 section 6.8)."""

_PING = b"gateway!"


class ClientConnection(EngineDriver):
    """The protocol of one client connection; implements ``gateway.handover.TakenConnection``.

    Args:
        config: The block ``frontend.http2``.
        limits: What the engine holds the client to.
        refuse: Answers what is refused.
        handover: The connection.

    Attributes:
        limits: What the client is held to beside.
        refuse: As given.
        scheme: ``http`` or ``https``.
        serve: Answers its exchanges.
    """

    __slots__ = (
        "_config",
        "_drained_s",
        "_handover",
        "_head_since_s",
        "_heard_s",
        "_hop",
        "_idle_since_s",
        "_is_closing",
        "_leaves",
        "_origin_of",
        "_pinged_s",
        "_started_s",
        "_unsent",
        "limits",
        "refuse",
        "scheme",
        "serve",
    )

    def __init__(
        self,
        config: FrontendHttp2Config,
        limits: Limits,
        refuse: Callable[[Exchange, GatewayError], None],
        handover: Handover,
    ) -> None:
        super().__init__()
        self._config = config
        self._handover = handover
        self._hop = handover.hop
        self._transport = handover.transport
        self.scheme = handover.hop.scheme
        self.serve = handover.serve
        self.refuse = refuse
        self.limits = handover.limits
        self._origin_of: tuple[bytes, Origin] | None = None
        self._is_closing = self._leaves = False
        self._unsent = 0
        now_s = self._started_s = self._heard_s = self._idle_since_s = time.monotonic()
        self._head_since_s = self._pinged_s = self._drained_s = math.inf
        self.deadline_s = now_s + min(self.limits.idle_timeout_s, config.settings_timeout)
        self.engine = Connection(self, is_server=True, limits=limits)
        self.output_ready()
        self._transport.set_protocol(self)
        if handover.is_draining:
            self.drain()

    # asyncio's side.

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        engine = self.engine
        if self._config.ping_interval:
            self._heard_s = time.monotonic()
            self._pinged_s = math.inf
        engine.receive(data)
        if self._fresh:
            self._stream_fresh()
        if engine.is_within_head:
            if self._head_since_s == math.inf:
                self._head_since_s = time.monotonic()
                self.look_in(self.limits.read_timeout_s)
        elif self._head_since_s != math.inf:
            self._head_since_s = math.inf

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection; asyncio calls it once."""
        self._is_lost = True
        self._handover.forget(self)
        self._cut_streams(exc or ConnectionResetError("the client closed the connection"))

    def pause_writing(self) -> None:
        """The client is slow: have whatever is being sent wait, but not for ever."""
        self._unsent = self._transport.get_write_buffer_size()
        self.look_in(self.limits.write_timeout_s)
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._unsent = 0
        super().resume_writing()

    # gateway_http2.engine.Owner.

    def open_stream(self) -> ClientStream:
        """Return the object for a new request."""
        return ClientStream(self)

    def settings_received(self) -> None:
        """The client's settings came; the engine heeds them."""

    def ping_acknowledged(self, data: bytes) -> None:
        """The client is there, or has seen that the gateway leaves."""
        self._pinged_s = math.inf
        if self._leaves:
            self._stop_taking()

    def goaway_received(self, code: int) -> None:
        """The client leaves: answer what is under way."""
        self._leaves = True
        if not self.engine.streams:
            self._stop_taking()

    def failed(self, fault: ConnectionFault) -> None:
        """The client broke the rules: close behind the GOAWAY."""
        logger.debug("connection of %s ended: %s (%s)", self._hop.peer, fault, fault.code.name)
        self._fresh.clear()
        self._cut_streams(fault)
        self._leave()

    # The streams' side.

    def read_fields(self, block: HeaderBlock) -> RequestFields:
        """Return what a header block says.

        Raises:
            StreamFault: If it is malformed.
        """
        fields = read_request_fields(block, max_uri_bytes=self.limits.max_uri_bytes)
        host = fields.host or b""
        if fields.forwarding or fields.takes_trailers:
            fields.origin = self._hop.origin(
                host, fields.forwarding, http_version="2", takes_trailers=fields.takes_trailers
            )
        else:
            if self._origin_of is None or self._origin_of[0] != host:
                self._origin_of = host, self._hop.origin(host, [], http_version="2")
            fields.origin = self._origin_of[1]
        if fields.fault is None:
            block.meaning = fields
        return fields

    def stream_ended(self) -> None:
        """A stream is gone: rest, or leave."""
        if not self.engine.streams and not self._is_lost:
            self._idle_since_s = time.monotonic()
            self.look_in(self.limits.idle_timeout_s)
            if self._leaves and self._drained_s == math.inf:
                self._stop_taking()

    # Deadlines.

    def deadline_passed(self) -> None:
        """Look whether the client is too slow, or idle for too long.

        Deadlines are not taken back when what they are for has happened: that costs more than looking now and then.
        """
        if self._is_closing:
            self._transport.abort()
            return
        now_s = time.monotonic()
        due_s = min(self._look_at_connection(now_s), self._look_for_life(now_s))
        for stream in list(self.engine.streams.values()):
            if isinstance(stream, ClientStream):
                due_s = min(due_s, stream.look(now_s))
        if not self._is_closing:
            self.deadline_s = due_s

    def _look_at_connection(self, now_s: float) -> float:
        """Act on what takes too long on the connection as a whole; returns when to look again."""
        limits, engine = self.limits, self.engine
        unsent = self._transport.get_write_buffer_size()
        if unsent and self._unsent and unsent >= self._unsent:
            self._transport.abort()
            return math.inf
        self._unsent = unsent
        due_s = now_s + limits.write_timeout_s if unsent else math.inf
        settings_due_s = math.inf if engine.is_acknowledged else self._started_s + self._config.settings_timeout
        head_due_s = self._head_since_s + limits.read_timeout_s
        idle_due_s = math.inf if engine.streams else self._idle_since_s + limits.idle_timeout_s
        drain_due_s = self._drained_s + DRAIN_GRACE_S
        if settings_due_s <= now_s:
            engine.fail(ConnectionFault(ErrorCode.SETTINGS_TIMEOUT, "the settings were not acknowledged"))
        elif head_due_s <= now_s:
            engine.fail(ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a request head took too long to arrive"))
        elif idle_due_s <= now_s or drain_due_s <= now_s:
            self._stop_taking()
        return min(due_s, settings_due_s, head_due_s, idle_due_s, drain_due_s)

    def _look_for_life(self, now_s: float) -> float:
        """Ask a silent client for a sign of life, and give it up if there is none; returns when to look again."""
        interval_s = self._config.ping_interval
        if not interval_s or self._is_closing:
            return math.inf
        if self._pinged_s + self._config.ping_timeout <= now_s:
            self._transport.abort()
            return math.inf
        if self._pinged_s == math.inf and self._heard_s + interval_s <= now_s:
            self._pinged_s = now_s
            self.engine.ping(_PING)
        return min(self._pinged_s + self._config.ping_timeout, max(now_s, self._heard_s) + interval_s)

    # The end.

    def drain(self) -> None:
        """Take what is on its way and no more, then close."""
        if self._leaves:
            return
        self._leaves = True
        self._drained_s = time.monotonic()
        self.look_in(DRAIN_GRACE_S)
        # The ping comes back behind the last request that was sent before the client knew (RFC 9113 section 6.8).
        self.engine.announce_leave()
        self.engine.ping(_PING)

    def close(self) -> None:
        """Cut whatever is under way."""
        self._transport.abort()

    def _stop_taking(self) -> None:
        self._leaves = True
        self._drained_s = math.inf
        if not self.engine.is_refusing:
            self.engine.leave()
        self._leave_if_idle()

    def _leave_if_idle(self) -> None:
        if self.engine.is_refusing and not self.engine.streams:
            self._leave()

    def _leave(self) -> None:
        """Close, as soon as the client has read what was sent."""
        if self._is_closing or self._is_lost:
            return
        self._is_closing = True
        self._flush()
        if self._transport.can_write_eof():
            self._is_lost = True  # from here on the connection is somebody else's
            self._handover.linger(self)
        else:
            # TLS cannot be closed by half.
            self.deadline_s = time.monotonic() + self.limits.write_timeout_s
            self._transport.close()

    def _cut_streams(self, error: Exception) -> None:
        streams = list(self.engine.streams.values())
        self.engine.streams.clear()
        for stream in streams:
            if isinstance(stream, ClientStream):
                stream.lose(error)


if TYPE_CHECKING:
    from gateway.handover import TakenConnection
    from gateway_http2.engine import Owner

    def _check(connection: ClientConnection) -> tuple[TakenConnection, Owner]:
        return connection, connection
