"""What the labels of a container, or of a service in a Compose file, say about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway_docker.problems import quoted
from gateway_docker.routes import is_route_label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway_docker.containers import Container

__all__ = [
    "MAX_PORT",
    "Exposed",
    "Exposure",
    "LabelError",
    "exposure_by_service_label",
    "is_enabled",
    "parse_labels",
    "parse_service_name",
]

MAX_PORT = 65535
MAX_WEIGHT = 1_000_000
"""As in gateway-static."""
MAX_METADATA = 64
"""How many ``meta`` labels of a container are kept."""
MAX_VALUE_LENGTH = 1024

_SERVICE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_./-]{0,251}[A-Za-z0-9_])?")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
"""RFC 3986 section 3.1."""
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_KNOWN = frozenset({"enable", "enabled", "service", "port", "scheme", "weight", "health", "network"})


class LabelError(ValueError):
    """Labels that cannot be used; the container is left out. The message says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """What an instance is, by its labels.

    Attributes:
        service: Its service.
        port: Where it listens.
        scheme: How to speak to it.
        weight: Its share of the traffic.
        is_healthy: Whether the labels say that it works; they do unless they say otherwise.
        network: The network whose address is used; empty leaves it to the configuration.
        metadata: The ``meta`` labels.
        oddities: What was passed over.
        is_service_derived: Whether the name of the service was not chosen by a label.
        routes: The labels that are about routes.
    """

    service: str
    port: int
    scheme: str = "http"
    weight: int = 1
    is_healthy: bool = True
    network: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    oddities: Sequence[str] = ()
    is_service_derived: bool = False
    routes: Mapping[str, str] = field(default_factory=dict)


if TYPE_CHECKING:
    Exposure = Callable[[Container, str], Exposed | None]
"""Says what a container offers, by its labels below a prefix; ``None`` if it offers nothing.

Raises ``LabelError`` if it means to offer something and does not say it right.
"""


def exposure_by_service_label(container: Container, prefix: str) -> Exposed | None:
    """Expose the containers that have the label ``<prefix>.service`` and are not turned off by ``<prefix>.enable``."""
    own = own_labels(container.labels, prefix)
    if not own.get("service", "").strip() or is_enabled(own, prefix) is False:
        return None
    return parse_labels(own, prefix, service=own["service"], ports=container.ports)


def own_labels(labels: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the labels below ``prefix``, without it."""
    start = f"{prefix}."
    return {key[len(start) :]: value for key, value in labels.items() if key.startswith(start)}


def is_enabled(own: Mapping[str, str], prefix: str) -> bool | None:
    """Return what ``enable`` says, ``None`` if it is not there.

    Raises:
        LabelError: If it is neither true nor false: what was meant to be off must not be served.
    """
    for key in ("enable", "enabled"):
        if key in own:
            text = own[key].strip().lower()
            if text in _TRUE or text in _FALSE:
                return text in _TRUE
            msg = f"{prefix}.{key} is {quoted(own[key])}; write 'true' or 'false'"
            raise LabelError(msg)
    return None


def parse_labels(
    own: Mapping[str, str], prefix: str, *, service: str, ports: Sequence[int], is_service_derived: bool = False
) -> Exposed:
    """Read the labels of something that is exposed.

    Args:
        own: Its labels below the prefix.
        prefix: The prefix, for messages.
        service: The name of its service.
        ports: The TCP ports it declares, the lowest of which counts without a label ``port``.
        is_service_derived: Whether ``service`` was not chosen by a label.

    Raises:
        LabelError: If it cannot be used.
    """
    oddities = [f"label {prefix}.{key[:80]} means nothing" for key in sorted(own) if not _is_known(key)]
    metadata = _parse_metadata(own, prefix, oddities)
    return Exposed(
        service=parse_service_name(service, prefix),
        port=_parse_port(own.get("port"), prefix, ports),
        scheme=_parse_scheme(own.get("scheme", "http"), prefix),
        weight=_parse_weight(own, prefix, oddities),
        is_healthy=own.get("health", "healthy").strip().lower() in {"healthy", "true"},
        network=own.get("network", "").strip(),
        metadata=metadata,
        oddities=tuple(oddities),
        is_service_derived=is_service_derived,
        routes={key: text for key, text in own.items() if is_route_label(key)},
    )


def parse_service_name(text: str, prefix: str) -> str:
    """Return the name of a service.

    Raises:
        LabelError: If it is none that a rule could mean.
    """
    name = text.strip()
    if not _SERVICE.fullmatch(name):
        msg = f"{prefix}.service is {quoted(text)}; use letters, digits and any of . _ - / inside, at most 253"
        raise LabelError(msg)
    return name


def _is_known(key: str) -> bool:
    return key in _KNOWN or is_route_label(key) or (key.startswith("meta.") and len(key) > len("meta."))


def _parse_port(text: str | None, prefix: str, declared: Sequence[int]) -> int:
    if text is None:
        if not declared:
            msg = f"it declares no TCP port; add the label {prefix}.port"
            raise LabelError(msg)
        return min(declared)
    digits = text.strip()
    # isascii: isdecimal alone takes digits of any script.
    is_number = digits.isascii() and digits.isdecimal() and len(digits) <= len(str(MAX_PORT))
    if not is_number or not 1 <= int(digits) <= MAX_PORT:
        msg = f"{prefix}.port is {quoted(text)}; write a number from 1 to {MAX_PORT}"
        raise LabelError(msg)
    return int(digits)


def _parse_scheme(text: str, prefix: str) -> str:
    scheme = text.strip().lower()
    if not _SCHEME.fullmatch(scheme):
        # Left out rather than spoken to as http: what was meant may be encryption.
        msg = f"{prefix}.scheme is {quoted(text)}; write 'http' or 'https'"
        raise LabelError(msg)
    return scheme


def _parse_weight(own: Mapping[str, str], prefix: str, oddities: list[str]) -> int:
    for key in ("weight", "meta.weight"):
        if key in own:
            digits = own[key].strip()
            if digits.isascii() and digits.isdecimal() and len(digits) <= len(str(MAX_WEIGHT)):
                weight = int(digits)
                if weight <= MAX_WEIGHT:
                    return weight
            # Served with an ordinary share: a typing error in a share must not take the instance out.
            oddities.append(
                f"{prefix}.{key} is {quoted(own[key])}, which counts as 1; write a whole number from 0 to {MAX_WEIGHT}"
            )
            return 1
    return 1


def _parse_metadata(own: Mapping[str, str], prefix: str, oddities: list[str]) -> dict[str, object]:
    metadata: dict[str, object] = {}
    for key in sorted(own):
        name = key.removeprefix("meta.")
        if name == key or not name:
            continue
        if len(metadata) == MAX_METADATA:
            oddities.append(f"it has more than {MAX_METADATA} labels {prefix}.meta.*; the others are left out")
            break
        if len(name) + len(own[key]) > MAX_VALUE_LENGTH:
            oddities.append(f"label {prefix}.meta.{name[:40]} is longer than {MAX_VALUE_LENGTH} and left out")
        else:
            metadata[name] = own[key]
    return metadata
