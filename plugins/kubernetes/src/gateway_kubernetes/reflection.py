"""Keeps a copy of the objects of one kind in one namespace: lists them, and watches what changes.

As "Efficient detection of changes" in the documentation of the Kubernetes API has it: a list says its resource version,
a watch begins there, bookmarks move it on, and 410 means that it is too old and everything must be listed again.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gateway.blocking import BlockingCalls, StuckCallsError
from gateway_kubernetes.cluster import ApiError, parse_object
from gateway_kubernetes.objects import parse_key, parse_node, parse_service, parse_slice
from gateway_kubernetes.problems import MAX_PROBLEMS, DiscoveryError, ObjectError
from gateway_kubernetes.watch_stream import WatchStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway_kubernetes.cluster import Cluster, Connection
    from gateway_kubernetes.objects import Key, Node, Service, Slice
    from gateway_kubernetes.route_objects import RouteObject

    Record = Service | Slice | Node | RouteObject

__all__ = ["NODES", "SERVICES", "SLICES", "Audience", "Reflection", "Resource"]

PAGE_SIZE = 100
"""Objects in a page of a list: half a megabyte or so, which is parsed in a few milliseconds and then forgotten."""
MAX_OBJECTS = 100_000
"""Of one kind; twenty times what Kubernetes is tested with ("Considerations for large clusters": 10,000 services)."""
MAX_PAGES = 1000
REST_S = 0.005
"""Between two pages."""
LIST_TIMEOUT_S = 120.0
"""For all pages together."""
WATCH_S = 240.0
"""How long a watch lasts before another one takes over from where it ended; times 0.75 to 1.25."""
SHORT_WATCH_S = 5.0
"""A watch that ends sooner may be about to end at once every time; the next ones begin later and later."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0
MAX_FAILURES = 6
"""More make the jitter no longer: 6.4 s."""
MAX_VERSION_LENGTH = 64
_GONE = 410
_UNAUTHORIZED = 401
_REFUSALS = (403, 404)
"""It may not be read, or there is no such kind of objects: nothing that passes by itself."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects.

    Attributes:
        name: As it stands in paths, and in roles.
        group: The path of its API group and version.
        parse: Makes a record of an object; ``None`` is one that does not matter.
        is_namespaced: Whether its objects stand in namespaces.
        selector: Which of them matter, by their labels.
    """

    name: str
    group: str
    parse: Callable[[Mapping[str, Any]], Record | None]
    is_namespaced: bool = True
    selector: str = ""

    def path(self, namespace: str) -> str:
        """Return where they are listed; without a namespace, all of them."""
        return f"{self.group}/namespaces/{namespace}/{self.name}" if namespace else f"{self.group}/{self.name}"


SERVICES = Resource("services", "/api/v1", parse_service)
SLICES = Resource("endpointslices", "/apis/discovery.k8s.io/v1", parse_slice, selector="kubernetes.io/service-name")
NODES = Resource("nodes", "/api/v1", parse_node, is_namespaced=False)


class Audience(Protocol):
    """Is told what changes, from any thread."""

    def change(self, removed: Sequence[Record], put: Sequence[Record]) -> None:
        """Take over that some records are gone, and others new or different."""


@dataclass(slots=True)
class _Copy:
    """What is known, and of which version of the cluster."""

    records: dict[Key, Record] = field(default_factory=dict)
    version: str = ""
    problems: dict[Key, str] = field(default_factory=dict)


