"""The connections to one instance: few, each for many requests, and a queue where all of them are full."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError, Waiter
from gateway.dialing import MAX_WAITING, dial, patience_s, too_busy, too_slow

if TYPE_CHECKING:
    from gateway import Exchange, Instance
    from gateway_http2.connector import Http2Connector
    from gateway_http2.service_connection import ServiceConnection

__all__ = ["InstancePool"]


class InstancePool:
    """The connections to one instance.

    Args:
        connector: Its settings, and what opens connections.
        instance: The instance.

    Attributes:
        instance: As given.
    """

    __slots__ = ("_connections", "_connector", "_opening", "_waiting", "instance")

    def __init__(self, connector: Http2Connector, instance: Instance) -> None:
        self.instance = instance
        self._connector = connector
        self._connections: list[ServiceConnection] = []
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

    def reserve(self) -> ServiceConnection | None:
        """Return a connection with a stream kept for the caller; ``None`` if there is none to be had at once."""
        if not self._waiting:
            for connection in self._connections:
                if connection.reserve():
                    return connection
        return None

    async def acquire(self, exchange: Exchange) -> ServiceConnection:
        """Return a connection with a stream kept for one exchange: a new one, or one that has room again.

        How long that took is added to the exchange's ``connect_s`` or ``queue_s``.

        Raises:
            GatewayError: ``bad_gateway`` if it cannot be opened, ``upstream_timeout`` if that takes too long,
                ``unavailable`` if too many wait already.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise too_busy(self.instance)
        waiter: Waiter[ServiceConnection] = Waiter()
        self._waiting.append(waiter)
        is_full = not self._open_if_wanted()
        what = "no stream became free" if is_full else "did not accept a connection"
        timeout_s = patience_s(exchange, self._connector.config.dial_timeout)
        handle = asyncio.get_running_loop().call_later(
            timeout_s,
            waiter.set_error,
            too_slow(self.instance, f"{what} within {timeout_s} s", is_unsent=True),
        )
        started_s = time.monotonic()
        try:
            return await self._arrival(waiter)
        finally:
            handle.cancel()
            if is_full:
                exchange.queue_s += time.monotonic() - started_s
            else:
                exchange.connect_s += time.monotonic() - started_s
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    async def _arrival(self, waiter: Waiter[ServiceConnection]) -> ServiceConnection:
        try:
            return await waiter
        except asyncio.CancelledError:
            # A task may be cancelled when the stream was handed over already: somebody else will use it.
            if waiter.is_done:
                with contextlib.suppress(asyncio.CancelledError, GatewayError):
                    waiter.result().release()
            raise

    def room_changed(self) -> None:
        """Give streams that became free to those who wait."""
        while self._waiting:
            connection = next((each for each in self._connections if each.reserve()), None)
            if connection is None:
                self._open_if_wanted()
                return
            waiter = self._waiting.popleft()
            if waiter.is_done:
                connection.release()
            else:
                waiter.set_result(connection)

    def withdraw(self, connection: ServiceConnection) -> None:
        """Offer a connection to nobody any more; it may have streams still."""
        if connection in self._connections:
            self._connections.remove(connection)
            self.room_changed()

    def forget(self, connection: ServiceConnection) -> None:
        """Drop a connection that is gone."""
        self._connector.closed(connection)
        self.withdraw(connection)

    def close(self) -> None:
        """Cut what is under way."""
        for task in self._opening:
            task.cancel()
        for connection in list(self._connections):
            connection.close()

    def _open_if_wanted(self) -> bool:
        """Open a connection if those that are being opened are not enough for who waits; returns whether one is."""
        config = self._connector.config
        room = len(self._opening) * config.max_concurrent_streams
        if len(self._waiting) > room and len(self._connections) + len(self._opening) < config.max_conns_per_host:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        return bool(self._opening)

    async def _connect(self) -> None:
        connecting = self._connector.connect(self)
        try:
            connection = await dial(connecting, self.instance, timeout_s=self._connector.config.dial_timeout)
        except GatewayError as error:
            self._refuse(error)
        except asyncio.CancelledError:
            self._refuse(GatewayError(ErrorType.UNAVAILABLE, "the gateway is shutting down"))
            raise
        else:
            self._connections.append(connection)
            self._connector.opened(connection)
            self.room_changed()

    def _refuse(self, error: GatewayError) -> None:
        """Tell those who wait, unless there are connections that will have room for them."""
        if self._connections:
            return
        waiting, self._waiting = self._waiting, deque()
        for waiter in waiting:
            waiter.set_error(error)

    def __repr__(self) -> str:
        return f"<InstancePool {self.instance.id}: {len(self._connections)} open, {len(self._waiting)} waiting>"
