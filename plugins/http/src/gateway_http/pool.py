"""Kept connections to one instance: the last one used is the next one taken, and there is a limit to them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError, Waiter

if TYPE_CHECKING:
    from gateway import Instance
    from gateway_http.connector import HttpConnector
    from gateway_http.service_connection import ServiceConnection

__all__ = ["InstancePool"]

MAX_WAITING = 1024
"""How many exchanges wait for a connection of an instance that has reached its limit; Envoy's max_pending_requests."""


class InstancePool:
    """The connections to one instance.

    Args:
        connector: Its settings, and the number of idle connections over all pools.
        instance: The instance.

    Attributes:
        idle: Connections ready for a request; the last is the freshest.
        max_response_header_bytes: For the connections' use.
        outbox: Likewise.
    """

    __slots__ = (
        "_connections",
        "_connector",
        "_idle_timeout_s",
        "_max_idle",
        "_opening",
        "_waiting",
        "idle",
        "instance",
        "max_response_header_bytes",
        "outbox",
    )

    def __init__(self, connector: HttpConnector, instance: Instance) -> None:
        self._connector = connector
        self.instance = instance
        self.outbox = connector.outbox
        self.max_response_header_bytes = connector.config.max_response_header_bytes
        config = connector.config
        self._max_idle = config.max_idle_conns_per_host if config.keep_alive else 0
        self._idle_timeout_s = config.idle_conn_timeout
        self.idle: list[ServiceConnection] = []
        self._connections: set[ServiceConnection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[Waiter[ServiceConnection]] = deque()

    @property
    def label(self) -> str:
        """How logs call the instance."""
        return f"instance {self.instance.id} of service {self.instance.service}"

    @property
    def is_empty(self) -> bool:
        """Whether it has no connections and nobody waits for one."""
        return not (self._connections or self._opening or self._waiting)

    async def acquire(self, *, is_fresh: bool = False) -> ServiceConnection:
        """Return a connection to use for one exchange.

        Args:
            is_fresh: Whether a kept one is not good enough.

        Raises:
            GatewayError: ``bad_gateway`` if it cannot be opened, ``upstream_timeout`` if that takes too long,
                ``unavailable`` if too many wait already.
        """
        if not is_fresh and self.idle:
            return self.take()
        waiter: Waiter[ServiceConnection] = Waiter()
        limit = self._connector.config.max_conns_per_host
        if limit and len(self._connections) + len(self._opening) >= limit:
            if len(self._waiting) >= MAX_WAITING:
                raise GatewayError(
                    ErrorType.UNAVAILABLE, "the service is too busy", detail=f"{self.label}: too many requests wait"
                )
            self._waiting.append(waiter)
            handle = asyncio.get_running_loop().call_later(
                self._connector.config.dial_timeout, waiter.set_error, self._too_slow("no connection became free")
            )
        else:
            self._open(waiter)
            handle = None
        try:
            return await waiter
        finally:
            if handle is not None:
                handle.cancel()

    def take(self) -> ServiceConnection:
        """Take the freshest idle connection."""
        self._connector.idle_count -= 1
        return self.idle.pop()

    def take_back(self, connection: ServiceConnection) -> None:
        """Keep a connection whose response was received whole."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.is_done:
                waiter.set_result(connection)
                return
        connector, idle = self._connector, self.idle
        if len(idle) >= self._max_idle or connector.idle_count >= connector.max_idle:
            connection.is_usable = False
            connection.abort()
            return
        connection.deadline_s = time.monotonic() + self._idle_timeout_s
        connector.idle_count += 1
        idle.append(connection)

    def forget(self, connection: ServiceConnection, *, was_idle: bool) -> None:
        """Drop a connection that is gone."""
        self._connections.discard(connection)
        self._connector.deadlines.forget(connection)
        if was_idle and connection in self.idle:
            self.idle.remove(connection)
            self._connector.idle_count -= 1
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.is_done:
                self._open(waiter)
                return

    def close(self) -> None:
        """Close what is idle and cut what is under way."""
        for task in self._opening:
            task.cancel()
        for connection in list(self._connections):
            connection.abort()

    def _open(self, waiter: Waiter[ServiceConnection]) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(waiter))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, waiter: Waiter[ServiceConnection]) -> None:
        config = self._connector.config
        try:
            async with asyncio.timeout(config.dial_timeout):
                connection = await self._connector.connect(self)
        except TimeoutError:
            waiter.set_error(self._too_slow(f"did not accept a connection within {config.dial_timeout} s"))
        except OSError as error:
            waiter.set_error(
                GatewayError(
                    ErrorType.BAD_GATEWAY,
                    "the service cannot be reached",
                    detail=f"{self.label} cannot be reached: {type(error).__name__}: {error}",
                )
            )
        except asyncio.CancelledError:
            waiter.set_error(GatewayError(ErrorType.UNAVAILABLE, "the gateway is shutting down"))
            raise
        else:
            self._connections.add(connection)
            self._connector.deadlines.watch(connection)
            if waiter.is_done:
                # Whoever wanted it is gone; somebody else will use it.
                self.take_back(connection)
            else:
                waiter.set_result(connection)

    def _too_slow(self, what: str) -> GatewayError:
        return GatewayError(
            ErrorType.UPSTREAM_TIMEOUT, "the service did not answer in time", detail=f"{self.label}: {what}"
        )

    def __repr__(self) -> str:
        return (
            f"<InstancePool {self.instance.id}: {len(self.idle)} idle of {len(self._connections)}, "
            f"{len(self._waiting)} waiting>"
        )
