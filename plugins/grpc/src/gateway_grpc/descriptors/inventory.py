"""What is known of services in this process, for the endpoints of the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from gateway_grpc.descriptors.schema import Schema

    Report = dict[str, object]
    """What may be sent as JSON."""

__all__ = ["Described", "Inventory", "services_of"]


class Described(Protocol):
    """Descriptors of one or more sources."""

    def report(self) -> Report:
        """Return ``files`` (where they are from), ``services``, ``problems``, and ``isReloading``."""

    def reload(self, origin: str | None = None) -> bool:
        """Have sources asked again, soon.

        Args:
            origin: The one, as it is called under ``files``; ``None`` is all of them.

        Returns:
            Whether there is such a source.
        """


class Inventory:
    """All descriptors that rules of this process use."""

    def __init__(self) -> None:
        # Those of generations that are gone go with them.
        self._all: WeakSet[Described] = WeakSet()

    def add(self, described: Described) -> None:
        """Take descriptors in."""
        self._all.add(described)

    def report(self) -> list[Report]:
        """Return what all of them say."""
        return [each.report() for each in self._all]

    def reload(self, origin: str | None) -> bool:
        """Have sources asked again, soon; returns whether there are any."""
        found = [each.reload(origin) for each in self._all]
        return any(found)


def services_of(schema: Schema) -> list[Report]:
    """Return the services and methods of a schema."""
    services: dict[str, list[Report]] = {}
    for method in schema.methods.values():
        service, _, name = method.name.rpartition(".")
        services.setdefault(service, []).append(
            {
                "name": name,
                "path": method.path,
                "request": method.request.DESCRIPTOR.full_name,
                "response": method.response.DESCRIPTOR.full_name,
                "clientStreaming": method.takes_stream,
                "serverStreaming": method.gives_stream,
            }
        )
    return [{"name": name, "methods": methods} for name, methods in services.items()]
