"""The tunnel of a WebSocket: what the adapter gets instead of the service's raw one.

```
client ──▶ ClientTunnel ──write──▶ WebSocketTunnel ──write──▶ Tunnel ──▶ service
client ◀── TunnelEnd ◀──tunnel_data── WebSocketTunnel ◀──tunnel_data── Tunnel ◀── service
```

It stands between the two and reads heads. Bytes go on in the callback they came in; nothing is kept but the beginning
of a head or control frame, and the receiver holds the sender back as on any tunnel.

Once one end is to be closed, both are sent a close frame and have a little time to answer it; then the connection is
closed. Whatever else they send meanwhile is dropped; but a client that breaks the protocol still gets what the service
answers to the messages before that, as it would if it had asked the service itself.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from gateway_websocket.close import ABNORMAL, CloseCode, Violation, close_payload, code_of
from gateway_websocket.frames import CLOSE, FrameReader
from gateway_websocket.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.interfaces import Tunnel, TunnelEnd
    from gateway_websocket.limits import Limits
    from gateway_websocket.sockets import RouteSockets

__all__ = ["WebSocketTunnel"]

ANSWERS_TIMEOUT_S = 1.0
"""How long a client that broke the protocol is not told, while the service has not closed its end."""


class WebSocketTunnel:
    """Implements ``Tunnel`` for the adapter and ``TunnelEnd`` for the service's tunnel, and is watched for its times.

    Args:
        service: The service's tunnel.
        limits: What it is held to.
        sockets: Counts it, and watches its deadline.
        expires_s: Monotonic time at which the client's credentials end; ``inf`` never.
        allowed_rsv: The reserved bits of the extensions that were negotiated.

    Attributes:
        deadline_s: When to look again.
        close_code: The code of the first close frame; 1006 if there was none.
        closed_by: ``client``, ``service`` or ``gateway``: who sent it, or who went without.
    """

    __slots__ = (
        "_allowed_rsv",
        "_client",
        "_client_end",
        "_early",
        "_expires_s",
        "_farewell",
        "_farewell_s",
        "_gives_up_s",
        "_is_closing",
        "_limits",
        "_messages_seen",
        "_reported",
        "_rests_since_s",
        "_service",
        "_service_end",
        "_sockets",
        "close_code",
        "closed_by",
        "deadline_s",
    )

    def __init__(
        self, service: Tunnel, limits: Limits, sockets: RouteSockets, *, expires_s: float, allowed_rsv: int
    ) -> None:
        self.close_code = ABNORMAL
        self.closed_by = ""
        self.deadline_s = math.inf
        self._service = service
        self._limits = limits
        self._sockets: RouteSockets | None = sockets
        self._allowed_rsv = allowed_rsv
        self._expires_s = expires_s
        self._is_closing = False
        self._gives_up_s = math.inf
        self._farewell = b""  # what the client is closed with, once the service has answered
        self._farewell_s = math.inf
        self._messages_seen = 0
        self._reported = (0, 0)  # messages of client and service
        self._rests_since_s = 0.0
        self._early = b""  # what came behind the handshake, before the adapter attached itself
        # From attach() until the end.
        self._client: TunnelEnd | None = None
        self._client_end: Peer | None = None
        self._service_end: Peer | None = None

    # gateway.interfaces.Tunnel: the adapter's side.

    @property
    def on_close(self) -> Callable[[], None] | None:
        """Called once when the connection to the service is gone."""
        return self._service.on_close

    @on_close.setter
    def on_close(self, on_close: Callable[[], None] | None) -> None:
        self._service.on_close = on_close

    @property
    def is_over(self) -> bool:
        """Whether the connection to the service is gone."""
        return self._service.is_over

    def attach(self, client: TunnelEnd) -> None:
        """Begin: from now on both ends are heard."""
        now_s = time.monotonic()
        limits, service = self._limits, self._service
        self._client = client
        self._rests_since_s = now_s
        self._client_end = Peer(
            is_client=True,
            send=client.tunnel_data,
            heard_s=now_s,
            ping_period_s=limits.client_ping_period_s,
            dead_after_s=limits.client_dead_after_s,
        )
        self._service_end = Peer(
            is_client=False,
            send=service.write,
            heard_s=now_s,
            ping_period_s=limits.service_ping_period_s,
            dead_after_s=limits.service_dead_after_s,
        )
        self._client_end.reader = FrameReader(
            is_masked=True,
            max_message_bytes=limits.max_client_message_bytes,
            forward=service.write,
            take_control=self._take_from_client,
            allowed_rsv=self._allowed_rsv,
            is_text_checked=limits.is_text_checked,
        )
        self._service_end.reader = FrameReader(
            is_masked=False,
            max_message_bytes=limits.max_service_message_bytes,
            forward=client.tunnel_data,
            take_control=self._take_from_service,
            allowed_rsv=self._allowed_rsv,
            is_text_checked=limits.is_text_checked,
        )
        if self._sockets is not None:
            self._sockets.watch(self)
        self._look(now_s)
        early, self._early = self._early, b""
        if early:
            self.write(early)
        service.attach(self)

    def write(self, data: bytes) -> None:
        """Take what the client sent."""
        peer = self._client_end
        if peer is None:
            self._early += data if self._client is None else b""
        else:
            self._read(peer, data)

    def write_eof(self) -> None:
        """The client sends no more."""
        self._ended(self._client_end)
        self._service.write_eof()

    def pause(self) -> None:
        """The client is slow."""
        self._slowed(self._client_end, self._service_end)
        self._service.pause()

    def resume(self) -> None:
        """The client caught up."""
        self._caught_up(self._client_end, self._service_end)
        self._service.resume()

    def abort(self) -> None:
        """The client is gone."""
        self._finish("client")
        self._service.abort()

    # gateway.interfaces.TunnelEnd: the service's side.

    def tunnel_data(self, data: bytes) -> None:
        """Take what the service sent."""
        if self._service_end is not None:
            self._read(self._service_end, data)

    def tunnel_eof(self) -> None:
        """The service sends no more."""
        self._ended(self._service_end)
        self._say_farewell()
        if self._client is not None:
            self._client.tunnel_eof()

    def tunnel_lost(self) -> None:
        """The connection to the service is gone."""
        self._say_farewell()
        client = self._client
        self._finish("service")
        if client is not None:
            client.tunnel_lost()

    def tunnel_pause(self) -> None:
        """The service is slow."""
        self._slowed(self._service_end, self._client_end)
        if self._client is not None:
            self._client.tunnel_pause()

    def tunnel_resume(self) -> None:
        """The service caught up."""
        self._caught_up(self._service_end, self._client_end)
        if self._client is not None:
            self._client.tunnel_resume()

    # What they send.

    def _read(self, peer: Peer, data: bytes) -> None:
        peer.heard_s = time.monotonic()
        if self._is_closing:
            self._read_while_closing(peer, data)
            return
        try:
            peer.reader.read(data)
        except Violation as violation:
            peer.reader.is_closed = True  # nothing of it can be understood from here on
            # Nothing more is fetched for a client that takes nothing.
            may_be_answered = peer.is_client and peer.slow_since_s == math.inf
            self._close(violation.code, violation.reason, blamed=peer, may_be_answered=may_be_answered)

    def _take_from_client(self, opcode: int, payload: bytes) -> bool:
        return self._take(self._client_end, self._service_end, opcode, payload)

    def _take_from_service(self, opcode: int, payload: bytes) -> bool:
        return self._take(self._service_end, self._client_end, opcode, payload)

    def _take(self, peer: Peer | None, other: Peer | None, opcode: int, payload: bytes) -> bool:
        """Take a control frame; returns whether it goes to the other end."""
        if peer is None or other is None or (self._is_closing and not self._farewell):
            return False
        if opcode != CLOSE:
            return not peer.is_our_pong(opcode, payload)
        if self._is_closing:
            self._say_farewell()
            return False
        other.is_told = True
        if not self.closed_by:
            self.close_code, self.closed_by = code_of(payload), "client" if peer.is_client else "service"
        self._give_up_soon()
        return True

    def _ended(self, peer: Peer | None) -> None:
        if peer is not None:
            peer.reader.is_closed = True
            self._give_up_soon()

    # Closing.

    def close(self, code: int, reason: str) -> None:
        """Close both ends.

        Args:
            code: What the client is closed with; the service is told that it is going away.
            reason: Why.
        """
        if self._client_end is not None:
            self._close(code, reason, blamed=self._client_end)

    def _close(self, code: int, reason: str, *, blamed: Peer, may_be_answered: bool = False) -> None:
        client_end, service_end = self._client_end, self._service_end
        if self._is_closing or client_end is None or service_end is None:
            return
        self._is_closing = True
        if not self.closed_by:
            self.close_code, self.closed_by = code, "gateway"
        self._give_up_soon()
        for_client, for_service = (
            close_payload(code if peer is blamed else CloseCode.GOING_AWAY, reason)
            for peer in (client_end, service_end)
        )
        self._tell(service_end, client_end, for_service)
        self._farewell = for_client
        # Who cannot be told, or has told us already, answers no more.
        if may_be_answered and not service_end.is_waiting and not service_end.reader.is_closed:
            self._farewell_s = time.monotonic() + ANSWERS_TIMEOUT_S
            self.deadline_s = min(self.deadline_s, self._farewell_s)
            self._let_go()
        else:
            self._say_farewell()

    def _tell(self, peer: Peer, other: Peer, payload: bytes) -> None:
        """Send one end a close frame, and nothing of the other one behind it."""
        peer.say(CLOSE, payload, is_at_boundary=other.reader.is_at_boundary)
        if not peer.is_waiting:
            self._mute(other)

    def _mute(self, peer: Peer) -> None:
        """Pass nothing of one end on any more, and hear it out: its close frame is waited for, and the rest dropped.

        As long as something is passed on, the end of a frame for one, it comes no faster than it is taken.
        """
        peer.reader.mute()
        if not peer.is_client:
            self._service.resume()
        elif self._client is not None:
            self._client.tunnel_resume()

    def _say_farewell(self) -> None:
        """Close the client's end, if that is still to be done."""
        farewell, self._farewell, self._farewell_s = self._farewell, b"", math.inf
        if farewell and self._client_end is not None and self._service_end is not None:
            self._tell(self._client_end, self._service_end, farewell)
            self._let_go()

    def _read_while_closing(self, peer: Peer, data: bytes) -> None:
        other = self._service_end if peer is self._client_end else self._client_end
        assert other is not None  # noqa: S101 - both live as long
        if other.is_waiting:
            data = peer.reader.finish_frame(data)
            if not peer.reader.is_at_boundary:
                return
            other.send_waiting()
            self._mute(peer)
        try:
            peer.reader.read(data)
        except Violation:
            peer.reader.is_closed = True
            self._say_farewell()
        self._let_go()

    def _let_go(self) -> None:
        """Send no more to an end that is told and has nothing more to say (RFC 6455 section 7.1.1)."""
        client_end, service_end = self._client_end, self._service_end
        if client_end is None or service_end is None or self._client is None:
            return
        is_client_told = not client_end.is_waiting and not self._farewell
        if client_end.reader.is_closed and is_client_told and not client_end.is_let_go:
            client_end.is_let_go = True
            self._client.tunnel_eof()
        if service_end.reader.is_closed and not service_end.is_waiting and not service_end.is_let_go:
            service_end.is_let_go = True
            self._service.write_eof()

    def _give_up_soon(self) -> None:
        if self._gives_up_s == math.inf:
            self._gives_up_s = time.monotonic() + self._limits.close_grace_s
            self.deadline_s = min(self.deadline_s, self._gives_up_s)

    def _give_up(self) -> None:
        """They had their time: end it without them."""
        client_end, service_end, client = self._client_end, self._service_end, self._client
        if client_end is not None and service_end is not None:
            payload = self._farewell or close_payload(CloseCode.GOING_AWAY, "the connection was not closed in time")
            client_end.say(CLOSE, payload, is_at_boundary=service_end.reader.is_at_boundary)
        self._finish("gateway")
        self._service.abort()
        if client is not None:
            client.tunnel_lost()

    def _finish(self, who: str) -> None:
        sockets, self._sockets = self._sockets, None
        self._report_messages(sockets)
        # They know each other: let go of them, or they wait for the garbage collector.
        self._client_end = self._service_end = self._client = None
        self.deadline_s = math.inf
        if sockets is not None:
            self.closed_by = self.closed_by or who
            sockets.closed(self)

    # Times.

    def deadline_passed(self) -> None:
        """Look what is due."""
        now_s = time.monotonic()
        if now_s >= self._gives_up_s:
            self._give_up()
            return
        if now_s >= self._farewell_s:
            self._say_farewell()
        self._look(now_s)

    def _look(self, now_s: float) -> None:
        """Close what is overdue; else find out when to look again."""
        client_end, service_end, limits = self._client_end, self._service_end, self._limits
        if client_end is None or service_end is None:
            return
        if self._is_closing:
            self.deadline_s = min(self._gives_up_s, self._farewell_s)
            return
        self._report_messages(self._sockets)
        overdue = self._overdue(now_s, client_end, service_end)
        if overdue is not None:
            code, reason, blamed = overdue
            self._close(code, reason, blamed=blamed)
            return
        self.deadline_s = min(
            self._gives_up_s,
            self._expires_s,
            client_end.keep_alive(now_s, is_at_boundary=service_end.reader.is_at_boundary),
            service_end.keep_alive(now_s, is_at_boundary=client_end.reader.is_at_boundary),
            client_end.slow_since_s + limits.client_write_timeout_s,
            service_end.slow_since_s + limits.service_write_timeout_s,
            now_s + limits.idle_timeout_s / 4,
            now_s + limits.client_read_timeout_s,
            now_s + limits.service_read_timeout_s,
        )

    def _overdue(self, now_s: float, client_end: Peer, service_end: Peer) -> tuple[int, str, Peer] | None:
        limits = self._limits
        if now_s >= self._expires_s:
            return CloseCode.POLICY, "authentication expired", client_end
        if now_s - client_end.slow_since_s >= limits.client_write_timeout_s:
            return CloseCode.POLICY, "too slow", client_end
        if now_s - service_end.slow_since_s >= limits.service_write_timeout_s:
            return CloseCode.TRY_AGAIN_LATER, "the service is too slow", client_end
        if client_end.is_dead(now_s):
            return CloseCode.GOING_AWAY, "no answer to a ping", client_end
        if service_end.is_dead(now_s):
            return CloseCode.TRY_AGAIN_LATER, "the service does not answer", client_end
        if client_end.stalls(now_s, limits.client_read_timeout_s):
            return CloseCode.POLICY, "a message was not finished", client_end
        if service_end.stalls(now_s, limits.service_read_timeout_s):
            return CloseCode.TRY_AGAIN_LATER, "the service did not finish a message", client_end
        if self._is_idle(now_s, client_end, service_end):
            return CloseCode.GOING_AWAY, "idle", client_end
        return None

    def _is_idle(self, now_s: float, client_end: Peer, service_end: Peer) -> bool:
        """Tell whether there was no message for too long; seen up to a quarter of that late."""
        messages = client_end.reader.messages + service_end.reader.messages
        if messages != self._messages_seen or client_end.reader.is_waiting or service_end.reader.is_waiting:
            self._messages_seen = messages
            self._rests_since_s = now_s
        return now_s - self._rests_since_s >= self._limits.idle_timeout_s

    def _slowed(self, slow: Peer | None, held_back: Peer | None) -> None:
        if slow is not None and held_back is not None:
            slow.slow_since_s = time.monotonic()
            held_back.is_held_back = True
            limits = self._limits
            timeout_s = limits.client_write_timeout_s if slow.is_client else limits.service_write_timeout_s
            self.deadline_s = min(self.deadline_s, slow.slow_since_s + timeout_s)

    def _caught_up(self, slow: Peer | None, held_back: Peer | None) -> None:
        if slow is not None and held_back is not None:
            slow.slow_since_s = math.inf
            held_back.is_held_back = False
            held_back.heard_s = time.monotonic()  # its silence was ours

    def _report_messages(self, sockets: RouteSockets | None) -> None:
        """Count the messages since the last time; not each by itself, which would cost as much as following it."""
        if sockets is not None and self._client_end is not None and self._service_end is not None:
            from_client, from_service = self._client_end.reader.messages, self._service_end.reader.messages
            before_client, before_service = self._reported
            sockets.received_messages.add(from_client - before_client)
            sockets.sent_messages.add(from_service - before_service)
            self._reported = (from_client, from_service)


if TYPE_CHECKING:
    from gateway.interfaces import Timed

    _tunnel: type[Tunnel] = WebSocketTunnel
    _end: type[TunnelEnd] = WebSocketTunnel
    _timed: type[Timed] = WebSocketTunnel
