"""The adapter ``http2``: has no addresses, takes over connections of the adapter ``http``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_http2.client_connection import ClientConnection
from gateway_http2.engine import Limits

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from gateway import BuildContext
    from gateway.handover import Handover
    from gateway.interfaces import Adapter, Listener
    from gateway_http2.config import FrontendHttp2Config

__all__ = ["Http2Adapter"]


class Http2Adapter:
    """Speaks HTTP/2 with clients whose connections are handed over to it.

    Args:
        config: The block ``frontend.http2``.
        context: The gateway.

    Attributes:
        config: As given.
        context: As given.
    """

    def __init__(self, config: FrontendHttp2Config, context: BuildContext) -> None:
        self.config = config
        self.context = context

    def over(self, carrier: Adapter) -> Adapter:
        """Return the adapter whose connections ``carrier`` makes, counts, drains and closes."""
        return _Taking(self, carrier)


class _Taking:
    """What stands over one carrier."""

    def __init__(self, adapter: Http2Adapter, carrier: Adapter) -> None:
        self._adapter = adapter
        self._carrier = carrier

    def take(self, handover: Handover) -> ClientConnection | None:
        """Go on with a connection, unless it is one without TLS and these are not taken."""
        adapter = self._adapter
        if handover.received and not adapter.config.prior_knowledge:
            return None
        return ClientConnection(adapter.config, limits_for(adapter.config, handover), adapter.context.refuse, handover)

    def listeners(self) -> Sequence[Listener]:
        """Return none: the addresses are those of the carrier."""
        return []

    def connection(self, listener: Listener) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection; nothing listens for this adapter."""
        return self._carrier.connection(listener)

    def drain(self) -> None:
        """Leave it to the carrier."""

    def connections(self) -> int:
        """Return 0: the carrier counts them."""
        return 0

    def close(self) -> None:
        """Leave it to the carrier."""


def limits_for(config: FrontendHttp2Config, handover: Handover) -> Limits:
    """Return what a client is held to by the engine."""
    return Limits(
        max_concurrent_streams=config.max_concurrent_streams,
        stream_window=config.initial_stream_window_size,
        connection_window=config.initial_connection_window_size,
        max_frame_size=config.max_frame_size,
        header_table_size=config.header_table_size,
        max_header_bytes=handover.limits.max_header_bytes,
        # Pseudo-header fields are the first line of HTTP/1.1, and do not count there.
        max_fields=handover.limits.max_headers + 4,
        has_extended_connect=True,
        control_frames=config.max_control_frames,
        control_frames_per_s=config.max_control_frames / 10,
        resets=config.max_resets,
        resets_per_s=config.max_resets / 10,
    )


if TYPE_CHECKING:
    from gateway.handover import Taker
    from gateway.interfaces import CarriedAdapter

    _: type[CarriedAdapter] = Http2Adapter
    _taking: type[Adapter] = _Taking
    _taker: type[Taker] = _Taking
