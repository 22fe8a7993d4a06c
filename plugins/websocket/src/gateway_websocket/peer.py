"""One of the two ends of a WebSocket, as the gateway sees it: what it sends, hears and keeps us waiting for."""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING

from gateway_websocket.frames import CLOSE, PING, PONG, FrameReader, control_frame

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Peer"]

PING_PAYLOAD = secrets.token_bytes(8)
"""What our own pings carry, so that their pongs are told from those that the other end waits for."""


class Peer:
    """One end.

    Args:
        is_client: Whether it is the client.
        send: Sends to it.
        heard_s: Monotonic time of now.
        ping_period_s: After so much silence it is sent a ping; ``inf`` sends none.
        dead_after_s: After so much silence it is given up; ``inf`` never.

    Attributes:
        is_client: As given.
        reader: Follows what it sends.
        send: Sends to it.
        heard_s: When it last sent anything.
        slow_since_s: Since when it does not take what is sent; ``inf`` while it does.
        is_held_back: Whether we read nothing of it, because the other end is slow.
        is_told: Whether a close frame was sent to it, its own end's or ours.
        is_let_go: Whether it was sent our end of the connection.
    """

    __slots__ = (
        "_dead_after_s",
        "_is_pinged",
        "_ping_period_s",
        "_waiting",
        "heard_s",
        "is_client",
        "is_held_back",
        "is_let_go",
        "is_told",
        "reader",
        "send",
        "slow_since_s",
    )

    reader: FrameReader

    def __init__(
        self,
        *,
        is_client: bool,
        send: Callable[[bytes], None],
        heard_s: float,
        ping_period_s: float,
        dead_after_s: float,
    ) -> None:
        self.is_client = is_client
        self.send = send
        self.heard_s = heard_s
        self.slow_since_s = math.inf
        self.is_held_back = False
        self.is_told = False
        self.is_let_go = False
        self._ping_period_s = ping_period_s
        self._dead_after_s = dead_after_s
        self._is_pinged = False
        self._waiting = b""  # our close frame, until what is being sent to it is at the end of a frame

    def say(self, opcode: int, payload: bytes, *, is_at_boundary: bool) -> None:
        """Send a control frame of our own, now or as soon as no other frame is in the way.

        Args:
            opcode: The kind.
            payload: Its payload.
            is_at_boundary: Whether what was sent to it ends with the end of a frame.
        """
        if self.is_told:
            return
        frame = control_frame(opcode, payload, None if self.is_client else secrets.token_bytes(4))
        if opcode == CLOSE:
            self.is_told = True
            if not is_at_boundary:
                self._waiting = frame
                return
        elif not is_at_boundary:
            return  # it is being sent something, which keeps the connection alive as well
        self.send(frame)

    @property
    def is_waiting(self) -> bool:
        """Whether our close frame waits for the end of the frame that is being sent."""
        return bool(self._waiting)

    def send_waiting(self) -> None:
        """Send the close frame that waited."""
        waiting, self._waiting = self._waiting, b""
        self.send(waiting)

    def is_our_pong(self, opcode: int, payload: bytes) -> bool:
        """Tell whether a control frame of this end answers our ping."""
        return opcode == PONG and self._is_pinged and payload == PING_PAYLOAD

    # Keep-alive.

    def is_dead(self, now_s: float) -> bool:
        """Tell whether it was silent for too long, though it could have been heard."""
        return not self.is_held_back and now_s - self.heard_s >= self._dead_after_s

    def stalls(self, now_s: float, timeout_s: float) -> bool:
        """Tell whether it began a message and has sent nothing more of it for so long."""
        return not self.is_held_back and self.reader.is_waiting and now_s - self.heard_s >= timeout_s

    def keep_alive(self, now_s: float, *, is_at_boundary: bool) -> float:
        """Send a ping if one is due; returns when to look again."""
        if self.is_held_back:
            return now_s + min(self._ping_period_s, self._dead_after_s)
        silent_s = now_s - self.heard_s
        if silent_s < self._ping_period_s:
            self._is_pinged = False
            return self.heard_s + min(self._ping_period_s, self._dead_after_s)
        if not self._is_pinged:
            self._is_pinged = True
            self.say(PING, PING_PAYLOAD, is_at_boundary=is_at_boundary)
        return min(self.heard_s + self._dead_after_s, now_s + self._ping_period_s)
