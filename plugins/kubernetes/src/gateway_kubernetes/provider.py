"""The discovery provider ``kubernetes``."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Self

from gateway.blocking import BlockingCalls
from gateway_kubernetes.addressing import Addressing
from gateway_kubernetes.catalogue import Catalogue, named
from gateway_kubernetes.cluster import ApiError, Cluster
from gateway_kubernetes.exposure import Exposure
from gateway_kubernetes.problems import ProblemLog
from gateway_kubernetes.reflection import NODES, SERVICES, SLICES, Reflection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from gateway import BuildContext
    from gateway.interfaces import Publish
    from gateway_kubernetes.catalogue import Joined, Names, Snapshot
    from gateway_kubernetes.config import KubernetesConfig
    from gateway_kubernetes.reflection import Resource

__all__ = ["KubernetesProvider", "steps"]

SHORTEST_GAP_S = 0.1
"""Between two snapshots: a service that flaps, or a server that floods, causes ten a second."""
CHANGES_AT_ONCE = 50
"""How many services change in one step: a few milliseconds for what takes them over."""
JOIN_TIMEOUT_S = 30.0


class KubernetesProvider:
    """Publishes the services of a cluster, and every change of them within a moment.

    Each kind of object in each namespace is followed by work of its own, so that one namespace that is forbidden does
    not keep the others from being followed, and ``/_gateway/health`` says so.

    Args:
        config: The validated block.
        context: The gateway.

    Attributes:
        config: As given.
        cluster: Whom it asks.
        names: What services are called, by namespace and name.
        is_named: Set when that is known for the first time.
    """

    def __init__(self, config: KubernetesConfig, context: BuildContext) -> None:
        self.config = self._config = config
        self._context = context
        self._problems = ProblemLog(context.logger)
        self._calls = BlockingCalls(f"gateway {context.name}")
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sizes: dict[str, int] = {}
        self.names: Names = {}
        self.is_named = asyncio.Event()
        self._told_of_names: set[Callable[[], None]] = set()
        kubeconfig = context.resolve(config.kubeconfig) if config.kubeconfig else None
        self.cluster = Cluster(kubeconfig, config.context, config.timeout, self._calls)
        addressing = Addressing(config.mode, config.node_address)
        self._catalogue = Catalogue(
            Exposure(config.gateway_annotation, config.annotation_prefix, config.port_name),
            addressing,
            self._tell,
        )
        self._namespaces = config.namespaces or ("",)
        # What was published last, also by the provider before a reload; of one cluster only.
        self._origin = (config.kubeconfig, config.context)
        self._kept: dict[tuple[str, str], Joined] = context.keep("joined", dict)
        self._reflections = [
            self._reflection(resource, namespace, selector)
            for resource, selector, is_needed in (
                (SERVICES, config.label_selector, True),
                (SLICES, "", addressing.needs_slices),
                (NODES, "", addressing.needs_nodes),
            )
            if is_needed
            for namespace in (self._namespaces if resource.is_namespaced else ("",))
        ]
        for reflection in self._reflections:
            context.background.start(reflection.name, reflection.follow)
        context.expose(context.name, self.status)

    async def __aenter__(self) -> Self:
        """Check the configuration: with a file or certificates that are none, a gateway does not start."""
        self._loop = asyncio.get_running_loop()
        try:
            connection = await self.cluster.connection()
        except (ApiError, TimeoutError) as error:
            # Another program fetches the credentials, and may be able to in a moment.
            self._context.logger.warning("%s: %s", self._context.name, str(error) or "no credentials in time")
            return self
        if not connection.is_verified:
            self._context.logger.warning(
                "%s: %s does not have to prove who it is; whoever is on the way decides where requests go",
                self._context.name,
                connection.server,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close connections; the work that used them has ended."""
        self.cluster.close()

    async def watch(self, publish: Publish) -> None:
        """Publish all services now, and whenever anything changes."""
        for reflection in self._reflections:
            await reflection.is_settled.wait()
        published: Snapshot | None = None
        while True:
            # Before the snapshot, so that what happens during it causes another one.
            self._changed.clear()
            # In a thread: ten thousand endpoints take a while, and this loop may be the one that serves.
            unknown = self._unknown_namespaces
            joined, snapshot, names, problems = await self._calls.run(partial(self._join, unknown), JOIN_TIMEOUT_S)
            if len(unknown) < len(self._namespaces):
                for step in steps(published, snapshot, CHANGES_AT_ONCE):
                    publish(step)
                    # What is served gets its turn.
                    await asyncio.sleep(0)
                published = snapshot
                self._kept.clear()
                self._kept[self._origin] = joined
                self._sizes = {service: len(endpoints) for service, endpoints in snapshot.items()}
            if any(reflection.is_listed for reflection in self._reflections):
                self._take_names(names)
            unread = [problem for reflection in self._reflections for problem in reflection.problems]
            self._problems.replace([*unread, *problems])
            await asyncio.sleep(SHORTEST_GAP_S)
            await self._changed.wait()

    @property
    def _unknown_namespaces(self) -> frozenset[str]:
        """Those in which not everything was listed that instances are made of."""
        missing = [each for each in self._reflections if not each.is_listed]
        if any(not each.resource.is_namespaced for each in missing):
            return frozenset(self._namespaces)
        return frozenset(each.namespace for each in missing)

    def _join(self, unknown: frozenset[str]) -> tuple[Joined, Snapshot, Names, list[str]]:
        """Return the services by namespace and by name, the names, and the problems.

        Services without their slices have no instances: said too early, that would take away what was found before a
        reload. So of namespaces that are unknown it is what was published last.
        """
        joined, problems = self._catalogue.joined()
        before = self._kept.get(self._origin, {})
        joined.update({key: endpoints for key, endpoints in before.items() if key[0] in unknown})
        snapshot, names, ambiguities = named(joined, has_qualified_names=self._config.qualified_names)
        return joined, snapshot, names, [*problems, *ambiguities]

    @contextlib.contextmanager
    def naming(self, tell: Callable[[], None]) -> Iterator[None]:
        """Call ``tell``, on the event loop, whenever services are called otherwise."""
        self._told_of_names.add(tell)
        try:
            yield
        finally:
            self._told_of_names.discard(tell)

    def status(self) -> dict[str, object]:
        """Return how it is doing, for ``/_gateway/kubernetes``."""
        states = {reflection.state for reflection in self._reflections}
        return {
            "provider": self._context.name,
            "server": self.cluster.server,
            "state": "unavailable" if states == {"failing"} else "degraded" if "failing" in states else "connected",
            "mode": self._config.mode,
            "watches": [reflection.status() for reflection in self._reflections],
            "services": self._sizes,
            "problems": list(self._problems.current),
        }

    def _reflection(self, resource: Resource, namespace: str, selector: str) -> Reflection:
        return Reflection(
            resource,
            namespace,
            selector,
            self.cluster,
            self._catalogue,
            self._config.refresh_interval,
            self._config.timeout,
        )

    def _take_names(self, names: Names) -> None:
        """Say what services are called, once their instances are known."""
        has_changed, self.names = names != self.names or not self.is_named.is_set(), names
        self.is_named.set()
        for tell in self._told_of_names if has_changed else ():
            tell()

    def _tell(self) -> None:
        """Wake ``watch``; from whichever thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._changed.set)


def steps(before: Snapshot | None, after: Snapshot, size: int) -> Iterator[Snapshot]:
    """Yield the snapshots that lead from one to another, with so many services changed in each.

    The directory takes over a snapshot in one go, and ten thousand endpoints that change at once keep the event loop
    for a tenth of a second. The first snapshot is whole, and one that changes nothing is yielded too.
    """
    if before is None:
        yield after
        return
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    current = before
    for begin in range(0, len(changed) - size, size):
        some = {name: after[name] for name in changed[begin : begin + size] if name in after}
        gone = set(changed[begin : begin + size]) - some.keys()
        current = {name: endpoints for name, endpoints in {**current, **some}.items() if name not in gone}
        yield current
    yield after


if TYPE_CHECKING:
    from gateway.interfaces import DiscoveryProvider

    _: type[DiscoveryProvider] = KubernetesProvider
