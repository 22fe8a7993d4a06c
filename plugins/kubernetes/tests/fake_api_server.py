"""An API server that does what the test says: as much of the Kubernetes API as the plugin asks for, and ways to fail.

It keeps objects by resource, namespace and name, numbers every change, remembers the last changes for watches that
begin at an older one, says 410 for those before, pages lists, sends bookmarks, and asks for a token if it has one.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

Behaviour = Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]

RESOURCES = {
    "services": "/api/v1",
    "nodes": "/api/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "gatewayroutes": "/apis/gateway.io/v1alpha1",
}
KINDS = {
    "Service": "services", "EndpointSlice": "endpointslices", "Node": "nodes", "GatewayRoute": "gatewayroutes",
}  # fmt: skip


@dataclass
class Asked:
    """A request.

    Attributes:
        resource: What was asked for.
        namespace: Where; empty is everywhere.
        params: The query.
        headers: Its fields, by lower-case names.
        method: Its method.
        path: Where it went.
        body: What came with it.
    """

    resource: str
    namespace: str
    params: dict[str, str]
    headers: dict[str, str]
    method: str = "GET"
    path: str = ""
    body: bytes = b""

    @property
    def is_watch(self) -> bool:
        return "watch" in self.params


@dataclass(eq=False)
class Watcher:
    """Somebody who watches."""

    asked: Asked
    writer: asyncio.StreamWriter


class FakeApiServer:
    """Speaks as much of the Kubernetes API as the plugin asks for, and misbehaves on demand.

    Attributes:
        token: What it wants in ``Authorization``; empty wants nothing.
        forbidden: Namespaces, resources, or ``<resource> of <namespace>``, of which it tells nobody.
        behaviours: What it does instead of answering: by ``list`` or ``watch`` and resource, such as ``list services``.
        asked: All requests, in order.
        oldest: Versions before this one are gone.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.token = ""
        self.forbidden: set[str] = set()
        self.behaviours: dict[str, Behaviour] = {}
        self.asked: list[Asked] = []
        self.watchers: list[Watcher] = []
        self.port = 0
        self.oldest = 0
        self._tls = tls
        self._version = 100
        self._objects: dict[str, dict[tuple[str, str], dict[str, Any]]] = {resource: {} for resource in RESOURCES}
        self._log: list[tuple[int, str, str, dict[str, Any]]] = []
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task, writer in list(self._tasks.items()):
            writer.transport.abort()
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    # What the test does to it.

    def apply(self, *objects: dict[str, Any]) -> None:
        """Create or replace objects."""
        for said in objects:
            resource = _resource_of(said)
            key = _key_of(said)
            kind = "MODIFIED" if key in self._objects[resource] else "ADDED"
            if resource == "gatewayroutes":
                self._keep_book(said, self._objects[resource].get(key))
            self._happen(resource, kind, said)
            self._objects[resource][key] = said

    def delete(self, *objects: dict[str, Any]) -> None:
        """Delete objects."""
        for said in objects:
            resource = _resource_of(said)
            gone = self._objects[resource].pop(_key_of(said))
            self._happen(resource, "DELETED", gone)

    def get(self, resource: str, namespace: str, name: str) -> dict[str, Any]:
        """Return an object."""
        return self._objects[resource][namespace, name]

    def bookmark(self) -> None:
        """Tell watchers how far things are."""
        self._version += 1
        for watcher in self.watchers:
            said = {"kind": "Bookmark", "metadata": {"resourceVersion": str(self._version)}}
            self._send(watcher, "BOOKMARK", said)

    def forget(self) -> None:
        """Compact: nobody can watch from a version before this one."""
        self._version += 1
        self.oldest = self._version
        self._log.clear()

    def cut(self, half: bytes = b"") -> None:
        """Drop all watches, after having sent something."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            if half:
                watcher.writer.write(_chunk(half))
            watcher.writer.close()

    def write(self, resource: str, line: bytes) -> None:
        """Send something to those who watch a resource."""
        for watcher in self.watchers:
            if watcher.asked.resource == resource:
                watcher.writer.write(_chunk(line + b"\n"))

    def count(self, what: str) -> int:
        """Return how often something was asked for, such as ``list services``."""
        verbs = ("patch" if each.method == "PATCH" else "watch" if each.is_watch else "list" for each in self.asked)
        return sum(f"{verb} {each.resource}" == what for verb, each in zip(verbs, self.asked, strict=True))

    def watches(self, resource: str) -> int:
        """Return how many watch a resource."""
        return sum(watcher.asked.resource == resource for watcher in self.watchers)

    # What it does.

    def _keep_book(self, said: dict[str, Any], before: dict[str, Any] | None) -> None:
        """Do what an API server does: count changes of the spec, and let only the subresource set a status."""
        metadata = said["metadata"]
        metadata["uid"] = before["metadata"]["uid"] if before is not None else f"uid-{self._version}"
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        generation = before["metadata"]["generation"] if before is not None else 0
        has_changed = before is None or before["spec"] != said["spec"]
        metadata["generation"] = generation + has_changed
        said.pop("status", None)
        if before is not None and "status" in before:
            said["status"] = before["status"]

    def _patch(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        """Merge into the status (RFC 7386 for two levels, which is what there are)."""
        key = (asked.namespace, asked.path.split("/")[-2])
        said = self._objects["gatewayroutes"].get(key)
        patch = json.loads(asked.body)
        if said is None:
            answer(writer, status_object(404, "not found"), 404)
        elif patch.get("metadata", {}).get("uid", said["metadata"]["uid"]) != said["metadata"]["uid"]:
            answer(writer, status_object(409, "the UID in the precondition is another one"), 409)
        else:
            assert asked.headers["content-type"] == "application/merge-patch+json"
            changed = {
                **said,
                "metadata": dict(said["metadata"]),
                "status": {**said.get("status", {}), **patch["status"]},
            }
            self._objects["gatewayroutes"][key] = changed
            if changed["status"] != said.get("status"):
                self._happen("gatewayroutes", "MODIFIED", changed)
            answer(writer, changed)

    def _happen(self, resource: str, kind: str, said: dict[str, Any]) -> None:
        self._version += 1
        said["metadata"]["resourceVersion"] = str(self._version)
        said = json.loads(json.dumps(said))
        self._log.append((self._version, resource, kind, said))
        for watcher in self.watchers:
            if watcher.asked.resource == resource and _is_selected(said, watcher.asked):
                self._send(watcher, kind, said)

    def _send(self, watcher: Watcher, kind: str, said: dict[str, Any]) -> None:
        watcher.writer.write(_chunk(json.dumps({"type": kind, "object": said}).encode() + b"\n"))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = writer
        try:
            while (asked := await _read(reader)) is not None:
                self.asked.append(asked)
                await self._answer(asked, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError, RuntimeError):
            # RuntimeError: uvloop's word for a transport that is closed.
            pass
        finally:
            await _close(writer)
            del self._tasks[task]

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        what = "patch" if asked.method == "PATCH" else "watch" if asked.is_watch else "list"
        there = f"{asked.resource} of {asked.namespace}"
        refused = {asked.namespace, asked.resource, f"{what} {asked.resource}", there}
        behaviour = self.behaviours.get(f"{what} {asked.resource}")
        if behaviour is not None:
            await behaviour(asked, writer)
        elif self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            answer(writer, status_object(401, "Unauthorized"), 401)
        elif refused & self.forbidden:
            answer(writer, status_object(403, f'cannot list resource "{asked.resource}"'), 403)
        elif asked.resource not in RESOURCES:
            answer(writer, status_object(404, "the server could not find the requested resource"), 404)
        elif asked.method == "PATCH":
            self._patch(asked, writer)
        elif asked.is_watch:
            await self._watch(asked, reader, writer)
        else:
            self._list(asked, writer)
        await writer.drain()

    def _list(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        found = [said for _, said in sorted(self._objects[asked.resource].items()) if _is_selected(said, asked)]
        begin, limit = int(asked.params.get("continue", "0")), int(asked.params.get("limit", "0")) or len(found)
        metadata = {"resourceVersion": str(self._version)}
        if begin + limit < len(found):
            metadata["continue"] = str(begin + limit)
        answer(writer, {"kind": "List", "metadata": metadata, "items": found[begin : begin + limit]})

    async def _watch(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version = int(asked.params["resourceVersion"])
        head(writer, chunked=True)
        watcher = Watcher(asked, writer)
        if version < self.oldest:
            # So it does when it notices only once the stream is open; else the status is 410.
            self._send(watcher, "ERROR", status_object(410, "too old resource version"))
            writer.write(b"0\r\n\r\n")
            return
        for number, resource, kind, said in self._log:
            if number > version and resource == asked.resource and _is_selected(said, asked):
                self._send(watcher, kind, said)
        self.watchers.append(watcher)
        await writer.drain()
        # Whoever watches says nothing more until it goes.
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait([gone], timeout=float(asked.params["timeoutSeconds"]))
        finally:
            gone.cancel()
            if watcher in self.watchers:
                self.watchers.remove(watcher)
        writer.write(b"0\r\n\r\n")
        writer.close()


async def _close(writer: asyncio.StreamWriter) -> None:
    """Send what is left and close; not for long, because the other side may not read."""
    try:
        async with asyncio.timeout(0.5):
            writer.close()
            await writer.wait_closed()
    except (OSError, RuntimeError, TimeoutError, ssl.SSLError):
        writer.transport.abort()


def head(writer: asyncio.StreamWriter, status: int = 200, *, chunked: bool = False, length: int | None = None) -> None:
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {length}" if length is not None else "x: y"
    writer.write(f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{framing}\r\n\r\n".encode())


def answer(writer: asyncio.StreamWriter, said: Any, status: int = 200) -> None:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    head(writer, status, length=len(body))
    writer.write(body)


def status_object(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "message": message, "code": code, "metadata": {}}


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    line = await reader.readline()
    if not line:
        return None
    target = urlsplit(line.split()[1].decode())
    headers: dict[str, str] = {}
    while (field_line := (await reader.readline()).decode().strip()) != "":
        name, _, value = field_line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = target.path.strip("/").split("/")
    namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else ""
    params = {name: values[0] for name, values in parse_qs(target.query).items()}
    method = line.split()[0].decode()
    resource = parts[-3] if parts[-1] == "status" else parts[-1]
    return Asked(resource, namespace, params, headers, method, target.path, body)


def _resource_of(said: dict[str, Any]) -> str:
    return KINDS[said["kind"]]


def _key_of(said: dict[str, Any]) -> tuple[str, str]:
    return said["metadata"].get("namespace", ""), said["metadata"]["name"]


def _is_selected(said: dict[str, Any], asked: Asked) -> bool:
    if asked.namespace and said["metadata"].get("namespace") != asked.namespace:
        return False
    labels = said["metadata"].get("labels", {})
    for term in filter(None, asked.params.get("labelSelector", "").split(",")):
        name, equals, value = term.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True
