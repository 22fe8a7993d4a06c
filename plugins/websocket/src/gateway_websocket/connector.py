"""The connector ``websocket``: the handshake goes over HTTP, with its connector; the frames follow in its tunnel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_websocket.limits import STATE_KEY, ServiceLimits

if TYPE_CHECKING:
    from gateway import BuildContext, Exchange, Instance, Response
    from gateway.interfaces import Connector
    from gateway_websocket.config import BackendWebSocketConfig

__all__ = ["WebSocketBackend"]


class WebSocketBackend:
    """Makes connectors of those for HTTP.

    Args:
        config: The block ``backend.websocket``.
        context: The gateway.
    """

    def __init__(self, config: BackendWebSocketConfig, context: BuildContext) -> None:
        limits = ServiceLimits.of(config)
        self._limits = limits if limits != ServiceLimits() else None

    def over(self, carrier: Connector) -> Connector:
        """Return the connector for instances that ``carrier`` reaches: itself, where there is nothing to add."""
        return carrier if self._limits is None else _LimitedConnector(carrier, self._limits)


class _LimitedConnector:
    """Says what services are held to; the policy, which has both ends in hand, sees to it."""

    def __init__(self, carrier: Connector, limits: ServiceLimits) -> None:
        self.waits = getattr(carrier, "waits", True)
        self._carrier = carrier
        self._limits = limits

    async def open(self, instance: Instance, exchange: Exchange) -> Response:
        """Send the handshake."""
        exchange.state[STATE_KEY] = self._limits
        return await self._carrier.open(instance, exchange)


if TYPE_CHECKING:
    from gateway.interfaces import CarriedConnector

    _: type[CarriedConnector] = WebSocketBackend
    _connector: type[Connector] = _LimitedConnector
