"""Instances on a ring of numbers, for balancers that send what belongs together to the same instance."""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gateway.interfaces import Instance

__all__ = ["HashRing"]

PROBES = 3
"""How often a key looks for a near point. With 16 points for each unit of weight, shares of equals then deviate by a
tenth of what is due to them; a ring with one look needs 100 to 160 points for that. Of as many looks as the paper
proposes for one point (21) the fullest is less full, but some are left with nearly nothing, and each look costs."""
POINTS = 16
"""Points of an instance for each unit of weight: as many as one digest has."""
MAX_WEIGHT = 100
MAX_DIGESTS = 32_768
"""More units of weight than this, and all of them are halved, until they fit: it bounds memory, and how long a service
takes that is met for the first time. It happens again when a service has twice as many."""
FEW_DIGESTS = 64
"""A ring with so many digests is one sector; larger ones have 256."""
FEW_CHANGES = 32
"""More changes than this, and sectors are made anew rather than looked for."""

_DIGEST_BYTES = 64
_POINT_BYTES = 4
_BITS = 32
_RING = 1 << _BITS
_MASK = _RING - 1
_FAR = 1 << 62
_OWNER_BITS = 32
_OWNER_MASK = (1 << _OWNER_BITS) - 1
_SUFFIXES = [b"#%d" % number for number in range(MAX_WEIGHT)]

_Sector = tuple[list[int], "list[Instance]", list[int], int, int]
"""Points in order, whose they are, where in that order each part of the sector begins, and the two numbers that say
which part a point is in: a mask and a shift. The last point is beyond all, and nobody's."""


