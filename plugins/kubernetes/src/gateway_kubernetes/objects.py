"""Services, endpoint slices and nodes, as far as they matter here: a tenth of what the API says of them."""

from __future__ import annotations

import ipaddress
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway_kubernetes.problems import ObjectError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Node", "Place", "Port", "Service", "ServicePort", "Slice", "parse_node", "parse_service", "parse_slice"]

SERVICE_LABEL = "kubernetes.io/service-name"
MAX_ENDPOINTS = 1000
"""Of a slice; what the API allows (``ValidateEndpointSlice``)."""
MAX_PORTS = 1000
MAX_ANNOTATIONS = 64
MAX_ANNOTATION_LENGTH = 1024
_MAX_PORT = 65535

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?")
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

Key = tuple[str, str]
"""Namespace and name; of a node, the namespace is empty."""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A TCP port of a service.

    Attributes:
        name: Its name; may be empty if it is the only one.
        number: Where the service listens in the cluster.
        node_port: Where nodes listen; 0 is nowhere.
        app_protocol: What is spoken, if it says so.
    """

    name: str
    number: int
    node_port: int
    app_protocol: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service.

    Attributes:
        key: Namespace and name.
        uid: Its identity over time.
        type: ``ClusterIP``, ``NodePort``, ``LoadBalancer`` or ``ExternalName``.
        cluster_ip: Its address in the cluster; empty if it has none.
        family: The family of addresses that it prefers, ``IPv4`` or ``IPv6``; empty if it does not say.
        ports: Its TCP ports.
        ingress: Addresses of its load balancer.
        is_local_only: Whether nodes serve only what runs on them (``externalTrafficPolicy: Local``).
        annotations: Its annotations.
    """

    key: Key
    uid: str
    type: str
    cluster_ip: str
    family: str
    ports: tuple[ServicePort, ...]
    ingress: tuple[str, ...]
    is_local_only: bool
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port of the endpoints of a slice, which belongs to the port of the service with this name."""

    name: str
    number: int
    app_protocol: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service runs.

    Attributes:
        address: An IP address, or a host name in slices of the type ``FQDN``.
        is_ready: Whether it should take requests.
        is_serving: Whether it works, although it may be about to end.
        is_terminating: Whether it is about to end.
        pod: The pod; empty if it is none.
        node: The node it is on.
        zone: The zone it is in.
    """

    address: str
    is_ready: bool
    is_serving: bool
    is_terminating: bool
    pod: str
    node: str
    zone: str


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the places where a service runs.

    Attributes:
        key: Namespace and name.
        service: The name of the service, in the same namespace.
        family: ``IPv4``, ``IPv6`` or ``FQDN``.
        ports: The TCP ports of all of them.
        places: Where they are.
    """

    key: Key
    service: str
    family: str
    ports: tuple[Port, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A node.

    Attributes:
        key: An empty namespace, and its name.
        addresses: Its addresses, by type and then family.
        is_ready: Whether it works.
        zone: The zone it is in.
    """

    key: Key
    addresses: Mapping[str, tuple[str, ...]]
    is_ready: bool
    zone: str


def parse_key(said: Mapping[str, Any]) -> Key:
    """Return the namespace and name of an object.

    Raises:
        ObjectError: If it has none.
    """
    metadata = _object(said.get("metadata"))
    name, namespace = _text(metadata.get("name")), _text(metadata.get("namespace"))
    if not _is_name(name) or (namespace and not _is_name(namespace)):
        msg = f"an object is called {quoted(namespace)}/{quoted(name)}"
        raise ObjectError(msg)
    return sys.intern(namespace), name


def parse_service(said: Mapping[str, Any]) -> Service:
    """Return a service as it matters here.

    Raises:
        ObjectError: If it cannot be read.
    """
    spec, status, metadata = (_object(said.get(part)) for part in ("spec", "status", "metadata"))
    families = _strings(spec.get("ipFamilies"))
    cluster_ip = _text(spec.get("clusterIP"))
    return Service(
        key=parse_key(said),
        uid=_text(metadata.get("uid")),
        type=sys.intern(_text(spec.get("type")) or "ClusterIP"),
        cluster_ip="" if cluster_ip in {"", "None"} else _address(cluster_ip),
        family=sys.intern(families[0]) if families else "",
        ports=tuple(
            ServicePort(
                name=sys.intern(_text(port.get("name"))),
                number=_port(port.get("port")),
                node_port=_port(port["nodePort"]) if port.get("nodePort") else 0,
                app_protocol=sys.intern(_text(port.get("appProtocol"))),
            )
            for port in _tcp_ports(spec.get("ports"))
        ),
        ingress=tuple(
            address
            for each in _objects(_object(status.get("loadBalancer")).get("ingress"))
            if (address := _ingress(each))
        ),
        is_local_only=spec.get("externalTrafficPolicy") == "Local",
        annotations=_annotations(metadata.get("annotations")),
    )


