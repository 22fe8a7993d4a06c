"""Writes the status of routes: only what changed, the newest word only, and not too fast."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.blocking import BlockingCalls, StuckCallsError
from gateway_kubernetes.cluster import ApiError
from gateway_kubernetes.problems import DiscoveryError
from gateway_kubernetes.route_objects import GROUP, PLURAL, merge_conditions

if TYPE_CHECKING:
    import logging
    from collections.abc import Collection

    from gateway_kubernetes.cluster import Cluster
    from gateway_kubernetes.objects import Key
    from gateway_kubernetes.route_objects import Condition, RouteObject

    Said = tuple[str, tuple[Condition, ...]]
    """The identity of an object, and what was said of it."""

__all__ = ["StatusWriter"]

WRITES_PER_S = 20.0
"""As many as client-go allows a client by default (``rest.Config.QPS`` is 5 with bursts of 10; controllers take 20)."""
RETRY_S = 5.0
_GONE = (404, 409, 422)
"""It was deleted, is another one by now, or does not take this status; there is nothing to try again."""
_FORBIDDEN = 403


class StatusWriter:
    """Writes what routes are told.

    What was written once is not written again, whatever somebody else writes: two gateways that disagree about a route
    must not answer each other for ever.

    Args:
        cluster: Whom to tell.
        timeout_s: How long an answer may take.
        logger: Where it says that it must not write.
    """

    def __init__(self, cluster: Cluster, timeout_s: float, logger: logging.Logger) -> None:
        self._cluster = cluster
        self._timeout_s = timeout_s
        self._logger = logger
        self._calls = BlockingCalls("gateway kubernetes status")
        self._waiting: dict[Key, tuple[RouteObject, tuple[Condition, ...]]] = {}
        self._said: dict[Key, Said] = {}
        self._has_work = asyncio.Event()
        self.problem = ""

    def say(self, route: RouteObject, conditions: tuple[Condition, ...]) -> None:
        """Write conditions soon, unless they are what was said before or stands there already."""
        if self._said.get(route.key) == (route.uid, conditions):
            if route.key in self._waiting:
                self._waiting[route.key] = (route, conditions)
            return
        self._said[route.key] = (route.uid, conditions)
        written = {each.type: each for each in route.conditions}
        if all(each.type in written and each.says_as(written[each.type]) for each in conditions):
            self._waiting.pop(route.key, None)
            return
        self._waiting[route.key] = (route, conditions)
        self._has_work.set()

    def keep_only(self, keys: Collection[Key]) -> None:
        """Forget objects that are gone."""
        for table in (self._waiting, self._said):
            for key in table.keys() - keys:
                del table[key]

    async def write(self) -> None:
        """Write what there is to say, until cancelled."""
        while True:
            await self._has_work.wait()
            if not self._waiting:
                self._has_work.clear()
                continue
            key = next(iter(self._waiting))
            route, conditions = self._waiting.pop(key)
            try:
                await self._write(route, conditions)
                self.problem = ""
            except (ApiError, DiscoveryError, StuckCallsError, TimeoutError) as error:
                await self._rest(route, conditions, error)
            await asyncio.sleep(1 / WRITES_PER_S)

    async def _rest(self, route: RouteObject, conditions: tuple[Condition, ...], error: Exception) -> None:
        status = getattr(error, "status", 0)
        if status in _GONE:
            return
        reason = str(error) or f"no answer within {self._timeout_s:g} s"
        problem = f"the status of {route.name} cannot be written: {reason}"
        if not self.problem:
            self._logger.warning("%s", problem)
        self.problem = problem
        # What was said meanwhile is newer.
        self._waiting.setdefault(route.key, (route, conditions))
        await asyncio.sleep(RETRY_S * (12 if status == _FORBIDDEN else 1))

    async def _write(self, route: RouteObject, conditions: tuple[Condition, ...]) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        merged = merge_conditions(conditions, route.conditions, now)
        namespace, name = route.key
        status = {"observedGeneration": route.generation, "conditions": [each.as_object() for each in merged]}
        # With its identity: an object of this name that was made anew has another spec.
        body = json.dumps({"metadata": {"uid": route.uid} if route.uid else {}, "status": status}).encode()
        path = f"{GROUP}/namespaces/{namespace}/{PLURAL}/{name}/status"
        connection = await self._cluster.connection()
        await self._calls.run(lambda: connection.merge(path, body), self._timeout_s)
