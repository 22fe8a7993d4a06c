"""Connectors: the service-facing side of a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gateway.deprecation import since

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Exchange
    from gateway.interfaces.services import Instance
    from gateway.messages import Response

__all__ = ["CarriedConnector", "Connector", "Tunnel", "TunnelEnd"]


@since("0.1")
class Connector(Protocol):
    """The service-facing side of a protocol."""

    async def open(self, instance: Instance, exchange: Exchange, /) -> Response:
        """Send the request to ``instance`` and return the response as soon as its head is there.

        The body streams, or is bytes if it came whole. Cancellation releases everything.

        Raises:
            GatewayError: ``bad_gateway`` or ``upstream_timeout``, with an internal ``detail``.
        """


@since("0.1")
class CarriedConnector(Protocol):
    """What a registration ``over`` another protocol builds."""

    def over(self, carrier: Connector) -> Connector:
        """Return the connector for instances that ``carrier`` reaches; called whenever routes are compiled."""


@since("0.1")
class Tunnel(Protocol):
    """The service's side of an upgraded connection: bytes both ways (RFC 9110 section 7.8).

    Attributes:
        on_close: Called once when the connection to the service is gone; the core's own.
    """

    on_close: Callable[[], None] | None

    @property
    def is_over(self) -> bool:
        """Whether the connection to the service is gone."""

    def attach(self, client: TunnelEnd) -> None:
        """Begin to pass on what the service sends, starting with what it sent already."""

    def write(self, data: bytes) -> None:
        """Send to the service."""

    def write_eof(self) -> None:
        """The client sends no more."""

    def pause(self) -> None:
        """Stop reading from the service: the client is slow."""

    def resume(self) -> None:
        """Read from the service again."""

    def abort(self) -> None:
        """Drop the connection to the service."""


@since("0.1")
class TunnelEnd(Protocol):
    """The client's side of an upgraded connection."""

    def tunnel_data(self, data: bytes) -> None:
        """Send to the client."""

    def tunnel_eof(self) -> None:
        """The service sends no more."""

    def tunnel_lost(self) -> None:
        """The connection to the service is gone."""

    def tunnel_pause(self) -> None:
        """Stop reading from the client: the service is slow."""

    def tunnel_resume(self) -> None:
        """Read from the client again."""
