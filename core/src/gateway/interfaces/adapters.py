"""Adapters: the client-facing side of a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.deprecation import since

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Callable, Sequence

    from gateway.exchange import Exchange

__all__ = ["Adapter", "CarriedAdapter", "Listener"]


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """An address an adapter wants to serve.

    Attributes:
        host: Address to bind.
        port: TCP port; 0 takes a free one.
        tls: Terminates TLS with this context; ``None`` is plain.
        backlog: Connections the kernel keeps for us.
        reuse_key: What must be equal for a reload to keep serving as it does, such as the TLS files' contents.
        handshake_timeout_s: How long a client may take for the TLS handshake.
        serve: Answers the requests that arrive there, in place of ``BuildContext.serve``; ``None`` does not.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    backlog: int = 2048
    reuse_key: object = None
    handshake_timeout_s: float = 10.0
    serve: Callable[[Exchange], None] | None = None


@since("0.1")
class Adapter(Protocol):
    """The client-facing side of a protocol. The core owns the sockets, the adapter what is spoken over them.

    One that can carry others may define ``hand_over_to(takeovers)`` too, which is told who takes connections over from
    it, as ``gateway.handover.Takeover``; called whenever a configuration comes into force.
    """

    def listeners(self) -> Sequence[Listener]:
        """Return the addresses to serve, the same each time; called whenever a configuration is loaded that uses it."""

    def connection(self, listener: Listener, /) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection that was accepted on ``listener``."""

    def drain(self) -> None:
        """Close idle connections and answer no more than what is under way; returns at once."""

    def connections(self) -> int:
        """Return how many connections are open."""

    def close(self) -> None:
        """Cut what is still open."""


@since("0.1")
class CarriedAdapter(Protocol):
    """What a registration ``over`` another adapter builds."""

    def over(self, carrier: Adapter) -> Adapter:
        """Return the adapter whose connections ``carrier`` makes; called whenever a configuration is compiled."""
