"""A hash table of counters in memory that all workers share, of a fixed size.

Layout: a page with a random key, then sets of eight slots; a slot is a tag of 16 bytes and a state of 64-bit integers.
A tag is a keyed hash of whose quota it is, so that nobody can aim at a set or at a foreign tag; 128 bits of it are
taken to be the name itself. A state begins with the time at which it says nothing any more; such a slot is free.

When all slots of a set are taken, the one that would be free first makes room: who has used up the most stays limited.
"""

from __future__ import annotations

import hashlib
import os
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from gateway.interfaces import BuildContext, SharedMemory
    from gateway.metrics import Series
    from gateway_ratelimit.algorithms.algorithm import State, Verdict

    Take = Callable[[State | None, int, int], Verdict]

__all__ = ["Place", "Table"]

_PAGE = 4096
_SECRET_SIZE = 32
_TAG_SIZE = 16
_WAYS = 8
_REMEMBERED_PLACES = 4096
"""Most requests come from few clients; this saves a microsecond for them."""


class Place:
    """Where a key is, if it is known.

    Args:
        tag: Stands for the key.
        number: Of the set it belongs to; its lock has this number.
        begin: Where the set begins.

    Attributes:
        slot: Where the key was found last; it may have made room for another since.
    """

    __slots__ = ("begin", "number", "slot", "tag")

    def __init__(self, tag: bytes, number: int, begin: int) -> None:
        self.tag = tag
        self.number = number
        self.begin = self.slot = begin


class Table:
    """Counters of one kind; used under the lock of their set.

    Args:
        memory: Where it is; the table closes it.
        size_bytes: How much of it.
        state_size: How many integers a state has.
        evicted: Counts keys that made room for others.

    Attributes:
        place: Returns where a key belongs.
        lock: Returns the lock, by the number of a place, under which ``load`` and ``store`` belong together.
        is_alone: Whether no lock is needed.
    """

    def __init__(self, memory: SharedMemory, size_bytes: int, state_size: int, evicted: Series) -> None:
        self._memory = memory
        self.lock: Callable[[int], AbstractContextManager[object]] = memory.lock
        self.is_alone = memory.is_alone
        self._buffer = memory.buffer
        self._state_size = state_size
        self._slot = struct.Struct(f"={_TAG_SIZE}s{state_size}q")
        self._set_size = _WAYS * self._slot.size
        self._sets = (size_bytes - _PAGE) // self._set_size
        self._evicted = evicted
        with memory.lock(0):
            if self._buffer[:_SECRET_SIZE] == bytes(_SECRET_SIZE):
                self._buffer[:_SECRET_SIZE] = os.urandom(_SECRET_SIZE)
            self._secret = self._buffer[:_SECRET_SIZE]
        self.place = lru_cache(_REMEMBERED_PLACES)(self._find_place)

    @classmethod
    async def open(cls, context: BuildContext, key: str, size_bytes: int, state_size: int) -> Self:
        """Return the table ``key`` of the gateway, the same in every worker."""
        memory = await context.shared_memory(f"{key}:{state_size}", size_bytes)
        evicted = context.metrics.counter(
            "gateway_ratelimit_evictions_total",
            "Keys of rate limits that were forgotten early, because the table in memory is too small.",
        )
        return cls(memory, size_bytes, state_size, evicted.labels())

    @property
    def capacity(self) -> int:
        """How many keys it has room for."""
        return self._sets * _WAYS

    async def aclose(self) -> None:
        """Give up the memory; other workers keep it."""
        self._memory.close()

    def _find_place(self, key: str) -> Place:
        # A principal's name may hold lone surrogates, as JSON allows.
        tag = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_TAG_SIZE, key=self._secret).digest()
        number = int.from_bytes(tag[:8], "little") % self._sets
        return Place(tag, number + 1, _PAGE + number * self._set_size)

    def update(self, place: Place, take: Take, now: int, cost: int) -> Verdict:
        """Decide about a request, and keep what that makes of the state: ``load``, ``take`` and ``store`` in one."""
        found = self._slot.unpack_from(self._buffer, place.slot)
        state = found[1:] if found[0] == place.tag else self.load(place)
        verdict = take(state, now, cost)
        changed = verdict[1]
        if changed is not None:
            if state is not None and self._state_size == 1:
                # As most are: a call less.
                self._slot.pack_into(self._buffer, place.slot, place.tag, changed[0])
            else:
                self.store(place, changed, now, is_known=state is not None)
        return verdict

    def load(self, place: Place) -> State | None:
        """Return the state of a key; ``None`` if it is unknown."""
        # Tags are random: none begins in the middle of another, or in a state.
        slot = self._buffer.find(place.tag, place.begin, place.begin + self._set_size)
        if slot < 0:
            return None
        place.slot = slot
        return self._slot.unpack_from(self._buffer, slot)[1:]

    def store(self, place: Place, state: State, now: int, *, is_known: bool) -> None:
        """Keep the state of a key.

        Args:
            place: Where it belongs.
            state: What to keep.
            now: The time; what is fresh by then is free.
            is_known: Whether ``load`` found it; else it takes a free slot, or that of the key that would be free first.
        """
        if not is_known:
            place.slot = self._free_slot(place, now)
        missing = self._state_size - len(state)
        self._slot.pack_into(self._buffer, place.slot, place.tag, *state, *(0,) * missing)

    def _free_slot(self, place: Place, now: int) -> int:
        first_slot, first = 0, 0
        for slot in range(place.begin, place.begin + self._set_size, self._slot.size):
            fresh_at = self._slot.unpack_from(self._buffer, slot)[1]
            if fresh_at <= now:
                return slot
            if not first_slot or fresh_at < first:
                first_slot, first = slot, fresh_at
        self._evicted.add()
        return first_slot
