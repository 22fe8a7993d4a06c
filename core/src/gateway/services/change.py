"""How a service changed, and what it is made of, on the way from the control plane to the workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.interfaces import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.interfaces import Mark

__all__ = ["Change", "Identity", "Marks", "PackedEndpoint", "Published", "packed", "unpacked"]

Identity = tuple[str, str, int]
"""What makes an instance of a service the one that it is: scheme, address and port."""

Marks = dict[str, "Mark"]
"""What is said against an instance, by who says it."""

PackedEndpoint = tuple[str, str, int, str, int, bool, "Mapping[str, object]"]
"""An endpoint on its way to a worker: pickled and unpickled in a tenth of the time."""


@dataclass(frozen=True, slots=True)
class Change:
    """How the endpoints of a service changed, for workers.

    Attributes:
        put: Those that are new, or are otherwise than before.
        gone: The identities of those that are gone.
        is_last: Whether it is all, or the last piece of it.
    """

    put: tuple[PackedEndpoint, ...] = ()
    gone: tuple[Identity, ...] = ()
    is_last: bool = True

    @classmethod
    def of(cls, pieces: Iterable[Change]) -> Change:
        """Put pieces together."""
        pieces = list(pieces)
        return cls(
            tuple([endpoint for piece in pieces for endpoint in piece.put]),
            tuple([identity for piece in pieces for identity in piece.gone]),
        )


Published = tuple[Change, dict[Identity, Marks]]
"""What a service is made of, for workers: its endpoints, and what is said against them."""


def packed(endpoint: Endpoint) -> PackedEndpoint:
    """Return ``endpoint`` as it travels."""
    return (
        endpoint.scheme,
        endpoint.address,
        endpoint.port,
        endpoint.id,
        endpoint.weight,
        endpoint.is_healthy,
        endpoint.metadata,
    )


def unpacked(packed: PackedEndpoint) -> Endpoint:
    """Return the endpoint that travelled as ``packed``."""
    scheme, address, port, name, weight, is_healthy, metadata = packed
    return Endpoint(
        address=address, port=port, scheme=scheme, id=name, weight=weight, is_healthy=is_healthy, metadata=metadata
    )