def parse_slice(said: Mapping[str, Any]) -> Slice | None:
    """Return a slice as it matters here; ``None`` if it belongs to no service.

    Raises:
        ObjectError: If it cannot be read.
    """
    service = _object(_object(said.get("metadata")).get("labels")).get(SERVICE_LABEL)
    if service is None:
        return None
    if not _is_name(service):
        msg = f"it belongs to a service that is called {quoted(service)}"
        raise ObjectError(msg)
    endpoints = _objects(said.get("endpoints"))
    if len(endpoints) > MAX_ENDPOINTS:
        msg = f"it has {len(endpoints)} endpoints; the API allows {MAX_ENDPOINTS}"
        raise ObjectError(msg)
    family = sys.intern(_text(said.get("addressType")))
    return Slice(
        key=parse_key(said),
        service=service,
        family=family,
        ports=tuple(
            Port(
                name=sys.intern(_text(port.get("name"))),
                number=_port(port["port"]),
                app_protocol=sys.intern(_text(port.get("appProtocol"))),
            )
            for port in _tcp_ports(said.get("ports"))
            # Without a number it means all ports.
            if port.get("port") is not None
        ),
        places=tuple(_place(endpoint, family) for endpoint in endpoints),
    )


def parse_node(said: Mapping[str, Any]) -> Node:
    """Return a node as it matters here.

    Raises:
        ObjectError: If it cannot be read.
    """
    metadata, status = _object(said.get("metadata")), _object(said.get("status"))
    addresses: dict[str, tuple[str, ...]] = {}
    for each in _objects(status.get("addresses")):
        kind = _text(each.get("type"))
        if kind in {"InternalIP", "ExternalIP"}:
            addresses[kind] = (*addresses.get(kind, ()), _address(_text(each.get("address"))))
    ready = [each for each in _objects(status.get("conditions")) if each.get("type") == "Ready"]
    return Node(
        key=parse_key(said),
        addresses=addresses,
        is_ready=bool(ready) and ready[0].get("status") == "True",
        zone=_text(_object(metadata.get("labels")).get("topology.kubernetes.io/zone")),
    )


def _place(said: Mapping[str, Any], family: str) -> Place:
    addresses = _strings(said.get("addresses"))
    if not addresses:
        raise ObjectError("an endpoint has no address")
    conditions, target = _object(said.get("conditions")), _object(said.get("targetRef"))
    # "A nil value should be interpreted as true", and of serving "defer to the ready condition": discovery/v1 types.go.
    is_ready = conditions.get("ready") is not False
    is_serving = conditions.get("serving")
    return Place(
        # Consumers use the first one only (kubernetes/kubernetes#106267).
        address=_host_name(addresses[0]) if family == "FQDN" else _address(addresses[0]),
        is_ready=is_ready,
        is_serving=is_ready if is_serving is None else is_serving is True,
        is_terminating=conditions.get("terminating") is True,
        pod=_text(target.get("name")) if target.get("kind") == "Pod" else "",
        node=sys.intern(_text(said.get("nodeName"))),
        zone=sys.intern(_text(said.get("zone"))),
    )


def _ingress(said: Mapping[str, Any]) -> str:
    if address := _text(said.get("ip")):
        return _address(address)
    name = _text(said.get("hostname"))
    return _host_name(name) if name else ""


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        msg = f"{quoted(text)} is not an IP address"
        raise ObjectError(msg) from None


def _host_name(text: str) -> str:
    if not _HOST_NAME.fullmatch(text):
        msg = f"{quoted(text)} is not a host name"
        raise ObjectError(msg)
    return text.rstrip(".")


def _port(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_PORT:
        msg = f"{quoted(value)} is not a port; it must be from 1 to {_MAX_PORT}"
        raise ObjectError(msg)
    return value


def _tcp_ports(value: object) -> list[dict[str, Any]]:
    ports = _objects(value)
    if len(ports) > MAX_PORTS:
        msg = f"it has {len(ports)} ports"
        raise ObjectError(msg)
    return [port for port in ports if port.get("protocol", "TCP") == "TCP"]


def _annotations(value: object) -> Mapping[str, str]:
    kept = {
        sys.intern(name): text
        for name, text in _object(value).items()
        if isinstance(text, str) and len(text) <= MAX_ANNOTATION_LENGTH and name != _APPLIED
    }
    return dict(sorted(kept.items())[:MAX_ANNOTATIONS])


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        msg = f"{quoted(value)} stands where a list of objects should"
        raise ObjectError(msg)
    return value


def _strings(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
