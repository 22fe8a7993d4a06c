"""Services as Compose files list them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from gateway_docker.interpolation import InterpolationError, interpolate, parse_env_file
from gateway_docker.problems import DiscoveryError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["ComposeFileError", "ComposeFiles", "ComposeProject", "ComposeService"]

MAX_FILE_BYTES = 1024 * 1024
MAX_SERVICES = 10_000

_PORT = re.compile(r"(?:.*:)?(\d{1,5})(?:-\d{1,5})?(?:/(tcp|udp|sctp))?")
"""``80``, ``8080:80``, ``127.0.0.1:8080:80/tcp``, ``8080-8081:80-81``: the container's side is the last."""
_NO_PROJECT_NAME = re.compile(r"[^a-z0-9_-]")


class ComposeFileError(DiscoveryError):
    """The files cannot be read."""


class _MalformedError(ValueError):
    """Something in a file is not as the Compose specification has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeService:
    """A service in the files.

    Attributes:
        name: Its name there.
        labels: Its labels.
        published: The container's side of the TCP ports it publishes, in order.
        exposed: Those that it only exposes.
    """

    name: str
    labels: Mapping[str, str]
    published: Sequence[int]
    exposed: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeProject:
    """What the files say together.

    Attributes:
        name: The project, as Compose would call it.
        services: The services by name.
    """

    name: str
    services: Mapping[str, ComposeService]


class ComposeFiles:
    """Reads the files, and reads them again when they changed. Its methods block.

    Args:
        paths: The files; later ones win.
        env_file: Values for variables; may be missing.
        environment: Further values, which win.
    """

    def __init__(self, paths: Sequence[Path], env_file: Path, environment: Mapping[str, str]) -> None:
        self._paths = paths
        self._env_file = env_file
        self._environment = environment
        self._stamp: object = None
        self._project: ComposeProject | None = None

    def load(self) -> ComposeProject:
        """Return what the files say; the same object while they stay as they are.

        Raises:
            ComposeFileError: If they cannot be read.
        """
        # Taken before reading: a file that changes meanwhile is read again.
        stamp = tuple(_stamp(path) for path in (*self._paths, self._env_file))
        if self._project is None or stamp != self._stamp:
            self._project, self._stamp = self._read(), stamp
        return self._project

    def _read(self) -> ComposeProject:
        values = parse_env_file(_read_text(self._env_file)) if self._env_file.exists() else {}
        values.update(self._environment)
        name = values.get("COMPOSE_PROJECT_NAME") or self._paths[0].resolve().parent.name
        merged: dict[str, _Merging] = {}
        for path in self._paths:
            document = _parse(path)
            try:
                name = interpolate(str(document.get("name") or name), values)
                for service, entry in _entries(document, path):
                    merged.setdefault(service, _Merging()).add(entry, values)
            except (InterpolationError, _MalformedError) as error:
                msg = f"{path}: {error}"
                raise ComposeFileError(msg) from error
        services = {service: merging.done(service) for service, merging in merged.items()}
        return ComposeProject(name=_NO_PROJECT_NAME.sub("", name.lower()), services=services)


class _Merging:
    """One service over all files: labels are merged, ports are added, as Compose does."""

    def __init__(self) -> None:
        self._labels: dict[str, str] = {}
        self._published: list[int] = []
        self._exposed: list[int] = []

    def add(self, entry: Mapping[str, Any], values: Mapping[str, str]) -> None:
        self._labels.update(_labels(entry.get("labels"), values))
        self._published.extend(_ports(entry.get("ports"), values))
        self._exposed.extend(_ports(entry.get("expose"), values))

    def done(self, name: str) -> ComposeService:
        return ComposeService(name=name, labels=self._labels, published=self._published, exposed=self._exposed)


class _Loader(yaml.SafeLoader):
    """Reads every scalar as text, as it is written.

    Compose reads YAML 1.2, where a service may be called ``off``, and ``22:22`` is no number; PyYAML reads 1.1.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML declares it so
        first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            msg = f"{path} is longer than {MAX_FILE_BYTES} bytes"
            raise ComposeFileError(msg)
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise ComposeFileError(msg) from error


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.load(_read_text(path), Loader=_Loader)  # noqa: S506 - a safe loader that knows fewer types
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        msg = f"{path} is no YAML: {str(error)[:300]}"
        raise ComposeFileError(msg) from error
    if not isinstance(document, dict) or not isinstance(document.get("services", {}), dict):
        msg = f"{path} has no services; is it a Compose file?"
        raise ComposeFileError(msg)
    if "include" in document:
        # Silently serving a part of what was meant would look like a fault somewhere else.
        msg = f"{path} has 'include'; list those files in 'composeFiles' too"
        raise ComposeFileError(msg)
    return document


def _entries(document: Mapping[str, Any], path: Path) -> Sequence[tuple[str, Mapping[str, Any]]]:
    services = document.get("services") or {}
    if len(services) > MAX_SERVICES:
        msg = f"it lists {len(services)} services; at most {MAX_SERVICES} are read"
        raise _MalformedError(msg)
    entries = []
    for service, entry in services.items():
        if not isinstance(service, str) or not isinstance(entry, dict | None):
            msg = f"service {quoted(service)} is {quoted(entry)}"
            raise _MalformedError(msg)
        if entry and "extends" in entry:
            msg = f"service {service!r} has 'extends', which is not read; write its labels and ports here"
            raise _MalformedError(msg)
        entries.append((service, entry or {}))
    return entries


def _labels(labels: object, values: Mapping[str, str]) -> dict[str, str]:
    """Read labels as a mapping, or as a list of ``name=value``."""
    pairs: list[tuple[object, object]]
    if labels is None:
        pairs = []
    elif isinstance(labels, dict):
        pairs = list(labels.items())
    elif isinstance(labels, list) and all(isinstance(each, str) for each in labels):
        pairs = [(name, value) for name, _, value in (each.partition("=") for each in labels)]
    else:
        msg = f"labels are {quoted(labels)}; write a mapping, or a list of 'name=value'"
        raise _MalformedError(msg)
    return {str(name): interpolate(_label_text(value), values) for name, value in pairs}


def _label_text(value: object) -> str:
    if isinstance(value, str | None):
        return value or ""
    msg = f"a label is {quoted(value)}; write a text"
    raise _MalformedError(msg)


def _ports(ports: object, values: Mapping[str, str]) -> list[int]:
    if not isinstance(ports, list | None):
        msg = f"ports are {quoted(ports)}; write a list"
        raise _MalformedError(msg)
    found = []
    for entry in ports or []:
        target, protocol = (entry.get("target"), entry.get("protocol")) if isinstance(entry, dict) else (entry, None)
        match = _PORT.fullmatch(interpolate(str(target), values))
        if match is None:
            msg = f"port {quoted(entry)} is none; write such as '8080:80'"
            raise _MalformedError(msg)
        if (protocol or match[2] or "tcp") == "tcp":
            found.append(int(match[1]))
    return found
