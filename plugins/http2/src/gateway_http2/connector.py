"""The connector ``http2``: sends exchanges to instances as streams of a few kept connections."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError
from gateway.semantics import IDEMPOTENT_METHODS
from gateway.tls import HTTP_2, TlsOfServices
from gateway_http2.engine import Limits
from gateway_http2.pool import InstancePool
from gateway_http2.service_connection import ServiceConnection
from gateway_http2.service_stream import Unanswered

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from gateway import BuildContext, Exchange, Instance, Response
    from gateway_http2.config import BackendHttp2Config

__all__ = ["Http2Connector"]

MAX_TRIES = 3
"""How many connections a request is given to that each turn out to be closing; there is a new one behind them."""
TLS_SCHEMES = frozenset({"h2", "https", "grpcs"})


class Http2Connector:
    """Speaks HTTP/2 to instances.

    Args:
        config: The block ``backend.http2``.
        context: The gateway.

    Attributes:
        config: As given.
        limits: What services are held to.
    """

    waits = False  # open() waits for nothing but gateway.Waiter

    def __init__(self, config: BackendHttp2Config, context: BuildContext) -> None:
        self.config = config
        self.limits = Limits(
            max_concurrent_streams=0,
            stream_window=config.initial_stream_window_size,
            connection_window=config.initial_connection_window_size,
            max_frame_size=config.max_frame_size,
            header_table_size=config.header_table_size,
            max_header_bytes=config.max_response_header_bytes,
            max_fields=config.max_response_header_bytes // 32,
        )
        self._deadlines = context.deadlines
        self._open: set[ServiceConnection] = set()
        self._pools: dict[Instance, InstancePool] = {}
        # Built now, so that an unreadable certificate stops the start and not a request.
        self._tls = TlsOfServices(config, context, protocol=HTTP_2)
        context.background.start("forget unused pools", self._forget_pools)

    def is_current(self) -> bool:
        """Tell whether the files of its TLS are still those that it read; asked at a reload."""
        return self._tls.is_current()

    async def open(self, instance: Instance, exchange: Exchange) -> Response:
        """Send the request and return the response once its head is there."""
        pool = self._pools.get(instance)
        if pool is None:
            pool = self._pools[instance] = InstancePool(self, instance)
        request = exchange.request
        if request.upgrade is not None and request.upgrade in exchange.route.allow_upgrade:
            detail = f"{pool.label} speaks HTTP/2, over which no protocol can be changed; give it the scheme http"
            raise GatewayError(ErrorType.BAD_GATEWAY, "the service does not take upgrades", detail=detail)
        timeout_s = exchange.route.timeout_s or math.inf
        for _ in range(MAX_TRIES - 1):
            try:
                return await self._ask(pool, exchange, timeout_s)
            except Unanswered as error:
                # What was not looked at may be sent again whatever it is; what may have been, only if that does no
                # harm (RFC 9113 section 8.7, RFC 9110 section 9.2.2). And it must still be there.
                is_harmless = error.is_unsent or request.method in IDEMPOTENT_METHODS
                if not is_harmless or (isinstance(request.body, Body) and request.body.is_consumed):
                    raise
        return await self._ask(pool, exchange, timeout_s)

    async def _ask(self, pool: InstancePool, exchange: Exchange, timeout_s: float) -> Response:
        connection = pool.reserve() or await pool.acquire(exchange)
        stream = connection.send(exchange, timeout_s)
        try:
            return await stream.waiter
        except asyncio.CancelledError:
            stream.abandon()
            raise

    # The pools' side.

    def opened(self, connection: ServiceConnection) -> None:
        """Time a new connection."""
        self._open.add(connection)
        self._deadlines.watch(connection)

    def closed(self, connection: ServiceConnection) -> None:
        """Drop a connection that is gone."""
        self._open.discard(connection)
        self._deadlines.forget(connection)

    async def connect(self, pool: InstancePool) -> ServiceConnection:
        """Open a connection for ``pool``.

        Raises:
            OSError: If the instance cannot be reached, TLS failures included, or does not choose HTTP/2.
        """
        endpoint = pool.instance.endpoint
        tls = self._tls.of(pool.instance.service) if endpoint.scheme in TLS_SCHEMES else None
        transport, connection = await asyncio.get_running_loop().create_connection(
            lambda: ServiceConnection(pool, self.config, self.limits, "http" if tls is None else "https"),
            endpoint.address,
            endpoint.port,
            ssl=await tls.context.ready() if tls is not None else None,
            server_hostname=(tls.server_name or endpoint.address) if tls is not None else None,
        )
        if not connection.speaks_http2:
            transport.abort()
            raise ConnectionError("it did not choose HTTP/2 in the TLS handshake (ALPN h2)")
        return connection

    async def _forget_pools(self) -> None:
        """Drop the pools of instances that are gone."""
        while True:
            await asyncio.sleep(self.config.idle_conn_timeout)
            for instance in [instance for instance, pool in self._pools.items() if pool.is_empty]:
                del self._pools[instance]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        # Those that take no more requests are in no pool, and may wait for their instance.
        for connection in list(self._open):
            connection.close()


if TYPE_CHECKING:
    from gateway.interfaces import Connector

    _: type[Connector] = Http2Connector
