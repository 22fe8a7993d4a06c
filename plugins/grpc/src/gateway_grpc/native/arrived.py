"""An answer that is there whole when its head is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Body
from gateway_grpc.messages import are_whole
from gateway_grpc.status_fields import WELL

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Arrived"]


class Arrived:
    """The sink of a body that is complete, and the producer of another one with the same in it.

    Args:
        source: The body.

    Attributes:
        body: The other one; nobody has read of it.
    """

    __slots__ = ("_content", "_trailers", "body")

    def __init__(self, source: Body) -> None:
        self._content = b""
        self._trailers: Sequence[tuple[bytes, bytes]] = ()
        source.attach(self)
        self.body = Body(self)
        if self._content:
            self.body.feed(self._content)
        self.body.end(self._trailers)

    def is_well(self, limit_bytes: int) -> bool:
        """Tell whether it is whole messages, none of them larger than that, and OK."""
        return WELL in self._trailers and are_whole(self._content, limit_bytes)

    # gateway.body.BodySink: the source.

    def body_data(self, chunk: bytes) -> None:
        """Take a piece; mostly there is one."""
        self._content = self._content + chunk if self._content else chunk

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Take the end."""
        self._trailers = trailers

    def body_error(self, error: Exception) -> None:
        """What is complete does not break off."""

    # gateway.body.BodyProducer: nothing more comes.

    def pause_body(self) -> None:
        """Do nothing."""

    def resume_body(self) -> None:
        """Do nothing."""

    def abort_body(self) -> None:
        """Do nothing."""
