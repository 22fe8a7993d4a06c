"""Fetching anew what was just given stale (RFC 5861 section 3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import GatewayError

if TYPE_CHECKING:
    import logging

    from gateway import Exchange
    from gateway_cache.route import CachingRoute, Fetch
    from gateway_cache.stored import StoredResponse

__all__ = ["Refreshes"]

MAX_WAITING = 256
"""More than this are not asked for; the next client of a stale response asks again."""
MAX_AT_ONCE = 16
TIMEOUT_S = 60.0


class Refreshes:
    """A bounded number of fetches beside the exchanges.

    Args:
        logger: For what fails.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._waiting: asyncio.Queue[tuple[CachingRoute, Fetch]] = asyncio.Queue(MAX_WAITING)

    def ask_for(self, route: CachingRoute, exchange: Exchange, stored: StoredResponse) -> None:
        """Have a stored response fetched anew, unless that is under way or there is too much of it."""
        if self._waiting.full():
            return
        fetch = route.refresh_of(exchange, stored)
        if fetch is not None:
            self._waiting.put_nowait((route, fetch))

    async def run(self) -> None:
        """Fetch, until cancelled."""
        slots = asyncio.Semaphore(MAX_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await slots.acquire()
                route, fetch = await self._waiting.get()
                task = tasks.create_task(self._refresh(route, fetch))
                task.add_done_callback(lambda _: slots.release())

    def close(self) -> None:
        """Give up what is still waiting, so that nobody waits for it."""
        while not self._waiting.empty():
            route, fetch = self._waiting.get_nowait()
            route.give_up(fetch)

    async def _refresh(self, route: CachingRoute, fetch: Fetch) -> None:
        uri = fetch.flight.uri.partition("?")[0]
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await route.refresh(fetch)
        except (GatewayError, TimeoutError) as error:
            self._logger.info("%s could not be fetched anew: %s", uri, error)
        except Exception:
            # One that fails must not end the others.
            self._logger.exception("%s could not be fetched anew", uri)
