"""One stream of a connection: its windows and what waits to be sent. Subclassed by whoever owns the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Sequence

    from gateway_http2.engine.codes import ErrorCode
    from gateway_http2.engine.decoder import HeaderBlock

__all__ = ["Stream"]


class Stream:
    """The state of a stream; what happens on it is told to the subclass.

    Attributes:
        id: Its number; 0 until it is opened.
        is_receiving: Whether the peer may send more.
        is_sending: Whether more may be sent.
        is_waiting: Whether something is kept that could not be sent yet.
        sent_bytes: How much content has left, what waits not counted.
        send_window, receive_window, unacknowledged, returned, pending, trailers: The engine's own.
    """

    __slots__ = (
        "id",
        "is_receiving",
        "is_sending",
        "is_waiting",
        "pending",
        "receive_window",
        "returned",
        "send_window",
        "sent_bytes",
        "trailers",
        "unacknowledged",
    )

    def __init__(self) -> None:
        self.id = 0
        self.is_receiving = self.is_sending = False
        self.is_waiting = False
        self.sent_bytes = 0
        # The engine's own.
        self.send_window = self.receive_window = 0
        self.unacknowledged = 0  # received, and still taking room in the windows
        self.returned = 0  # acknowledged, but the peer was not told yet
        self.pending: deque[bytes | memoryview] | None = None
        self.trailers: Sequence[tuple[bytes, bytes]] | None = None

    def headers_received(self, block: HeaderBlock, is_end: bool) -> None:  # noqa: FBT001 - positional, on the hot path
        """A header block came.

        Raises:
            StreamFault: If the message is malformed.
        """
        raise NotImplementedError

    def data_received(self, data: bytes, is_end: bool) -> None:  # noqa: FBT001 - as above
        """Content came; what is taken is to be acknowledged.

        Raises:
            StreamFault: If the message is malformed.
        """
        raise NotImplementedError

    def reset_received(self, code: ErrorCode | int, *, is_ours: bool) -> None:
        """The stream is gone before its end.

        Args:
            code: Why.
            is_ours: Whether it was a fault of the peer's for which this side reset it.
        """
        raise NotImplementedError

    def sending_blocked(self) -> None:
        """What was given to send waits for a window: give no more for now."""

    def sending_open(self) -> None:
        """Everything has left: give more."""

    def sending_ended(self) -> None:
        """The end was sent; unless the peer still sends, the stream is gone."""
