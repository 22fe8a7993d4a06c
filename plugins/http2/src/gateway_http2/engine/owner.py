"""Whoever has a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gateway_http2.engine.faults import ConnectionFault
    from gateway_http2.engine.stream import Stream

__all__ = ["Owner"]


class Owner(Protocol):
    """Whoever has a connection. Called from within ``receive`` and the methods that send; must not block."""

    def open_stream(self) -> Stream:
        """Return the object for a stream that the peer opens; servers only."""

    def output_ready(self) -> None:
        """Output began to wait: take it soon."""

    def settings_received(self) -> None:
        """The peer's settings came, or changed; see ``Connection.peer``."""

    def ping_acknowledged(self, data: bytes) -> None:
        """A ping came back."""

    def goaway_received(self, code: int) -> None:
        """The peer takes no more streams; those that it did not look at are reset as refused after this."""

    def failed(self, fault: ConnectionFault) -> None:
        """The peer broke the rules: a GOAWAY is in the output, the connection is to be closed behind it.

        Its streams are not told.
        """