class HashRing:
    """Multi-probe consistent hashing (Ben Appleton and Michael O'Reilly, 2015).

    Each instance has some points on the ring for each unit of weight. A key has several hashes, and belongs to the
    instance whose point comes soonest after any of them. That spreads keys as evenly as a ring with ten times the
    points. An instance that comes or goes costs its own points only, where Maglev's table is made anew, and only the
    keys move that must: those of an instance that goes, and its share to a new one.

    A look-up is O(1): hashes are spread evenly, so each part of the ring, of which there are as many as points, has
    one or two points. Points are put in order sector by sector, when a key is first looked for there: ten thousand
    instances are met in the time that their digests take, and the order costs each of the first keys a little.

    The hashes depend on scheme, address, port and weight alone: all workers and gateways agree.
    """

    def __init__(self) -> None:
        self._digests_of: dict[Instance, Sequence[int]] = {}
        # By the number of the digest: whose it is, if anybody's; and the digests themselves, one after the other.
        self._owners: list[Instance | None] = []
        self._digests = bytearray()
        self._free: list[int] = []
        self._sectors: list[_Sector | None] = [None]
        self._shift = _BITS
        self._first_bytes = b""

    def __len__(self) -> int:
        return POINTS * (len(self._owners) - len(self._free))

    def become(self, instances: Sequence[Instance]) -> None:
        """Hold these instances, at least one, and no others."""
        wanted = _digest_counts(instances)
        known = self._digests_of
        gone = known.keys() - wanted.keys()
        changed = [each for each, count in wanted.items() if each not in known or len(known[each]) != count]
        sector_count = 256 if sum(wanted.values()) > FEW_DIGESTS else 1
        if len(gone) + len(changed) > FEW_CHANGES or sector_count != len(self._sectors):
            self._shift = _BITS - 8 if sector_count > 1 else _BITS
            self._sectors = [None] * sector_count
        for instance in gone:
            self._cut(instance, 0)
        if len(changed) > FEW_CHANGES:
            self._grow_all(changed, wanted)
        else:
            for instance in changed:
                self._cut(instance, wanted[instance])
                self._grow(instance, wanted[instance])
        self._first_bytes = bytes(self._digests[::_POINT_BYTES])

    def owner(self, key: bytes) -> Instance:
        """Return whose ``key`` is."""
        number, position = self._nearest(key)
        sector = self._sectors[number]
        assert sector is not None  # noqa: S101 - it was looked into
        return sector[1][position]

    def find(self, key: bytes, is_good: Callable[[Instance], bool]) -> Instance:
        """Return the first from the owner of ``key`` onwards that is good; the owner if nobody is."""
        onwards = self._onwards(*self._nearest(key))
        owner = next(onwards)
        if is_good(owner):
            return owner
        return next(filter(is_good, onwards), owner)

    # Looking up.

    def _nearest(self, key: bytes) -> tuple[int, int]:
        """Return the sector of the point that ``key`` belongs to, and the point's position there."""
        digest = int.from_bytes(blake2b(key, digest_size=8).digest(), "big")
        probe = digest & _MASK
        # Odd, so that no two probes are the same; hashes that are made of two are as good (Kirsch, Mitzenmacher 2006).
        step = (digest >> _BITS) | 1
        shift, sectors = self._shift, self._sectors
        nearest = _RING
        found = (0, 0)
        for _ in range(PROBES):
            number = probe >> shift
            points, _owners, parts, mask, part_shift = sectors[number] or self._fill(number)
            position = parts[(probe & mask) >> part_shift]
            while points[position] < probe:
                position += 1
            distance = points[position] - probe
            if distance > _MASK:
                distance, number = self._first_beyond(number, probe)
                position = 0
            if distance < nearest:
                nearest, found = distance, (number, position)
            probe = (probe + step) & _MASK
        return found

    def _first_beyond(self, number: int, probe: int) -> tuple[int, int]:
        """Return how far the first point after a sector is, and which sector has it."""
        count = len(self._sectors)
        for step in range(1, count + 1):
            beyond = (number + step) % count
            points = (self._sectors[beyond] or self._fill(beyond))[0]
            if len(points) > 1:
                return (points[0] - probe) & _MASK, beyond
        raise AssertionError("a ring holds at least one instance")

    def _onwards(self, number: int, position: int) -> Iterator[Instance]:
        """Yield whose points come from there on, once around."""
        count = len(self._sectors)
        for step in range(count + 1):
            each = (number + step) % count
            owners = (self._sectors[each] or self._fill(each))[1]
            yield from owners[position:] if step == 0 else owners[:position] if step == count else owners

    # Making it.

    def _cut(self, instance: Instance, count: int) -> None:
        """Leave ``instance`` so many digests at most, the first of its own."""
        digests = self._digests_of.get(instance, ())
        for at in digests[count:]:
            self._owners[at] = None
            self._free.append(at)
            self._forget_sectors(at)
        if count:
            self._digests_of[instance] = digests[:count]
        else:
            del self._digests_of[instance]

    def _grow(self, instance: Instance, count: int) -> None:
        """Give ``instance`` so many digests."""
        digests = list(self._digests_of.get(instance, ()))
        name = _name(instance).encode()
        for suffix in _SUFFIXES[len(digests) : count]:
            if not self._free:
                self._free.append(len(self._owners))
                self._owners.append(None)
                self._digests += bytes(_DIGEST_BYTES)
            at = self._free.pop()
            self._owners[at] = instance
            self._digests[at * _DIGEST_BYTES : (at + 1) * _DIGEST_BYTES] = blake2b(name + suffix).digest()
            self._forget_sectors(at)
            digests.append(at)
        self._digests_of[instance] = digests

    def _grow_all(self, instances: Sequence[Instance], counts: Mapping[Instance, int]) -> None:
        """Give instances their digests; for many of them."""
        for instance in instances:
            for at in self._digests_of.get(instance, ()):
                self._owners[at] = None
                self._free.append(at)
        if 2 * len(self._free) >= len(self._owners):
            # Mostly nobody's: begin anew.
            self._digests_of, self._owners, self._free, self._digests = {}, [], [], bytearray()
            instances = list(counts)
        begin = len(self._owners)
        for instance in instances:
            end = begin + counts[instance]
            self._digests_of[instance] = range(begin, end)
            begin = end
        self._owners += [instance for instance in instances for _ in range(counts[instance])]
        self._digests += b"".join(
            [
                blake2b(name + suffix).digest()
                for instance in instances
                for name in [_name(instance).encode()]
                for suffix in _SUFFIXES[: counts[instance]]
            ]
        )

    def _forget_sectors(self, at: int) -> None:
        """Forget the sectors in which a digest has points."""
        for first in self._digests[at * _DIGEST_BYTES : (at + 1) * _DIGEST_BYTES : _POINT_BYTES]:
            self._sectors[first << 24 >> self._shift] = None

    def _fill(self, number: int) -> _Sector:
        """Put the points of a sector in order."""
        placed = sorted(self._points_in(number))
        points = [each >> _OWNER_BITS for each in placed]
        if len(set(points)) < len(points):
            _settle_ties(placed, self._owners)
        owners = [owner for each in placed if (owner := self._owners[each & _OWNER_MASK]) is not None]
        bits = min(_BITS, self._shift)
        part_shift = max(bits - len(points).bit_length(), 0)
        mask = (1 << bits) - 1
        parts: list[int] = []
        for position, point in enumerate(points):
            parts += [position] * (((point & mask) >> part_shift) + 1 - len(parts))
        parts += [len(points)] * ((1 << (bits - part_shift)) - len(parts))
        sector = (*([*points, _FAR], owners, parts), mask, part_shift)
        self._sectors[number] = sector
        return sector

    def _points_in(self, number: int) -> list[int]:
        """Return the points of a sector, each followed by the number of its digest."""
        digests, owners = self._digests, self._owners
        if len(self._sectors) == 1:
            return [
                point << _OWNER_BITS | at
                for at, owner in enumerate(owners)
                if owner is not None
                for point in struct.unpack_from(">16I", digests, at * _DIGEST_BYTES)
            ]
        # A search for one byte is what C does fastest.
        find, point_at = self._first_bytes.find, struct.Struct(">I").unpack_from
        found = []
        place = find(number)
        while place >= 0:
            at = place // POINTS
            if owners[at] is not None:
                found.append(point_at(digests, place * _POINT_BYTES)[0] << _OWNER_BITS | at)
            place = find(number, place + 1)
        return found


def _settle_ties(placed: list[int], owners: Sequence[Instance | None]) -> None:
    """Put points that are the same in the order of their owners' names: numbers of digests are chance."""
    for position in range(1, len(placed)):
        before = position
        while before and placed[before] >> _OWNER_BITS == placed[before - 1] >> _OWNER_BITS:
            one, other = owners[placed[before - 1] & _OWNER_MASK], owners[placed[before] & _OWNER_MASK]
            if one is None or other is None or _name(one) <= _name(other):
                break
            placed[before - 1], placed[before] = placed[before], placed[before - 1]
            before -= 1


def _name(instance: Instance) -> str:
    return f"{instance.endpoint.scheme}://{instance.authority}"


def _digest_counts(instances: Sequence[Instance]) -> dict[Instance, int]:
    """Return how many digests each instance has."""
    weights = {instance: instance.endpoint.weight or 1 for instance in instances}
    if max(weights.values()) > MAX_WEIGHT:
        weights = {instance: min(weight, MAX_WEIGHT) for instance, weight in weights.items()}
    total, halvings = sum(weights.values()), 0
    while total >> halvings > MAX_DIGESTS:
        halvings += 1
    if not halvings:
        return weights
    half = 1 << (halvings - 1)
    return {instance: max((weight + half) >> halvings, 1) for instance, weight in weights.items()}
