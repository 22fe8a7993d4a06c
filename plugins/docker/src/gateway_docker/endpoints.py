"""From containers to instances: which address, whether it works, and what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Endpoint
from gateway_docker.compose import PROJECT_LABEL, qualify_collisions
from gateway_docker.labels import LabelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway_docker.containers import Container
    from gateway_docker.labels import Exposed, Exposure

__all__ = ["HOST_NETWORK", "Addressing", "expose", "snapshot_of"]

HOST_NETWORK = "host"
_SERVED = frozenset({"running", "paused"})


class Addressing:
    """Chooses the address of a container.

    Args:
        network: The network to use; empty takes the first by name that gave the container an address.
        host_address: Where containers on the host's network are.
    """

    def __init__(self, network: str, host_address: str) -> None:
        self._network = network
        self._host_address = host_address

    def address(self, container: Container, exposed: Exposed) -> str:
        """Return the address of ``container``.

        Raises:
            LabelError: If it has none there.
        """
        if container.network_mode == HOST_NETWORK:
            return self._host_address
        wanted = exposed.network or self._network
        if not wanted:
            if not container.addresses:
                msg = f"it has no address on any network (network mode {container.network_mode or 'unknown'!r})"
                raise LabelError(msg)
            return container.addresses[min(container.addresses)]
        # Compose puts the project before the names of its networks.
        for name in (wanted, f"{container.labels.get(PROJECT_LABEL, '')}_{wanted}"):
            if name in container.addresses:
                return container.addresses[name]
        has = ", ".join(sorted(container.addresses)) or "none"
        msg = f"it has no address on the network {wanted!r}; it has one on: {has}"
        raise LabelError(msg)


def expose(
    containers: Iterable[Container], exposure: Exposure, prefix: str
) -> tuple[list[tuple[Container, Exposed]], list[str]]:
    """Return the containers that offer something, with what, and the problems of those that mean to and do not."""
    found: list[tuple[Container, Exposed]] = []
    problems: list[str] = []
    for container in containers:
        if container.state not in _SERVED:
            continue
        try:
            exposed = exposure(container, prefix)
        except LabelError as error:
            problems.append(_left_out(container, error))
            continue
        if exposed is not None:
            found.append((container, exposed))
            problems.extend(f"container {container.name}: {oddity}" for oddity in exposed.oddities)
    found, collisions = qualify_collisions(found)
    return found, problems + collisions


def snapshot_of(
    found: Sequence[tuple[Container, Exposed]], addressing: Addressing
) -> tuple[dict[str, list[Endpoint]], list[str]]:
    """Return the services with their instances, and the problems of containers that are left out.

    The same containers make the same snapshot, in whatever order the engine lists them.
    """
    services: dict[str, dict[tuple[str, str, int], Endpoint]] = {}
    problems: list[str] = []
    for container, exposed in found:
        try:
            endpoint = _endpoint(container, exposed, addressing)
        except LabelError as error:
            problems.append(_left_out(container, error))
            continue
        instances = services.setdefault(exposed.service, {})
        place = (endpoint.scheme, endpoint.address, endpoint.port)
        other = instances.setdefault(place, endpoint)
        if other is not endpoint:
            problems.append(
                f"container {container.name} is at {endpoint.address}:{endpoint.port} of service {exposed.service}, "
                f"where container {other.metadata['container.name']} is too; give it another port"
            )
            # Only one of them can listen there. While one is said to work, so does the place.
            if endpoint.is_healthy and not other.is_healthy:
                instances[place] = endpoint
    return {service: list(instances.values()) for service, instances in services.items()}, problems


def _endpoint(container: Container, exposed: Exposed, addressing: Addressing) -> Endpoint:
    return Endpoint(
        address=addressing.address(container, exposed),
        port=exposed.port,
        scheme=exposed.scheme,
        id=container.short_id,
        weight=exposed.weight,
        is_healthy=exposed.is_healthy and _is_working(container),
        metadata=_metadata(container, exposed),
    )


def _is_working(container: Container) -> bool:
    # One that is still starting has not passed its check yet, and gets no requests.
    return container.state == "running" and container.health in {"", "healthy"}


def _metadata(container: Container, exposed: Exposed) -> Mapping[str, object]:
    return {
        **exposed.metadata,
        "container.id": container.id,
        "container.name": container.name,
        "container.image": container.image,
    }


def _left_out(container: Container, error: LabelError) -> str:
    return f"container {container.name} is left out: {error}"
