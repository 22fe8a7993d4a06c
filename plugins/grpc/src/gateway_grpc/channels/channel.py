"""What it takes to call a method of an instance, in bytes: nobody here knows what messages mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from gateway_grpc.status import GrpcStatus

    Metadata = Sequence[tuple[str, str | bytes]]
    """Names in lower case; the values of those that end in ``-bin`` are bytes, not base64."""

__all__ = ["Answer", "CallError", "Channel", "Stream", "TlsIdentity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsIdentity:
    """Whom TLS trusts, and what it shows; all of it PEM.

    Attributes:
        authorities: Who is trusted; ``None`` is who everybody trusts.
        key: The own private key; ``None`` shows nothing.
        chain: Its certificate.
    """

    authorities: bytes | None = None
    key: bytes | None = field(default=None, repr=False)
    chain: bytes | None = None


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
    """A call that failed.

    Args:
        status: Of the service, or of what failed on the way.
        message: What it says.
        metadata: What came with it.
        is_local: Whether not the service said so, but the connection failed; the message may have addresses then.
        is_unsent: Whether the instance saw nothing of the call.
    """

    def __init__(
        self,
        status: GrpcStatus,
        message: str,
        *,
        metadata: Metadata = (),
        is_local: bool = False,
        is_unsent: bool = False,
    ) -> None:
        super().__init__(f"{status.name}: {message}")
        self.status = status
        self.message = message
        self.metadata = metadata
        self.is_local = is_local
        self.is_unsent = is_unsent


class Stream(Protocol):
    """A call of a method that takes or gives many messages."""

    async def read(self) -> bytes | None:
        """Return the next message of the service; ``None`` behind the last.

        Raises:
            CallError: If the call failed.
            Exception: Whatever the messages that are sent raised.
        """

    async def metadata(self) -> Metadata:
        """Return what came so far, beside messages; waits until something did."""

    def cancel(self) -> None:
        """Give it up; harmless when it is over."""


class Channel(Protocol):
    """A way to an instance."""

    async def call(self, path: str, message: bytes, *, metadata: Metadata, timeout_s: float | None) -> Answer:
        """Call a method that takes and gives one message. Cancellation reaches the service.

        Args:
            path: ``/package.Service/Method``.
            message: The message, serialized.
            metadata: What goes with it.
            timeout_s: How long it may take, which the service is told; ``None`` is as long as it likes.

        Raises:
            CallError: If it failed.
        """

    def stream(
        self, path: str, messages: AsyncIterator[bytes], *, metadata: Metadata, timeout_s: float | None
    ) -> Stream:
        """Begin a call of any method. ``messages`` are sent as fast as the service takes them.

        Args:
            path: ``/package.Service/Method``.
            messages: The messages, serialized.
            metadata: What goes with them.
            timeout_s: How long all of it may take, which the service is told; ``None`` is as long as it likes.
        """
