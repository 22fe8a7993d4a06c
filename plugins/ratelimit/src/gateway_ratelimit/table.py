"""A hash table of counters in memory that all workers share, of a fixed size.

Layout: a page with a random key, then sets of eight slots: eight tags of 16 bytes, then eight states of 64-bit
integers. A tag is a keyed hash of whose quota it is, so that nobody can aim at a set or at a foreign tag; 128 bits of
it are taken to be the name itself. A state begins with the time at which it says nothing any more; such a slot is free.

When all slots of a set are taken, the one that would be free first makes room: who has used up the most stays limited.
"""

from __future__ import annotations

import hashlib
import os
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Self

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
_TAGS_SIZE = _WAYS * _TAG_SIZE
_REMEMBERED_PLACES = 4096
"""Most requests come from few clients; this saves a microsecond for them."""


class Place(NamedTuple):
    """Where a key is, if it is known.

    Attributes:
        tag: Stands for the key.
        number: Of the set it belongs to; its lock has this number.
        tags: Where the tags of the set begin.
    """

    tag: bytes
    number: int
    tags: int


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
        self._state = struct.Struct(f"={state_size}q")
        self._fresh_at = struct.Struct("=q")
        self._set_size = _TAGS_SIZE + _WAYS * self._state.size
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
        tag, _, tags = place
        states = tags + _TAGS_SIZE
        # Tags are random: one does not begin in the middle of others.
        position = self._buffer.find(tag, tags, states)
        if position < 0:
            verdict = take(None, now, cost)
            if verdict[1] is not None:
                self.store(place, -1, verdict[1], now)
            return verdict
        at = states + (position - tags) // _TAG_SIZE * self._state.size
        verdict = take(self._state.unpack_from(self._buffer, at), now, cost)
        state = verdict[1]
        if state is not None:
            if len(state) < self._state_size:
                state += (0,) * (self._state_size - len(state))
            self._state.pack_into(self._buffer, at, *state)
        return verdict

    def load(self, place: Place) -> tuple[int, State | None]:
        """Return the slot of a key and its state; -1 and ``None`` if it is unknown."""
        position = self._buffer.find(place.tag, place.tags, place.tags + _TAGS_SIZE)
        if position < 0:
            return -1, None
        slot = (position - place.tags) // _TAG_SIZE
        return slot, self._state.unpack_from(self._buffer, place.tags + _TAGS_SIZE + slot * self._state.size)

    def store(self, place: Place, slot: int, state: State, now: int) -> None:
        """Keep the state of a key.

        Args:
            place: Where it belongs.
            slot: Where ``load`` found it; -1 takes a free slot, or that of the key that would be free first.
            state: What to keep.
            now: The time; what is fresh by then is free.
        """
        states = place.tags + _TAGS_SIZE
        if slot < 0:
            slot = self._free_slot(states, now)
            self._buffer[place.tags + slot * _TAG_SIZE : place.tags + (slot + 1) * _TAG_SIZE] = place.tag
        if len(state) < self._state_size:
            state += (0,) * (self._state_size - len(state))
        self._state.pack_into(self._buffer, states + slot * self._state.size, *state)

    def _free_slot(self, states: int, now: int) -> int:
        size = self._state.size
        first_slot, first = 0, 0
        for slot in range(_WAYS):
            (fresh_at,) = self._fresh_at.unpack_from(self._buffer, states + slot * size)
            if fresh_at <= now:
                return slot
            if not slot or fresh_at < first:
                first_slot, first = slot, fresh_at
        self._evicted.add()
        return first_slot