class Reflection:
    """A copy of the objects of one kind. Its methods are called on the event loop.

    Args:
        resource: Which kind.
        namespace: Where; empty is everywhere.
        selector: Which of them, by their labels.
        cluster: Whom to ask.
        audience: Is told what changes.
        refresh_interval_s: How long until everything is listed again.
        timeout_s: How long an answer may take.

    Attributes:
        state: ``starting``, ``listing``, ``watching`` or ``failing``.
        error: Why it fails; empty if it does not.
        is_listed: Whether it knows everything there is, or was when it was last asked.
        is_settled: Set when it is listed or has failed.
        is_refused: Whether it fails because the objects may not be read, or there are none of this kind.
        lists: How often everything was listed.
    """

    def __init__(
        self,
        resource: Resource,
        namespace: str,
        selector: str,
        cluster: Cluster,
        audience: Audience,
        refresh_interval_s: float,
        timeout_s: float,
    ) -> None:
        self.resource = resource
        self.namespace = namespace
        self.state = "starting"
        self.error = ""
        self.is_listed = False
        self.is_settled = asyncio.Event()
        self.is_refused = False
        self.lists = 0
        self._path = resource.path(namespace)
        self._selector = ",".join(filter(None, (resource.selector, selector)))
        self._cluster = cluster
        self._audience = audience
        self._refresh_interval_s = refresh_interval_s
        self._timeout_s = timeout_s
        self._calls = BlockingCalls(f"gateway {self.name}")
        self._copy = _Copy()
        self._lock = threading.Lock()
        self._list_due_s = 0.0
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"kubernetes {self.resource.name}" + (f" in {self.namespace}" if self.namespace else "")

    @property
    def problems(self) -> list[str]:
        """What could not be read."""
        return list(self._copy.problems.values())

    def status(self) -> dict[str, object]:
        """Return how it is doing."""
        return {
            "resource": self.resource.name,
            "namespace": self.namespace,
            "state": self.state,
            "error": self.error,
            "objects": len(self._copy.records),
            "resourceVersion": self._copy.version,
            "lists": self.lists,
        }

    async def follow(self) -> None:
        """Keep the copy up to date.

        Raises:
            DiscoveryError: If the API server cannot be asked; to be called again later. What is known stays, and so
                does from where to watch.
        """
        if self._failures:
            # Many gateways should not come back to one server at once; the delay itself is the supervisor's.
            await asyncio.sleep(random.uniform(0, 0.1 * 2**self._failures))  # noqa: S311 - no secret
        connection = None
        try:
            connection = await self._cluster.connection()
            while True:
                if not self._copy.version or time.monotonic() >= self._list_due_s:
                    await self._list(connection)
                await self._watch(connection)
        except (ApiError, StuckCallsError, DiscoveryError, TimeoutError) as error:
            if connection is not None and getattr(error, "status", 0) in {0, _UNAUTHORIZED}:
                # Its credentials may have been replaced, or its certificates, or the address it was found at.
                self._cluster.renew(connection)
            self.is_refused = getattr(error, "status", 0) in _REFUSALS
            self._fail(str(error) or f"no answer within {self._timeout_s:g} s")
            # The frames of the libraries below say nothing that an operator could use.
            raise DiscoveryError(self.error) from None
        except Exception as error:
            self._fail(type(error).__name__)
            raise

    def _fail(self, error: str) -> None:
        self._failures = min(self._failures + 1, MAX_FAILURES)
        self.state, self.error = "failing", error
        self.is_settled.set()

    async def _list(self, connection: Connection) -> None:
        self.state = "listing"
        is_over = threading.Event()
        await self._calls.run(lambda: self._read_list(connection, is_over), LIST_TIMEOUT_S, is_over.set)
        self._list_due_s = time.monotonic() + self._refresh_interval_s * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
        self.lists += 1
        was_listed, self.is_listed = self.is_listed, True
        self.is_settled.set()
        if not was_listed:
            # It was told of the objects before it could see that these are all.
            self._audience.change((), ())

    async def _watch(self, connection: Connection) -> None:
        began_s = time.monotonic()
        lasts_s = max(1.0, min(WATCH_S * random.uniform(0.75, 1.25), self._list_due_s - began_s))  # noqa: S311 - no secret
        params = {
            "watch": "1",
            "resourceVersion": self._copy.version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(round(lasts_s)),
            **self._selection(),
        }
        stream = WatchStream(connection, self._path, params, lasts_s + self._timeout_s)
        try:
            await self._calls.run(
                lambda: stream.run(self._opened, self._receive), lasts_s + 3 * self._timeout_s, stream.close
            )
        except TimeoutError:
            # It should have ended by itself: its connection may be dead.
            stream.close()
        except ApiError as error:
            if error.status != _GONE:
                raise
            self._copy.version = ""
        is_short = time.monotonic() - began_s < min(SHORT_WATCH_S, lasts_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S) if is_short else FIRST_PAUSE_S
        await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret

    def _selection(self) -> dict[str, str]:
        return {"labelSelector": self._selector} if self._selector else {}

    # Below: called in threads.

    def _opened(self) -> None:
        self.state, self.error, self._failures = "watching", "", 0
        if self.is_refused:
            self.is_refused = False
            self._audience.change((), ())

    def _read_list(self, connection: Connection, is_over: threading.Event) -> None:
        fresh = _Copy()
        params = {"limit": str(PAGE_SIZE), **self._selection()}
        for _ in range(MAX_PAGES):
            page = connection.get(self._path, params)
            metadata = page.get("metadata")
            items = page.get("items")
            if not isinstance(metadata, dict) or not isinstance(items, list | None):
                raise ApiError("what it lists is no list")
            for item in items or ():
                self._take(fresh, item)
            fresh.version = _version(metadata) or fresh.version
            token = metadata.get("continue")
            if not token or not isinstance(token, str):
                self._replace(fresh, is_over)
                return
            params["continue"] = token
            # Other threads of the process have requests to serve.
            is_over.wait(REST_S)
        msg = f"it lists more than {MAX_PAGES} pages"
        raise ApiError(msg)

    def _replace(self, fresh: _Copy, is_over: threading.Event) -> None:
        if not fresh.version:
            raise ApiError("it lists without a resourceVersion")
        with self._lock:
            if is_over.is_set():
                return
            before = self._copy.records
            for key in fresh.problems:
                # What was known of it last stays in force.
                if key in before and key not in fresh.records:
                    fresh.records[key] = before[key]
            self._copy = fresh
        removed = [record for key, record in before.items() if key not in fresh.records]
        put = [record for key, record in fresh.records.items() if before.get(key) != record]
        self._audience.change(removed, put)

    def _receive(self, lines: Sequence[bytes]) -> None:
        """Take over some events."""
        removed: dict[Key, Record] = {}
        put: dict[Key, Record] = {}
        try:
            with self._lock:
                for line in lines:
                    self._take_event(line, removed, put)
        finally:
            self._audience.change(list(removed.values()), list(put.values()))

    def _take_event(self, line: bytes, removed: dict[Key, Record], put: dict[Key, Record]) -> None:
        event = parse_object(line, "an event")
        kind, said = event.get("type"), event.get("object")
        if not isinstance(said, dict):
            raise ApiError("an event is about no object")
        if kind == "ERROR":
            code = said.get("code")
            msg = f"the watch ended: {str(said.get('message', ''))[:200]!r}"
            raise ApiError(msg, code if isinstance(code, int) else 500)
        if kind == "DELETED":
            self._drop(said, removed, put)
        elif kind in {"ADDED", "MODIFIED"}:
            self._put(said, removed, put)
        metadata = said.get("metadata")
        self._copy.version = _version(metadata if isinstance(metadata, dict) else {}) or self._copy.version

    def _take(self, copy: _Copy, said: object) -> Record | None:
        """Put an object into a copy; returns its record, unless it does not matter or cannot be read."""
        key = _key(said)
        if key is None or not isinstance(said, dict):
            return None
        try:
            record = self.resource.parse(said)
        except ObjectError as error:
            if len(copy.problems) < MAX_PROBLEMS:
                where = "/".join(filter(None, key))
                copy.problems[key] = f"{self.resource.name} {where} cannot be read: {error}"
            return None
        copy.problems.pop(key, None)
        if record is None:
            return None
        if len(copy.records) >= MAX_OBJECTS and key not in copy.records:
            msg = f"there are more than {MAX_OBJECTS} {self.resource.name}; select fewer with 'labelSelector'"
            raise ApiError(msg)
        copy.records[key] = record
        return record

    def _put(self, said: Mapping[str, Any], removed: dict[Key, Record], put: dict[Key, Record]) -> None:
        key = _key(said)
        before = self._copy.records.get(key) if key is not None else None
        record = self._take(self._copy, said)
        if record is not None and record != before:
            put[record.key] = record
            removed.pop(record.key, None)
        elif record is None and key not in self._copy.problems:
            # It does not matter any more. One that cannot be read stays as it was.
            self._drop(said, removed, put)

    def _drop(self, said: Mapping[str, Any], removed: dict[Key, Record], put: dict[Key, Record]) -> None:
        key = _key(said)
        if key is None:
            return
        self._copy.problems.pop(key, None)
        record = self._copy.records.pop(key, None)
        put.pop(key, None)
        if record is not None:
            removed[key] = record


def _key(said: object) -> Key | None:
    """Return what an object is called; ``None`` if nobody could say."""
    try:
        return parse_key(said) if isinstance(said, dict) else None
    except ObjectError:
        return None


def _version(metadata: Mapping[str, Any]) -> str:
    version = metadata.get("resourceVersion")
    return version if isinstance(version, str) and len(version) <= MAX_VERSION_LENGTH else ""
