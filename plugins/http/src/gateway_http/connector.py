"""The connector ``http``: sends exchanges to instances over pooled connections."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Self

from gateway import ErrorType, GatewayError
from gateway_http.fields import IDEMPOTENT_METHODS
from gateway_http.pool import InstancePool
from gateway_http.service_connection import ServiceConnection, StaleConnection
from gateway_http.tls import service_context

if TYPE_CHECKING:
    from types import TracebackType

    from gateway import BuildContext, Exchange, Instance, Response
    from gateway_http.config import BackendHttpConfig

__all__ = ["HttpConnector"]


class HttpConnector:
    """Speaks HTTP/1.1 to instances. Redirects are passed on, never followed.

    Args:
        config: The block ``backend.http``.
        context: The gateway.

    Attributes:
        idle_count: Idle connections over all instances.
        max_idle: How many there may be; 0 while the connector is being exited.
    """

    waits = False  # open() waits for nothing but gateway.Waiter

    def __init__(self, config: BackendHttpConfig, context: BuildContext) -> None:
        self.config = config
        self.deadlines = context.deadlines
        self.outbox = context.outbox
        self.idle_count = 0
        self.max_idle = config.max_idle_conns
        self._pools: dict[Instance, InstancePool] = {}
        self._default_timeout_s = config.response_header_timeout or None
        # Built now, so that an unreadable certificate stops the start and not a request.
        self._tls = service_context(config.tls, context)
        context.background.start("forget unused pools", self._forget_pools)

    async def open(self, instance: Instance, exchange: Exchange) -> Response:
        """Send the request and return the response once its head is there."""
        pool = self._pools.get(instance)
        if pool is None:
            pool = self._pools[instance] = InstancePool(self, instance)
        route_timeout_s = exchange.route.timeout_s
        timeout_s = self._default_timeout_s if route_timeout_s is None else route_timeout_s or None
        connection = pool.take() if pool.idle else await pool.acquire()
        try:
            return await connection.send(exchange, timeout_s)
        except StaleConnection:
            pass
        except asyncio.CancelledError:
            connection.abort()
            raise
        return await self._open_again(pool, exchange, timeout_s)

    async def _open_again(self, pool: InstancePool, exchange: Exchange, timeout_s: float | None) -> Response:
        """Repeat a request whose kept connection was closed before it answered (RFC 9112 section 9.3.1)."""
        request = exchange.request
        if request.method not in IDEMPOTENT_METHODS or not isinstance(request.body, bytes):
            raise GatewayError(
                ErrorType.BAD_GATEWAY,
                "the service answered badly",
                detail=f"{pool.label} closed a kept connection on a {request.method} that must not be repeated",
            )
        connection = await pool.acquire(is_fresh=True)
        try:
            return await connection.send(exchange, timeout_s)
        except asyncio.CancelledError:
            connection.abort()
            raise

    async def connect(self, pool: InstancePool) -> ServiceConnection:
        """Open a connection for ``pool``.

        Raises:
            OSError: If the instance cannot be reached, TLS failures included.
        """
        endpoint = pool.instance.endpoint
        loop = asyncio.get_running_loop()
        is_tls = endpoint.scheme == "https"
        transport, connection = await loop.create_connection(
            lambda: ServiceConnection(pool),
            endpoint.address,
            endpoint.port,
            ssl=self._tls if is_tls else None,
            server_hostname=(self.config.tls.server_name or endpoint.address) if is_tls else None,
        )
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.config.keep_alive_timeout:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                if hasattr(socket, "TCP_KEEPIDLE"):
                    idle_s = max(1, round(self.config.keep_alive_timeout))
                    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
        return connection

    async def _forget_pools(self) -> None:
        """Drop the pools of instances that are gone."""
        while True:
            await asyncio.sleep(self.config.idle_conn_timeout or 1.0)
            for instance in [instance for instance, pool in self._pools.items() if pool.is_empty]:
                del self._pools[instance]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.max_idle = 0
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()


if TYPE_CHECKING:
    from gateway.interfaces import Connector

    _: type[Connector] = HttpConnector
