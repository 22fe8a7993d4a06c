"""Instances on a ring of numbers, each key belonging to the nearest one."""

from __future__ import annotations

import struct
from bisect import bisect_left, insort
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway import Instance

__all__ = ["HashRing"]

POINTS = 16
PROBES = 3
"""Points for each unit of weight, and how often a key looks for a near one. Shares of equals then deviate by a tenth of
what is due to them; a ring with one look needs 100 to 160 points for that. Of as many looks as the paper proposes for
one point (21) the fullest is less full, but some are left with nearly nothing, and each look costs."""
MAX_WEIGHT = 100
"""More than this counts as this: points take memory."""
REBUILD_SHARE = 8
"""When more than an eighth of all instances change, everything is sorted anew."""
_RING = 1 << 64
_MASK = _RING - 1


class HashRing:
    """Multi-probe consistent hashing (Ben Appleton and Michael O'Reilly, 2015).

    Each instance has some points on the ring for each unit of weight. A key has several hashes, and belongs to the
    instance whose point comes soonest after any of them. That spreads keys as evenly as a ring with ten times the
    points. An instance that comes or goes costs its own points only, where Maglev's table is made anew, and only the
    keys move that must: those of an instance that goes, and its share to a new one.

    The hashes depend on scheme, address and port alone: all workers and gateways agree.
    """

    def __init__(self) -> None:
        self._points: list[int] = []
        self._owners: dict[int, Instance] = {}
        self._points_of: dict[Instance, list[int]] = {}

    def __len__(self) -> int:
        return len(self._points)

    def become(self, instances: Sequence[Instance]) -> None:
        """Hold these instances, at least one, and no others."""
        wanted = {instance: POINTS * min(instance.endpoint.weight or 1, MAX_WEIGHT) for instance in instances}
        gone = [each for each, points in self._points_of.items() if wanted.get(each) != len(points)]
        new = [each for each in wanted if each not in self._points_of or len(self._points_of[each]) != wanted[each]]
        is_large = (len(gone) + len(new)) * REBUILD_SHARE > len(wanted)
        for instance in gone:
            for point in self._points_of.pop(instance):
                del self._owners[point]
                if not is_large:
                    del self._points[bisect_left(self._points, point)]
        for instance in new:
            points = self._points_of[instance] = self._free_points(instance, wanted[instance])
            for point in points:
                self._owners[point] = instance
                if not is_large:
                    insort(self._points, point)
        if is_large:
            self._points = sorted(self._owners)

    def owner(self, key: bytes) -> int:
        """Return the position of the point that ``key`` belongs to, in O(log n)."""
        digest = blake2b(key, digest_size=16).digest()
        probe = int.from_bytes(digest[:8], "big")
        # Odd, so that no two probes are the same; hashes that are made of two are as good (Kirsch, Mitzenmacher 2006).
        step = int.from_bytes(digest[8:], "big") | 1
        points = self._points
        last = len(points)
        nearest = _RING
        found = 0
        for _ in range(PROBES):
            position = bisect_left(points, probe)
            if position == last:
                position = 0
            distance = (points[position] - probe) & _MASK
            if distance < nearest:
                nearest, found = distance, position
            probe = (probe + step) & _MASK
        return found

    def at(self, position: int) -> Instance:
        """Return whose point that is."""
        return self._owners[self._points[position]]

    def onwards(self, position: int) -> Iterator[Instance]:
        """Yield who comes next on the ring, once around."""
        for step in range(1, len(self._points)):
            yield self.at((position + step) % len(self._points))

    def find(self, key: bytes, is_good: Callable[[Instance], bool]) -> Instance:
        """Return the first from the owner of ``key`` onwards that is good; the owner if nobody is."""
        position = self.owner(key)
        owner = self.at(position)
        if is_good(owner):
            return owner
        return next(filter(is_good, self.onwards(position)), owner)

    def _free_points(self, instance: Instance, count: int) -> list[int]:
        endpoint = instance.endpoint
        name = f"{endpoint.scheme}://{instance.authority}"
        points: list[int] = []
        number = 0
        while len(points) < count:
            digest = blake2b(f"{name}#{number}".encode()).digest()
            number += 1
            # Two hashes are as good as never equal, but if they are, that must not be an error.
            points += [
                point if point not in self._owners else point ^ 1
                for point in struct.unpack(">8Q", digest)[: count - len(points)]
            ]
        return points
