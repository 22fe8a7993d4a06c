"""Kept connections to one instance: the last one used is the next one taken, and there is a limit to them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError, Waiter
from gateway.dialing import MAX_WAITING, dial, patience_s, too_busy, too_slow

if TYPE_CHECKING:
    from gateway import Exchange, Instance
    from gateway_http.connector import HttpConnector
    from gateway_http.service_connection import ServiceConnection

__all__ = ["InstancePool"]


class InstancePool:
    """The connections to one instance.

    One that is ready for a request is the instance's ``free_connection``; if there are more, they are here.

    Args:
        connector: Its settings, and the connections of all pools.
        instance: The instance.

    Attributes:
        connector: As given.
        idle: More connections ready for a request; the last is the freshest.
        instance: As given.
    """

    __slots__ = (
        "_connections",
        "_idle_timeout_s",
        "_opening",
        "_waiting",
        "connector",
        "idle",
        "instance",
    )

    def __init__(self, connector: HttpConnector, instance: Instance) -> None:
        self.connector = connector
        self.instance = instance
        self.idle: list[ServiceConnection] = []
        self._idle_timeout_s = connector.config.idle_conn_timeout or math.inf
        self._connections: set[ServiceConnection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[Waiter[ServiceConnection]] = deque()

    @property
    def label(self) -> str:
        """How logs call the instance."""
        return self.instance.label

    @property
    def is_empty(self) -> bool:
        """Whether it has no connections and nobody waits for one."""
        return not (self._connections or self._opening or self._waiting)

    async def acquire(self, exchange: Exchange) -> ServiceConnection:
        """Return a connection for one exchange: a new one, or one that becomes free if there may be no more.

        How long that took is added to the exchange's ``connect_s`` or ``queue_s``.

        Raises:
            GatewayError: ``bad_gateway`` if it cannot be opened, ``upstream_timeout`` if that takes too long,
                ``unavailable`` if too many wait already.
        """
        dial_timeout_s = self.connector.config.dial_timeout
        may_wait_s = patience_s(exchange, dial_timeout_s)
        waiter: Waiter[ServiceConnection] = Waiter()
        started_s = time.monotonic()
        if self._may_open():
            self._open(waiter)
            what = f"did not accept a connection within {may_wait_s} s"
            handle = self._give_up_later(waiter, may_wait_s, what) if may_wait_s < dial_timeout_s else None
            try:
                return await self._arrival(waiter)
            finally:
                exchange.connect_s += time.monotonic() - started_s
                if handle is not None:
                    handle.cancel()
        if len(self._waiting) >= MAX_WAITING:
            raise too_busy(self.instance)
        self._waiting.append(waiter)
        self.connector.count_waiting(+1)
        handle = self._give_up_later(waiter, may_wait_s, "no connection became free")
        try:
            return await self._arrival(waiter)
        finally:
            exchange.queue_s += time.monotonic() - started_s
            handle.cancel()
            self.connector.count_waiting(-1)
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _give_up_later(self, waiter: Waiter[ServiceConnection], after_s: float, what: str) -> asyncio.TimerHandle:
        error = too_slow(self.instance, what, is_unsent=True)
        return asyncio.get_running_loop().call_later(after_s, waiter.set_error, error)

    async def _arrival(self, waiter: Waiter[ServiceConnection]) -> ServiceConnection:
        try:
            return await waiter
        except asyncio.CancelledError:
            # A task may be cancelled when the connection was handed over already: somebody else will use it.
            if waiter.is_done:
                with contextlib.suppress(asyncio.CancelledError, GatewayError):
                    self.take_back(waiter.result())
            raise

    def take_back(self, connection: ServiceConnection) -> None:
        """Give a connection that is free to whoever waits, else keep it, else close it."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.is_done:
                waiter.set_result(connection)
                return
        has_free = self.instance.free_connection is not None
        if not self.connector.has_room(len(self.idle) + has_free):
            connection.abort()
            return
        connection.deadline_s = time.monotonic() + self._idle_timeout_s
        if has_free:
            self.idle.append(connection)
        else:
            self.instance.free_connection = connection

    def shorten_idle(self, keep_alive_s: int) -> None:
        """Heed how long the service says it keeps connections, and be done with them a little earlier."""
        idle_timeout_s = max(keep_alive_s - 1.0, 0.5)
        if idle_timeout_s < self._idle_timeout_s:
            self._idle_timeout_s = idle_timeout_s
            self.connector.shorten_idle()

    def withdraw(self, connection: ServiceConnection) -> None:
        """Offer a connection to nobody any more."""
        if self.instance.free_connection is connection:
            self.instance.free_connection = None
        elif connection in self.idle:
            self.idle.remove(connection)

    def forget(self, connection: ServiceConnection) -> None:
        """Drop a connection that is gone; who waits for one gets another."""
        self.withdraw(connection)
        self._connections.discard(connection)
        self.connector.closed(connection)
        self._serve_waiting()

    def close(self) -> None:
        """Close what is idle and cut what is under way."""
        for task in self._opening:
            task.cancel()
        for connection in list(self._connections):
            self.withdraw(connection)
            connection.abort()

    def _may_open(self) -> bool:
        limit = self.connector.config.max_conns_per_host
        return not limit or len(self._connections) + len(self._opening) < limit

    def _open(self, waiter: Waiter[ServiceConnection]) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(waiter))
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        # If it failed there is room again for who waits.
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        while self._waiting and self._may_open():
            waiter = self._waiting.popleft()
            if not waiter.is_done:
                self._open(waiter)

    async def _connect(self, waiter: Waiter[ServiceConnection]) -> None:
        connecting = self.connector.connect(self)
        try:
            connection = await dial(connecting, self.instance, timeout_s=self.connector.config.dial_timeout)
        except GatewayError as error:
            waiter.set_error(error)
        except asyncio.CancelledError:
            waiter.set_error(GatewayError(ErrorType.UNAVAILABLE, "the gateway is shutting down"))
            raise
        else:
            self._connections.add(connection)
            self.connector.opened(connection)
            if waiter.is_done:
                # Whoever wanted it is gone; somebody else will use it.
                self.take_back(connection)
            else:
                waiter.set_result(connection)

    def __repr__(self) -> str:
        return (
            f"<InstancePool {self.instance.id}: {len(self.idle)} idle of {len(self._connections)}, "
            f"{len(self._waiting)} waiting>"
        )
