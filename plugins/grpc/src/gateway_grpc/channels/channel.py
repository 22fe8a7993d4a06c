"""What it takes to call a method of an instance, in bytes: nobody here knows what messages mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway_grpc.status import GrpcStatus

    Metadata = Sequence[tuple[bytes, bytes]]
    """As fields of HTTP: names in lower case; the values of those that end in ``-bin`` are base64."""

__all__ = ["Answer", "CallError", "Channel", "Stream"]


@dataclass(slots=True)  # not frozen: one is made per call
class Answer:
    """What a method gave.

    Attributes:
        message: The message, serialized.
        metadata: What came before and behind it.
    """

    message: bytes
    metadata: Metadata


class CallError(Exception):
    """A call that ended with another status than OK: the service said so, or what it said was not gRPC.

    Args:
        status: How it ended.
        message: What is told people.
        metadata: What came with it.
    """

    def __init__(self, status: GrpcStatus, message: str, *, metadata: Metadata = ()) -> None:
        super().__init__(f"{status.name}: {message}")
        self.status = status
        self.message = message
        self.metadata = metadata


class Stream(Protocol):
    """A call of a method that takes or gives many messages. Used by one task."""

    async def read(self) -> bytes | None:
        """Return the next message of the service; ``None`` behind the last.

        Raises:
            CallError: If the call ended with another status than OK.
            GatewayError: If the instance cannot be reached, breaks off or takes too long.
            Exception: Whatever the messages that are sent raised.
        """

    def metadata(self) -> Metadata:
        """Return what came so far, beside messages."""

    def cancel(self) -> None:
        """Give it up; harmless when it is over."""


class Channel(Protocol):
    """A way to an instance."""

    async def call(self, path: str, message: bytes, *, metadata: Metadata, timeout_s: float | None) -> Answer:
        """Call a method that takes and gives one message. Cancellation reaches the service.

        Waits for nothing but a ``Waiter``, unless the answer is compressed.

        Args:
            path: ``/package.Service/Method``.
            message: The message, serialized.
            metadata: What goes with it.
            timeout_s: How long it may take, which the service is told; ``None`` is as long as it likes.

        Raises:
            CallError: If it ended with another status than OK.
            GatewayError: If the message is too large, or the instance cannot be reached, breaks off, answers with what
                is too large, or takes too long.
        """

    def stream(
        self,
        path: str,
        messages: bytes | AsyncIterator[bytes],
        *,
        metadata: Metadata,
        timeout_s: float | None,
    ) -> Stream:
        """Make a call of any method. It begins with the first ``read``.

        Args:
            path: ``/package.Service/Method``.
            messages: The messages, serialized, taken as fast as the service takes them; or the only one.
            metadata: What goes with them.
            timeout_s: How long all of it may take, which the service is told; ``None`` is as long as it likes.
        """
