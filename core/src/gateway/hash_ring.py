"""Instances on a ring of numbers, for balancers that send what belongs together to the same instance."""

from __future__ import annotations

import sys
from array import array
from hashlib import blake2b
from itertools import accumulate, count, groupby
from operator import add
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
"""More units of weight than this, and all of them are halved, until they fit: it bounds memory. It happens again when a
service has twice as many."""
FEW_DIGESTS = 64
"""A ring with so many digests is one sector; larger ones have 256."""
FEW_CHANGES = 32
"""More changes than this, and sectors are made anew rather than looked for."""
MOST_MET = 1024
"""How many digests are made in one look-up: a millisecond."""

_POINT_BYTES = 4
_BITS = 32
_RING = 1 << _BITS
_MASK = _RING - 1
_FAR = (1 << 64) - 1
_SUFFIXES = [b"#%d" % number for number in range(MAX_WEIGHT)]

_Sector = tuple["array[int]", "list[Instance]", "array[int]", int, int]
"""Points in order, whose they are, where in that order each part of the sector begins, and the two numbers that say
which part a point is in: a mask and a shift. The last point is beyond all, and nobody's. In arrays, as numbers that are
objects would lie all over the memory, and each of them be fetched from there."""


class HashRing:
    """Multi-probe consistent hashing (Ben Appleton and Michael O'Reilly, 2015).

    Each instance has some points on the ring for each unit of weight. A key has several hashes, and belongs to the
    instance whose point comes soonest after any of them. That spreads keys as evenly as a ring with ten times the
    points. An instance that comes or goes costs its own points only, where Maglev's table is made anew, and only the
    keys move that must: those of an instance that goes, and its share to a new one.

    A look-up is O(1): hashes are spread evenly, so each part of the ring, of which there are as many as points, has
    one or two points. Points are put in order sector by sector, when a key is first looked for there. Instances are met
    some at a time, with each look-up, in the order in which they were given: of ten thousand that are new, the first
    dozens of keys go to those met so far, and no look-up holds up its caller for more than a few milliseconds.

    The hashes depend on scheme, address, port and weight alone: all workers and gateways agree.
    """

    def __init__(self) -> None:
        # Of whom there are how many digests, or will be.
        self._wanted: dict[Instance, int] = {}
        self._digests_of: dict[Instance, tuple[int, ...]] = {}
        # Who has fewer digests than wanted, the next one last; and whether sectors are left as they are meanwhile.
        self._unmet: list[Instance] = []
        self._meets_many = False
        # By the number of the digest: whose it is, if anybody's; and its points, and the first byte of each of them.
        self._owners: list[Instance | None] = []
        self._points = array("I")
        self._first_bytes = bytearray()
        self._free: list[int] = []
        self._sectors: list[_Sector | None] = [None]
        self._has_sectors = False
        self._shift = _BITS

    def __len__(self) -> int:
        """Return how many points there are, of the instances met so far."""
        return POINTS * (len(self._owners) - len(self._free))

    def become(self, instances: Sequence[Instance]) -> None:
        """Hold these instances, at least one, and no others."""
        wanted = _digest_counts(instances)
        known = self._digests_of
        gone = known.keys() - wanted.keys()
        changed = [each for each, count in wanted.items() if each not in known or len(known[each]) != count]
        sector_count = 256 if sum(wanted.values()) > FEW_DIGESTS else 1
        if sector_count != len(self._sectors):
            self._shift = _BITS - 8 if sector_count > 1 else _BITS
            self._sectors = [None] * sector_count
        if len(gone) + len(changed) > FEW_CHANGES or self._unmet:
            self._forget_all_sectors()
        if len(gone) == len(known):
            self._empty()
        else:
            for instance in gone:
                self._cut(instance, 0)
            for instance in changed:
                if len(known.get(instance, ())) > wanted[instance]:
                    self._cut(instance, wanted[instance])
            if len(self._owners) > max(MOST_MET, 4 * sum(wanted.values())):
                self._compact()
        self._wanted = wanted
        known = self._digests_of
        self._unmet = [each for each in reversed(changed) if len(known.get(each, ())) < wanted[each]]
        self._meets_many = len(self._unmet) > FEW_CHANGES
        self._meet()

    def owner(self, key: bytes) -> Instance:
        """Return whose ``key`` is."""
        if self._unmet:
            self._meet()
        number, position = self._nearest(key)
        sector = self._sectors[number]
        assert sector is not None  # noqa: S101 - it was looked into
        return sector[1][position]

    def find(self, key: bytes, is_good: Callable[[Instance], bool]) -> Instance:
        """Return the first from the owner of ``key`` onwards that is good; the owner if nobody is."""
        if self._unmet:
            self._meet()
        onwards = self._onwards(*self._nearest(key))
        owner = next(onwards)
        return owner if is_good(owner) else next(filter(is_good, onwards), owner)

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
            begin, end = position if step == 0 else 0, position if step == count else len(owners)
            # Not a slice: it would touch all of them.
            yield from (owners[at] for at in range(begin, end))

    # Making it.

    def _empty(self) -> None:
        self._digests_of.clear()
        self._owners.clear()
        self._free.clear()
        self._points, self._first_bytes = array("I"), bytearray()

    def _cut(self, instance: Instance, count: int) -> None:
        """Leave ``instance`` so many digests at most, the first of its own."""
        digests = self._digests_of[instance]
        for at in digests[count:]:
            self._owners[at] = None
            self._free.append(at)
        if self._has_sectors:
            self._forget_sectors(digests[count:])
        if count:
            self._digests_of[instance] = digests[:count]
        else:
            del self._digests_of[instance]

    def _meet(self) -> None:
        """Give the next ones of those that have fewer digests than they should all of them."""
        unmet, made = self._unmet, 0
        while unmet and made < MOST_MET:
            made += self._grow(unmet.pop())
        if self._meets_many and not unmet:
            # Not earlier: keys would move, and sectors be filled, with every step.
            self._forget_all_sectors()

    def _grow(self, instance: Instance) -> int:
        """Give ``instance`` all its digests; returns how many had to be made."""
        digests = self._digests_of.get(instance, ())
        name = _name(instance).encode()
        made = [blake2b(name + suffix).digest() for suffix in _SUFFIXES[len(digests) : self._wanted[instance]]]
        for digest in made:
            if self._free:
                at = self._free.pop()
                self._owners[at] = instance
                self._points[at * POINTS : (at + 1) * POINTS] = _points_of(digest)
                self._first_bytes[at * POINTS : (at + 1) * POINTS] = digest[::_POINT_BYTES]
            else:
                at = len(self._owners)
                self._owners.append(instance)
                self._points += _points_of(digest)
                self._first_bytes += digest[::_POINT_BYTES]
            digests += (at,)
        self._digests_of[instance] = digests
        if self._has_sectors and not self._meets_many:
            self._forget_sectors(digests)
        return len(made)

    def _compact(self) -> None:
        """Give back the memory of digests that are nobody's."""
        kept = [at for at, owner in enumerate(self._owners) if owner is not None]
        numbers = {at: number for number, at in enumerate(kept)}
        points, first_bytes = array("I"), bytearray()
        for at in kept:
            points += self._points[at * POINTS : (at + 1) * POINTS]
            first_bytes += self._first_bytes[at * POINTS : (at + 1) * POINTS]
        self._points, self._first_bytes = points, first_bytes
        self._owners = [self._owners[at] for at in kept]
        self._digests_of = {each: tuple([numbers[at] for at in digests]) for each, digests in self._digests_of.items()}
        self._free.clear()

    def _forget_sectors(self, digests: Sequence[int]) -> None:
        """Forget the sectors in which these have points."""
        for at in digests:
            for first in self._first_bytes[at * POINTS : (at + 1) * POINTS]:
                self._sectors[first << 24 >> self._shift] = None

    def _forget_all_sectors(self) -> None:
        self._sectors = [None] * len(self._sectors)
        self._has_sectors = False

    def _fill(self, number: int) -> _Sector:
        """Put the points of a sector in order."""
        places = self._places_in(number)
        places.sort(key=self._points.__getitem__)
        points = array("Q", map(self._points.__getitem__, places))
        owners = [owner for place in places if (owner := self._owners[place // POINTS]) is not None]
        if len(set(points)) < len(points):
            _settle_ties(points, owners)
        bits = min(_BITS, self._shift)
        part_shift = max(bits - len(points).bit_length(), 0)
        mask = (1 << bits) - 1
        parts: list[int] = []
        for position, point in enumerate(points):
            parts += [position] * (((point & mask) >> part_shift) + 1 - len(parts))
        parts += [len(points)] * ((1 << (bits - part_shift)) - len(parts))
        points.append(_FAR)
        sector = points, owners, array("H" if len(points) < 1 << 16 else "I", parts), mask, part_shift
        self._sectors[number] = sector
        self._has_sectors = True
        return sector

    def _places_in(self, number: int) -> list[int]:
        """Return which points are in a sector."""
        owners = self._owners
        if len(self._sectors) == 1:
            return [place for place in range(len(self._points)) if owners[place // POINTS] is not None]
        # Between two pieces is one place each. That, and counting, is what C does fastest.
        pieces = bytes(self._first_bytes).split(bytes([number]))
        pieces.pop()
        places = map(add, accumulate(map(len, pieces)), count())
        return [place for place in places if owners[place // POINTS] is not None] if self._free else list(places)


def _points_of(digest: bytes) -> array[int]:
    points = array("I", digest)
    if sys.byteorder == "little":
        points.byteswap()
    return points


def _settle_ties(points: Sequence[int], owners: list[Instance]) -> None:
    """Put owners of points that are the same in the order of their names: the numbers of digests are chance."""
    begin = 0
    for _, same in groupby(points):
        end = begin + sum(1 for _ in same)
        if end - begin > 1:
            owners[begin:end] = sorted(owners[begin:end], key=_name)
        begin = end


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
