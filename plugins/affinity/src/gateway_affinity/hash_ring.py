"""Where a session belongs that clients name themselves: on a ring of hashes."""

from __future__ import annotations

import struct
from bisect import bisect_left
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from gateway import Instance

__all__ = ["HashRing"]

POINTS = 64
"""Points of an instance for each unit of weight; shares deviate by an eighth of what is due."""
MAX_WEIGHT = 16


class HashRing:
    """Consistent hashing (Karger and others, 1997): when an instance goes, only its sessions move.

    Args:
        instances: Who takes sessions; at least one.
    """

    def __init__(self, instances: Sequence[Instance]) -> None:
        placed = sorted((point, number) for number, each in enumerate(instances) for point in _points(each))
        self._instances = instances
        self._points = [point for point, _ in placed]
        self._owners = [number for _, number in placed]

    def find(self, session: str, excluded: Collection[Instance]) -> Instance:
        """Return whose ``session`` is; of several excluded ones the next that is not, if there is one."""
        digest = blake2b(session.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        begin = bisect_left(self._points, int.from_bytes(digest, "big"))
        owner = self._at(begin)
        if owner not in excluded:
            return owner
        others = (self._at(begin + step) for step in range(1, len(self._points)))
        return next((other for other in others if other not in excluded), owner)

    def _at(self, position: int) -> Instance:
        return self._instances[self._owners[position % len(self._owners)]]


def _points(instance: Instance) -> list[int]:
    endpoint = instance.endpoint
    name = f"{endpoint.scheme}://{instance.authority}"
    count = POINTS * min(endpoint.weight or 1, MAX_WEIGHT)
    points: list[int] = []
    for number in range(count // 8):
        points += struct.unpack(">8Q", blake2b(f"{name}#{number}".encode()).digest())
    return points
