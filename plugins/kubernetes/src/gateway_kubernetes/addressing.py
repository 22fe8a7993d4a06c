"""Where a service is reached: at its pods, at its own address, at nodes or at its load balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Endpoint
from gateway_kubernetes.problems import ObjectError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway_kubernetes.config import EndpointMode
    from gateway_kubernetes.exposure import Exposed
    from gateway_kubernetes.objects import Node, Place, Service, Slice

__all__ = ["Addressing"]

_BY_TYPE: Mapping[str, EndpointMode] = {"LoadBalancer": "loadBalancer", "NodePort": "nodePort"}


class Addressing:
    """Makes the instances of a service.

    Args:
        mode: Which addresses are used.
        node_address: Which address of nodes, ``InternalIP`` or ``ExternalIP``.
    """

    def __init__(self, mode: EndpointMode, node_address: str) -> None:
        self._mode = mode
        self._node_address = node_address

    @property
    def needs_slices(self) -> bool:
        """Whether it matters where pods are."""
        # Nodes that serve only what runs on them are told apart by it.
        return self._mode in {"pod", "nodePort", "auto"}

    @property
    def needs_nodes(self) -> bool:
        """Whether it matters which nodes there are."""
        return self._mode in {"nodePort", "auto"}

    def endpoints(
        self, service: Service, exposed: Exposed, slices: Sequence[Slice], nodes: Iterable[Node]
    ) -> tuple[Endpoint, ...]:
        """Return the instances of ``service``; the same objects make the same instances, in the same order.

        Args:
            service: The service.
            exposed: What it offers.
            slices: Where it runs.
            nodes: All nodes.

        Raises:
            ObjectError: If it cannot be reached in this way.
        """
        if service.type == "ExternalName":
            # Whoever may write a service would decide to which host in the world, or in here, requests go.
            raise ObjectError("it is an ExternalName, which is not followed; list its host in registry.static")
        mode = _BY_TYPE.get(service.type, "service") if self._mode == "auto" else self._mode
        metadata = _metadata(service)
        if mode == "pod":
            return _pods(service, exposed, slices, metadata)
        if mode == "nodePort":
            return self._nodes(service, exposed, slices, nodes, metadata)
        if mode == "loadBalancer":
            return _load_balancers(service, exposed, metadata)
        if not service.cluster_ip:
            raise ObjectError("it is headless: it has no address of its own, use 'endpointMode: pod'")
        return (_endpoint(exposed, service.cluster_ip, exposed.port.number, {**metadata, "type": "clusterip"}),)

    def _nodes(
        self,
        service: Service,
        exposed: Exposed,
        slices: Sequence[Slice],
        nodes: Iterable[Node],
        metadata: Mapping[str, object],
    ) -> tuple[Endpoint, ...]:
        if not exposed.port.node_port:
            msg = f"its port {exposed.port.name or exposed.port.number} has no node port"
            raise ObjectError(msg)
        serving = {place.node for each in slices for place in each.places if place.is_ready}
        return tuple(
            _endpoint(
                exposed,
                addresses[0],
                exposed.port.node_port,
                {**metadata, "type": "nodeport", **_filled(node=node.key[1], zone=node.zone)},
                id=node.key[1],
                is_healthy=node.is_ready and (not service.is_local_only or node.key[1] in serving),
            )
            for node in sorted(nodes, key=lambda node: node.key)
            if (addresses := node.addresses.get(self._node_address, ()))
        )


def _pods(
    service: Service, exposed: Exposed, slices: Sequence[Slice], metadata: Mapping[str, object]
) -> tuple[Endpoint, ...]:
    found: dict[tuple[str, int], Place] = {}
    for each in _of_one_family(service, slices):
        ports = [port for port in each.ports if port.name == exposed.port.name]
        for place in each.places if ports else ():
            # "Endpoints may be in more than one slice at a time": while they move, the newer word is the better one.
            before = found.get((place.address, ports[0].number))
            if before is None or _rank(place) > _rank(before):
                found[place.address, ports[0].number] = place
    return tuple(
        _endpoint(
            exposed,
            address,
            port,
            {**metadata, "type": "pod", **_filled(pod=place.pod, node=place.node, zone=place.zone)},
            id=place.pod,
            # One that is about to end takes nothing, unless no other is left (KEP-1669): so does a weight of 0.
            weight=0 if place.is_terminating else exposed.weight,
            is_healthy=_rank(place) > 0,
        )
        for (address, port), place in sorted(found.items())
    )


def _rank(place: Place) -> int:
    """Return 2 for a place that is ready, 1 for one that still serves while it ends, 0 for one that does not work."""
    if place.is_terminating:
        return 1 if place.is_serving else 0
    return 2 if place.is_ready else 0


def _of_one_family(service: Service, slices: Sequence[Slice]) -> list[Slice]:
    """Return the slices of one family of addresses: in those of the other one are the same pods."""
    has = {each.family for each in slices if each.places}
    families = [family for family in (service.family, "IPv4", "IPv6", "FQDN") if family in has]
    return [each for each in slices if families and each.family == families[0]]


def _load_balancers(service: Service, exposed: Exposed, metadata: Mapping[str, object]) -> tuple[Endpoint, ...]:
    if not service.ingress:
        raise ObjectError("its load balancer has no address yet, or it has none")
    metadata = {**metadata, "type": "loadbalancer"}
    return tuple(
        _endpoint(exposed, address, exposed.port.number, metadata) for address in dict.fromkeys(service.ingress)
    )


def _endpoint(
    exposed: Exposed,
    address: str,
    port: int,
    metadata: Mapping[str, object],
    *,
    id: str = "",  # noqa: A002 - what the core calls it
    weight: int | None = None,
    is_healthy: bool = True,
) -> Endpoint:
    return Endpoint(
        address=address,
        port=port,
        scheme=exposed.scheme,
        id=id,
        weight=exposed.weight if weight is None else weight,
        is_healthy=is_healthy,
        metadata=metadata,
    )


def _metadata(service: Service) -> dict[str, object]:
    return {
        "namespace": service.key[0],
        "uid": service.uid,
        **{f"annotation.{name}": value for name, value in service.annotations.items()},
    }


def _filled(**texts: str) -> dict[str, object]:
    return {name: text for name, text in texts.items() if text}
