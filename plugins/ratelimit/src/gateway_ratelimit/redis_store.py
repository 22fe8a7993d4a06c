"""A Redis that limits count in: its client, a lane for each of its servers, and what is known of its health."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, NoScriptError

from gateway_ratelimit.redis_connection import connect
from gateway_ratelimit.redis_lane import UNAVAILABLE, Lane, LaneOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio.cluster import ClusterNode

    from gateway import BuildContext
    from gateway_ratelimit.redis_lane import Command, Reply
    from gateway_ratelimit.scripts import Script
    from gateway_ratelimit.store_config import RedisConfig

__all__ = ["RedisStore"]

MAX_LANES = 1000
"""As many nodes as a cluster may have; beyond, the lanes of those that left it go."""
FIRST_PROBE_TIMEOUT_S = 5.0
"""The start goes on then; well within the 10 s that a component has for it."""


class RedisStore:
    """See the top of this module.

    Args:
        name: What the configuration calls it.
        config: How to reach it.
        context: As ``build`` gets it.
    """

    def __init__(self, name: str, config: RedisConfig, context: BuildContext) -> None:
        self._name = name
        self._logger = context.logger
        self._client, self._sentinels = connect(config, context.resolve)
        self._lanes: dict[str, Lane] = {}
        self._options = LaneOptions(
            send=self._send,
            probe=self._probe,
            outage=self._note_outage,
            recovery=self._note_recovery,
            timeout_s=config.timeout,
            max_flights=config.max_connections,
        )
        outages = context.metrics.counter(
            "gateway_ratelimit_store_outages_total", "How often a store of rate limits stopped to answer.", ("store",)
        )
        self._outages = outages.labels(name)
        closed = context.metrics.gauge(
            "gateway_ratelimit_store_down", "Servers of a store of rate limits that do not answer.", ("store",)
        )
        self._closed = closed.labels(name)

    @classmethod
    async def open(cls, name: str, config: RedisConfig, context: BuildContext) -> Self:
        """Return a store that was asked once whether it works; one that is down is no reason not to start.

        Raises:
            PermissionError: If it refuses us: somebody has to change the configuration.
        """
        store = cls(name, config, context)
        # Within the prefix, beyond which an ACL may let us do nothing.
        key = config.key_prefix.encode()
        try:
            async with asyncio.timeout(FIRST_PROBE_TIMEOUT_S):
                await store._probe(key)
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            await store.aclose()
            raise PermissionError(f"Redis refuses us ({error}); see username and password of store {name!r}") from error
        except UNAVAILABLE as error:
            store._lane(key).close(error, key)
        return store

    async def aclose(self) -> None:
        """Close all connections."""
        for lane in self._lanes.values():
            if lane.is_closed:
                self._closed.add(-1)
            await lane.aclose()
        await self._client.aclose()
        for sentinel in self._sentinels.sentinels if self._sentinels is not None else ():
            await sentinel.aclose()

    async def ask(self, command: Command) -> Reply:
        """Run a script and return what it returned; ``None`` if there is no answer in time."""
        return await self._lane(command.key).ask(command)

    def tell(self, command: Command) -> None:
        """Run a script of which nobody waits for the result."""
        self._lane(command.key).tell(command)

    def _lane(self, key: bytes) -> Lane:
        """Return the lane to the server that has ``key``: one node that is down must not take the others with it."""
        node = self._node(key)
        name = "" if node is None else str(node.name)
        lane = self._lanes.get(name)
        if lane is None:
            if len(self._lanes) >= MAX_LANES:
                self._lanes = {name: lane for name, lane in self._lanes.items() if not lane.is_idle}
            lane = self._lanes[name] = Lane(self._options)
        return lane

    def _node(self, key: bytes) -> ClusterNode | None:
        """Return the node of a cluster that has ``key``; ``None`` if nobody has, or there is no cluster."""
        if not isinstance(self._client, RedisCluster):
            return None
        try:
            return self._client.get_node_from_key(key.decode())
        except UNAVAILABLE:
            return None

    async def _send(self, commands: Sequence[Command]) -> list[object]:
        results = await self._pipeline(commands, known=True)
        unknown = [number for number, result in enumerate(results) if isinstance(result, NoScriptError)]
        if unknown:
            # Redis is new, or was restarted.
            again = await self._pipeline([commands[number] for number in unknown], known=False)
            for number, result in zip(unknown, again, strict=True):
                results[number] = result
        return results

    async def _pipeline(self, commands: Sequence[Command], *, known: bool) -> list[Any]:
        """Run scripts; those that the server does not know are sent as a whole, the first time each."""
        sent: set[Script] = set()
        async with self._client.pipeline(transaction=False) as pipeline:
            for script, key, arguments in commands:
                if known or script in sent:
                    pipeline.execute_command("EVALSHA", script.sha, 1, key, *arguments)
                else:
                    sent.add(script)
                    pipeline.execute_command("EVAL", script.source, 1, key, *arguments)
            results: list[Any] = await pipeline.execute(raise_on_error=False)
            return results

    async def _probe(self, key: bytes) -> None:
        # Idle connections do not always know that the server was restarted meanwhile.
        if isinstance(self._client, Redis):
            await self._client.connection_pool.disconnect(inuse_connections=False)
        elif (node := self._node(key)) is not None:
            await node.disconnect_free_connections()
        await self._client.execute_command("EXISTS", key)

    def _note_outage(self, error: BaseException) -> None:
        self._outages.add()
        self._closed.add()
        self._logger.warning("Redis of the store %r does not answer: %s: %s", self._name, type(error).__name__, error)

    def _note_recovery(self) -> None:
        self._closed.add(-1)
        self._logger.info("Redis of the store %r answers again", self._name)
