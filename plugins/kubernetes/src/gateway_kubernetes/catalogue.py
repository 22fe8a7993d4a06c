"""Joins services, slices and nodes to what is published, and works out only what changed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gateway_kubernetes.objects import Node, Service, Slice
from gateway_kubernetes.problems import MAX_PROBLEMS, ObjectError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway import Endpoint
    from gateway_kubernetes.addressing import Addressing
    from gateway_kubernetes.exposure import Exposure
    from gateway_kubernetes.objects import Key
    from gateway_kubernetes.reflection import Record

    Joined = dict[Key, tuple[Endpoint, ...]]
    """All services by namespace and name, with their instances."""
    Snapshot = Mapping[str, tuple[Endpoint, ...]]
    """All services by name, with their instances."""
    Names = Mapping[Key, str]
    """What services are called, by namespace and name."""

__all__ = ["Catalogue", "named"]


class Catalogue:
    """Everything that is known. Its methods may be called from any thread.

    Args:
        exposure: What services offer.
        addressing: Where they are reached.
        changed: Called when there may be something new to publish, or to say; from whichever thread.
    """

    def __init__(self, exposure: Exposure, addressing: Addressing, changed: Callable[[], None]) -> None:
        self._exposure = exposure
        self._addressing = addressing
        self._changed = changed
        self._lock = threading.Lock()
        self._services: dict[Key, Service] = {}
        self._slices: dict[Key, dict[Key, Slice]] = {}
        self._homes: dict[Key, Key] = {}
        self._nodes: dict[Key, Node] = {}
        self._outdated: set[Key] = set()
        self._published: Joined = {}
        self._problems: dict[Key, str] = {}

    def change(self, removed: Sequence[Record], put: Sequence[Record]) -> None:
        """Take over that some records are gone, and others new or different."""
        with self._lock:
            for record in removed:
                self._remove(record)
            for record in put:
                self._put(record)
        self._changed()

    def joined(self) -> tuple[Joined, list[str]]:
        """Return all services with their instances, and the problems of those left out."""
        with self._lock:
            for key in self._outdated:
                self._resolve(key)
            self._outdated.clear()
            return dict(self._published), sorted(self._problems.values())

    def _remove(self, record: Record) -> None:
        if isinstance(record, Service):
            self._services.pop(record.key, None)
            self._outdated.add(record.key)
        elif isinstance(record, Slice):
            self._move_out(record.key)
        elif isinstance(record, Node):
            self._nodes.pop(record.key, None)
            self._outdated.update(self._services)

    def _put(self, record: Record) -> None:
        if isinstance(record, Service):
            self._services[record.key] = record
            self._outdated.add(record.key)
        elif isinstance(record, Slice):
            self._move_out(record.key)
            home = self._homes[record.key] = (record.key[0], record.service)
            self._slices.setdefault(home, {})[record.key] = record
            self._outdated.add(home)
        elif isinstance(record, Node):
            self._nodes[record.key] = record
            self._outdated.update(self._services)

    def _move_out(self, key: Key) -> None:
        """Take a slice away from its service, which may be another one than before."""
        home = self._homes.pop(key, None)
        if home is None:
            return
        self._slices[home].pop(key, None)
        if not self._slices[home]:
            del self._slices[home]
        self._outdated.add(home)

    def _resolve(self, key: Key) -> None:
        """Work out the instances of a service anew."""
        self._problems.pop(key, None)
        self._published.pop(key, None)
        service = self._services.get(key)
        if service is None:
            return
        try:
            if not self._exposure.is_on(service):
                return
            slices = [each for _, each in sorted(self._slices.get(key, {}).items())]
            exposed = self._exposure.of(service)
            self._published[key] = self._addressing.endpoints(service, exposed, slices, self._nodes.values())
        except ObjectError as error:
            if len(self._problems) < MAX_PROBLEMS:
                self._problems[key] = f"service {key[1]} in {key[0]} is left out: {error}"


def named(joined: Joined, *, has_qualified_names: bool) -> tuple[Snapshot, Names, list[str]]:
    """Name the services. Those of two namespaces are never mixed: neither is the one that a route meant.

    Args:
        joined: The services.
        has_qualified_names: Whether every name has its namespace.

    Returns:
        The services by name, the names, and which are called otherwise because there are several.
    """
    problems: list[str] = []
    namespaces: dict[str, list[str]] = {}
    for namespace, name in joined:
        namespaces.setdefault(name, []).append(namespace)
    names = {
        (namespace, name): f"{name}.{namespace}" if has_qualified_names or len(namespaces[name]) > 1 else name
        for namespace, name in joined
    }
    named = {names[key]: endpoints for key, endpoints in joined.items()}
    if not has_qualified_names:
        for name, found in sorted(namespaces.items()):
            if len(found) > 1:
                called = ", ".join(f"{name}.{namespace}" for namespace in sorted(found)[:10])
                problems.append(f"{len(found)} namespaces have a service {name}; they are called {called}")
    return named, names, problems
