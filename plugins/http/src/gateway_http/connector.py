"""The connector ``http``: sends exchanges to instances over pooled connections."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway.tls import TlsOfServices
from gateway_http.fields import IDEMPOTENT_METHODS
from gateway_http.pool import InstancePool
from gateway_http.response_fields import LastHead
from gateway_http.service_connection import ServiceConnection, StaleConnection

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from gateway import BuildContext, Exchange, Instance, Response
    from gateway_http.config import BackendHttpConfig

__all__ = ["HttpConnector"]

IDLE_STEP_S = 1.0
"""In what steps the time goes on up to which free connections are kept."""


class HttpConnector:
    """Speaks HTTP/1.1 to instances. Redirects are passed on, never followed.

    Args:
        config: The block ``backend.http``.
        context: The gateway.

    Attributes:
        config: As given.
        outbox: For the connections' use.
        last_head: Likewise.
        max_response_header_bytes: Likewise.
        is_crowded: Whether a connection that becomes free may have to be closed.
        asks_pools: Whether its pool has to be asked what becomes of a connection that is free.
        idle_until_s: Until when it is kept otherwise. One for all, and a second old at most: with a thousand instances
            that of the last time would have to be fetched, only to be freed.
        deadline_s: When that changes.
    """

    waits = False  # open() waits for nothing but gateway.Waiter

    def __init__(self, config: BackendHttpConfig, context: BuildContext) -> None:
        self.config = config
        self.outbox = context.outbox
        self.last_head = LastHead()
        self.max_response_header_bytes = config.max_response_header_bytes
        self.is_crowded = self.asks_pools = False
        self._deadlines = context.deadlines
        self._is_closing = self._is_idle_shortened = False
        self._open_count = self._waiting_count = 0
        self._idle_timeout_s = config.idle_conn_timeout or math.inf
        self.deadline_passed()
        self._deadlines.watch(self)
        self._pools: dict[Instance, InstancePool] = {}
        # Built now, so that an unreadable certificate stops the start and not a request.
        self._tls = TlsOfServices(config, context)
        self._count(0)
        context.background.start("forget unused pools", self._forget_pools)

    def is_current(self) -> bool:
        """Tell whether the files of certificates are still the ones that were loaded; asked at a reload."""
        return self._tls.is_current()

    async def open(self, instance: Instance, exchange: Exchange) -> Response:
        """Send the request and return the response once its head is there."""
        timeout_s = exchange.route.timeout_s or math.inf
        connection = instance.free_connection
        if type(connection) is ServiceConnection and connection.connector is self:
            instance.free_connection = None
        else:
            pool = self._pools.get(instance)
            if pool is None:
                pool = self._pools[instance] = InstancePool(self, instance)
            connection = pool.idle.pop() if pool.idle else await pool.acquire(exchange)
        try:
            return await connection.send(exchange, timeout_s)
        except StaleConnection:
            pass
        except asyncio.CancelledError:
            connection.abandon(exchange)
            raise
        return await self._open_again(connection.pool, exchange, timeout_s)

    async def _open_again(self, pool: InstancePool, exchange: Exchange, timeout_s: float) -> Response:
        """Repeat a request whose kept connection was closed before it answered (RFC 9112 section 9.3.1)."""
        request = exchange.request
        if request.method not in IDEMPOTENT_METHODS or not isinstance(request.body, bytes):
            raise _unanswered(pool, request.method)
        connection = await pool.acquire(exchange)
        try:
            return await connection.send(exchange, timeout_s)
        except StaleConnection as error:
            # Handed over by another exchange, because there may be no more: not a fresh one after all.
            raise _unanswered(pool, request.method) from error
        except asyncio.CancelledError:
            connection.abandon(exchange)
            raise

    # The pools' side.

    def opened(self, connection: ServiceConnection) -> None:
        """Count and time a new connection."""
        self._deadlines.watch(connection)
        self._count(1)

    def closed(self, connection: ServiceConnection) -> None:
        """Drop a connection that is gone."""
        self._deadlines.forget(connection)
        self._count(-1)

    def has_room(self, idle_in_pool: int) -> bool:
        """Tell whether one more idle connection is wanted where there are ``idle_in_pool``."""
        config = self.config
        if not config.keep_alive or self._is_closing or idle_in_pool >= config.max_idle_conns_per_host:
            return False
        # Where there are too many of all, each pool has its share: nobody has to count them, and none takes all.
        return not self.is_crowded or idle_in_pool < config.max_idle_conns // len(self._pools)

    def _count(self, change: int) -> None:
        config = self.config
        self._open_count += change
        # As long as all connections together are no more than may be idle, nobody has to count the idle ones.
        self.is_crowded = (
            not (config.keep_alive and config.max_idle_conns_per_host)
            or self._is_closing
            or self._open_count > config.max_idle_conns
        )
        self._decide()

    def count_waiting(self, change: int) -> None:
        """Count exchanges that wait for a connection to become free."""
        self._waiting_count += change
        self._decide()

    def shorten_idle(self) -> None:
        """Heed that connections of one pool at least are not kept as long as others."""
        self._is_idle_shortened = True
        self._decide()

    def _decide(self) -> None:
        self.asks_pools = self.is_crowded or self._waiting_count > 0 or self._is_idle_shortened

    def deadline_passed(self) -> None:
        """Say anew until when a connection is kept that is free now."""
        now_s = time.monotonic()
        self.deadline_s = now_s + IDLE_STEP_S
        self.idle_until_s = now_s + self._idle_timeout_s

    async def connect(self, pool: InstancePool) -> ServiceConnection:
        """Open a connection for ``pool``.

        Raises:
            OSError: If the instance cannot be reached, TLS failures included.
        """
        endpoint = pool.instance.endpoint
        tls = self._tls.of(pool.instance.service) if endpoint.scheme in ("https", "wss") else None
        transport, connection = await asyncio.get_running_loop().create_connection(
            lambda: ServiceConnection(pool),
            endpoint.address,
            endpoint.port,
            ssl=await tls.context.ready() if tls is not None else None,
            server_hostname=(tls.server_name or endpoint.address) if tls is not None else None,
        )
        raw = transport.get_extra_info("socket")
        if raw is not None and self.config.keep_alive_timeout:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                idle_s = max(1, round(self.config.keep_alive_timeout))
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
        return connection

    async def _forget_pools(self) -> None:
        """Drop the pools of instances that are gone."""
        while True:
            await asyncio.sleep(self.config.idle_conn_timeout or 60.0)
            self._forget_empty_pools()

    def _forget_empty_pools(self) -> None:
        # A call of its own: names in a loop that sleeps would hold the last instance until the next round.
        for instance in [instance for instance, pool in self._pools.items() if pool.is_empty]:
            del self._pools[instance]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_closing = True
        self._deadlines.forget(self)
        self._count(0)
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()


def _unanswered(pool: InstancePool, method: str) -> GatewayError:
    return GatewayError(
        ErrorType.BAD_GATEWAY,
        "the service answered badly",
        detail=f"{pool.label} closed a kept connection instead of answering a {method}",
    )


if TYPE_CHECKING:
    from gateway.interfaces import Connector, Timed

    _: type[Connector] = HttpConnector
    __: type[Timed] = HttpConnector
