"""The connector ``sse``: to a service, a stream of events is an answer like any other, so that for HTTP does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.interfaces import CarriedConnector, Connector

__all__ = ["SseBackend"]


class SseBackend:
    """Makes connectors of those for HTTP."""

    def over(self, carrier: Connector) -> Connector:
        """Return the connector for instances that ``carrier`` reaches: itself."""
        return carrier


if TYPE_CHECKING:
    _: type[CarriedConnector] = SseBackend
