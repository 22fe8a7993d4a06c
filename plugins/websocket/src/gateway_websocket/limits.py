"""What a WebSocket is held to, worked out once from the configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_websocket.config import BackendWebSocketConfig, WebSocketConfig

__all__ = ["STATE_KEY", "Limits", "ServiceLimits", "client_limits"]

STATE_KEY = "websocket"
"""Where in ``exchange.state`` the connector leaves what the service is held to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """What services are held to; times in seconds, ``inf`` for none.

    Attributes:
        max_message_bytes: The largest message; 0 is unlimited.
        ping_period_s: After so much silence a ping is sent.
        dead_after_s: After so much silence the service is given up.
        read_timeout_s: So long it may pause in the middle of a message.
        write_timeout_s: So long it may keep what waits for it waiting; ``None`` as long as a client.
    """

    max_message_bytes: int = 0
    ping_period_s: float = math.inf
    dead_after_s: float = math.inf
    read_timeout_s: float = math.inf
    write_timeout_s: float | None = None

    @classmethod
    def of(cls, config: BackendWebSocketConfig) -> ServiceLimits:
        """Return what a configuration means."""
        ping_period_s, dead_after_s = keep_alive_times(config.ping_interval, config.pong_timeout)
        return cls(
            max_message_bytes=config.max_message_size,
            ping_period_s=ping_period_s,
            dead_after_s=dead_after_s,
            read_timeout_s=config.read_timeout or math.inf,
            write_timeout_s=None if config.write_timeout is None else config.write_timeout or math.inf,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What both ends are held to; times in seconds, ``inf`` for none; sizes in bytes, 0 for unlimited."""

    max_client_message_bytes: int
    max_service_message_bytes: int
    client_ping_period_s: float
    client_dead_after_s: float
    service_ping_period_s: float
    service_dead_after_s: float
    client_read_timeout_s: float
    client_write_timeout_s: float
    service_read_timeout_s: float
    service_write_timeout_s: float
    idle_timeout_s: float
    close_grace_s: float
    is_text_checked: bool


def client_limits(config: WebSocketConfig, service: ServiceLimits, *, has_extensions: bool) -> Limits:
    """Return the limits of a socket.

    Args:
        config: What clients are held to.
        service: What the service is held to.
        has_extensions: Whether payloads may be changed by an extension, so that texts cannot be read.
    """
    ping_period_s, dead_after_s = keep_alive_times(config.effective_ping_period, config.pong_wait)
    write_timeout_s = config.write_timeout or math.inf
    return Limits(
        max_client_message_bytes=config.max_message_size,
        max_service_message_bytes=service.max_message_bytes,
        client_ping_period_s=ping_period_s,
        client_dead_after_s=dead_after_s,
        service_ping_period_s=service.ping_period_s,
        service_dead_after_s=service.dead_after_s,
        client_read_timeout_s=config.read_timeout or math.inf,
        client_write_timeout_s=write_timeout_s,
        service_read_timeout_s=service.read_timeout_s,
        service_write_timeout_s=write_timeout_s if service.write_timeout_s is None else service.write_timeout_s,
        idle_timeout_s=config.idle_timeout or math.inf,
        close_grace_s=config.close_grace_period,
        is_text_checked=config.check_text and not has_extensions,
    )


def keep_alive_times(ping_period_s: float, pong_wait_s: float) -> tuple[float, float]:
    """Return after how much silence a ping is sent, and after how much a peer is given up; ``inf`` for never.

    A wait that is not longer than the period counts from the ping: else the peer would be given up unasked, as the
    original gateway did with its services.
    """
    if not ping_period_s:
        return math.inf, math.inf
    if not pong_wait_s:
        return ping_period_s, math.inf
    return ping_period_s, pong_wait_s if pong_wait_s > ping_period_s else ping_period_s + pong_wait_s
