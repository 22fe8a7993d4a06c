"""Containers as an engine lists them. Nothing it says is taken on trust: what the API does not promise is left out."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway_docker.problems import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["MAX_CONTAINERS", "Container", "ListingError", "network_addresses", "parse_listing"]

MAX_CONTAINERS = 20_000
"""More than one engine can run."""
SHORT_ID_LENGTH = 12
"""What ``docker ps`` shows."""

_ID = re.compile(r"[0-9a-f]{12,64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")
"""In ``Status``; the list has no field of its own for it before API 1.52."""
_MAX_PORT = 65535

_DECODER = json.JSONDecoder()
_BEGIN = re.compile(r"[ \t\r\n]*\[[ \t\r\n]*")
_NEXT = re.compile(r"[ \t\r\n]*(,|\][ \t\r\n]*$)[ \t\r\n]*")
_END = re.compile(r"\][ \t\r\n]*$")


class ListingError(Exception):
    """What the engine sent is no list of containers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container that runs, or is paused.

    Attributes:
        id: Its id, in full.
        name: Its name, without the slash.
        image: What it was made from.
        created_s: When, in seconds since 1970.
        state: ``running``, ``paused``.
        health: What its health check says: ``healthy``, ``unhealthy``, ``starting``; empty if it has none.
        labels: Its labels.
        ports: The TCP ports it declares, its own side.
        addresses: Its address on each network that gave it one.
        network_mode: ``host``, ``none``, ``bridge`` ...; ``None`` if the list does not say, as Podman's.
    """

    id: str
    name: str
    image: str = ""
    created_s: int = 0
    state: str = "running"
    health: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[int] = ()
    addresses: Mapping[str, str] = field(default_factory=dict)
    network_mode: str | None = None

    @property
    def short_id(self) -> str:
        """The id as people know it."""
        return self.id[:SHORT_ID_LENGTH]


def parse_listing(body: bytes) -> tuple[list[Container], list[str]]:
    """Read the answer to ``GET /containers/json``; returns the containers, oldest first, and what was left out.

    Raises:
        ListingError: If it is no list of containers at all.
    """
    containers: dict[str, Container] = {}
    problems: list[str] = []
    for number, entry in enumerate(_entries(body)):
        if number == MAX_CONTAINERS:
            msg = f"the engine lists more than {MAX_CONTAINERS} containers"
            raise ListingError(msg)
        container = _parse_container(entry)
        if isinstance(container, str):
            problems.append(container)
        elif container.id in containers:
            problems.append(f"container {container.name} is listed twice; the first one counts")
        else:
            containers[container.id] = container
    if problems and not containers:
        # Nothing of it can be read: taking that for "no containers" would empty every service.
        msg = f"no entry of the list of containers can be read; the first: {problems[0]}"
        raise ListingError(msg)
    return sorted(containers.values(), key=lambda each: (each.created_s, each.id)), problems


def network_addresses(networks: object) -> dict[str, str]:
    """Return the address on each of ``NetworkSettings.Networks`` that gave one; IPv4 where there are both."""
    addresses: dict[str, str] = {}
    for name, network in _mapping(networks).items():
        for key in ("IPAddress", "GlobalIPv6Address"):
            address = _parse_ip(_mapping(network).get(key))
            if address:
                addresses[name] = address
                break
    return addresses


def _entries(body: bytes) -> Iterator[object]:
    """Yield the elements of a JSON array, decoded one by one.

    Decoding it in one call would keep every other thread, the one that serves too, from running: 60 ms for 5,000
    containers.
    """
    try:
        text = body.decode()
        if not (begin := _BEGIN.match(text)):
            msg = f"the list of containers is {quoted(json.loads(text))}"
            raise ListingError(msg)
        at, mark = begin.end(), ","
        if _END.match(text, at):
            return
        while mark == ",":
            entry, at = _DECODER.raw_decode(text, at)
            yield entry
            if not (end := _NEXT.match(text, at)):
                raise ValueError(text[at : at + 20])  # noqa: TRY301 - one message for every kind of fault
            at, mark = end.end(), end[1]
    except (ValueError, RecursionError) as error:
        msg = f"the list of containers is no JSON: {quoted(body[:40])}"
        raise ListingError(msg) from error


def _parse_container(entry: object) -> Container | str:
    """Return the container, or why it is none."""
    fields = _mapping(entry)
    container_id = fields.get("Id")
    if not isinstance(container_id, str) or not _ID.fullmatch(container_id):
        return f"the engine lists something without an id: {quoted(entry)}"
    labels = fields.get("Labels") or {}
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        return f"container {container_id[:SHORT_ID_LENGTH]} has labels that are none: {quoted(labels)}"
    status = fields.get("Status")
    health = _HEALTH.search(status) if isinstance(status, str) else None
    mode = _mapping(fields.get("HostConfig")).get("NetworkMode")
    return Container(
        id=container_id,
        name=_parse_name(fields.get("Names")) or container_id[:SHORT_ID_LENGTH],
        image=str(fields.get("Image", ""))[:255],
        created_s=_parse_created(fields.get("Created")),
        state=str(fields.get("State", ""))[:32].lower(),
        health=health[1] if health is not None else "",
        labels=labels,
        ports=_parse_ports(fields.get("Ports")),
        addresses=network_addresses(_mapping(fields.get("NetworkSettings")).get("Networks")),
        network_mode=mode if isinstance(mode, str) and mode else None,
    )


def _parse_name(names: object) -> str:
    """Return the shortest: the others are those of links, ``/other/alias``."""
    found = [name.removeprefix("/") for name in names if isinstance(name, str)] if isinstance(names, list) else []
    found = [name for name in found if _NAME.fullmatch(name)]
    return min(found, key=len, default="")


def _parse_created(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _parse_ports(ports: object) -> tuple[int, ...]:
    found: set[int] = set()
    for entry in ports if isinstance(ports, list) else []:
        port = _mapping(entry).get("PrivatePort")
        if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= _MAX_PORT:
            continue
        if _mapping(entry).get("Type", "tcp") == "tcp":
            found.add(port)
    return tuple(sorted(found))


def _parse_ip(value: object) -> str:
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        return ""
    # Nothing can be reached there; an API that says so is wrong.
    return "" if address is None or address.is_unspecified or address.is_multicast else str(address)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
