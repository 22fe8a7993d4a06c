"""Who has least to do."""

from __future__ import annotations

import random
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary, finalize

from gateway_balancers.candidates import candidates, weight_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway import Instance
    from gateway_balancers.candidates import Take

    Entry = tuple[float, float, int, "_Slot"]

__all__ = ["LoadTable", "LoadTables"]


MOST_MET = 256
"""How many instances that nobody chose yet are looked at in one selection: they are idle, unless others use them."""


class _Slot:
    """What a table knows of one instance.

    Attributes:
        instance: The instance.
        weight: Its weight.
        turn: When it is due among equals: grows by 1 / weight with every selection.
        rank: Decides between equals that are due together; unique in the table.
        entry: Its entry in the heap as (load, turn, rank, slot), or ``None`` while it has none; older ones are void.
    """

    __slots__ = ("entry", "instance", "rank", "turn", "weight")

    def __init__(self, instance: Instance, turn: float, rank: int) -> None:
        self.instance = instance
        self.weight = weight_of(instance)
        self.turn = turn
        self.rank = rank
        self.entry: Entry | None = None


class LoadTable:
    """The instances of a service, ordered by attempts in flight for their weight.

    A heap that is put right when it is asked. Loads are ratios of small whole numbers, of which floats of equal value
    are equal and others are in order. ``in_flight`` is changed by others all the time: where it went down, the
    instance said so and is put in again; where it went up, the entry is too low, which shows when it comes to the top,
    and only then matters. So each change costs O(log n) once, and a release that nobody asks about one ``set.add``.

    Instances are met one by one, in an order by lot: as long as there is an idle one that was never chosen, nobody has
    less to do, and there is no need to order the others. So ten thousand that come at once hold up nobody.

    Equals take turns, by weight: a selection puts an instance 1 / weight back in line, and one that was busy for long
    does not catch up (as in start-time fair queueing, Goyal, Vin and Cheng 1996). nginx's ``least_conn`` breaks ties
    in the same spirit, with a weighted round robin among them.

    It listens to the instances that it has met, until they are gone or nobody holds it any more.

    Args:
        random: Decides who goes first among equals.
        take: Says who takes traffic.
    """

    def __init__(self, random: Callable[[], float], take: Take = candidates) -> None:
        self._random = random
        self._take = take
        self._instances: Sequence[Instance] = ()
        # Those that take traffic: met, and not met yet.
        self._slots: dict[Instance, _Slot] = {}
        self._unmet: list[Instance] = []
        self._heap: list[Entry] = []
        self._turn = 0.0
        self._ranks = 0
        # Instances to look at before the next answer. Their listener is the set's own method: it costs no Python
        # frame for a release, and it does not hold the table.
        self._changed: set[Instance] = set()
        self._listener = self._changed.add
        finalize(self, _unsubscribe, self._slots, self._listener).atexit = False

    def pick(self, instances: Sequence[Instance], excluded: Sequence[Instance] = ()) -> Instance:
        """Return the instance with the least to do.

        Args:
            instances: The healthy instances of the service.
            excluded: Whom to avoid, unless nobody else is left.
        """
        if instances is not self._instances:
            self._adopt(instances)
        if self._unmet:
            self._meet()
        self._catch_up()
        slot = self._pop()
        if excluded and slot.instance in excluded:
            slot = self._pop_but(slot, excluded)
        self._turn = max(slot.turn, self._turn)
        slot.turn = self._turn + 1 / slot.weight
        # Its entry is gone from the heap: it is put in again before the next answer, with what it then has to do.
        self._changed.add(slot.instance)
        return slot.instance

    def _adopt(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        taking = self._take(instances)
        present = set(taking)
        slots = self._slots
        gone = slots.keys() - present
        for instance in gone:
            slots.pop(instance).entry = None
        _unsubscribe(gone, self._listener)
        self._changed -= gone
        for instance, slot in slots.items():
            if slot.weight != (instance.weight or 1):
                slot.weight = weight_of(instance)
                slot.entry = None
                self._changed.add(instance)
        self._unmet = [instance for instance in taking if instance not in slots]

    def _meet(self) -> None:
        """Meet others by lot, until there is an idle one that takes the next turn, or enough were met."""
        unmet = self._unmet
        for _ in range(min(MOST_MET, len(unmet))):
            # The last one takes the place of the one that is drawn.
            place = int(self._random() * len(unmet))
            instance, unmet[place] = unmet[place], unmet[-1]
            unmet.pop()
            self._ranks += 1
            self._slots[instance] = _Slot(instance, self._turn, self._ranks)
            self._changed.add(instance)
            instance.release_listeners += (self._listener,)
            if not instance.in_flight:
                return

    def _catch_up(self) -> None:
        slots, heap = self._slots, self._heap
        # One by one they would take ten times as long as all at once.
        is_much = len(self._changed) > MOST_MET
        for instance in self._changed:
            slot = slots[instance]
            load = instance.in_flight / slot.weight
            entry = slot.entry
            if entry is None or entry[0] != load:
                slot.entry = entry = (load, slot.turn, slot.rank, slot)
                if not is_much:
                    heappush(heap, entry)
        self._changed.clear()
        if is_much or len(heap) > 2 * len(slots) + 8:  # mostly void entries
            heap[:] = [slot.entry for slot in slots.values() if slot.entry is not None]
            heapify(heap)

    def _pop(self) -> _Slot:
        """Take out the first entry that is neither void nor out of date."""
        heap = self._heap
        while True:
            entry = heap[0]
            slot = entry[3]
            if slot.entry is not entry:
                heappop(heap)
                continue
            load = slot.instance.in_flight / slot.weight
            if load == entry[0]:
                heappop(heap)
                slot.entry = None
                return slot
            slot.entry = entry = (load, slot.turn, slot.rank, slot)
            heapreplace(heap, entry)

    def _pop_but(self, least: _Slot, excluded: Sequence[Instance]) -> _Slot:
        """Take out the first entry of one that is not excluded; ``least``, taken out before, if there is none."""
        slot = least
        while True:
            self._changed.add(slot.instance)
            if self._unmet:
                self._meet()
                self._catch_up()
            elif not any(entry[3].entry is entry for entry in self._heap):
                break
            slot = self._pop()
            if slot.instance not in excluded:
                return slot
        return least


class LoadTables:
    """The tables of all services, so that all routes to a service share one.

    Without sharing, every release would be told to every route's balancer, and routes would not know whose turn it is.

    Args:
        random: Decides who goes first among equals.
        take: Says who takes traffic.
    """

    def __init__(self, random: Callable[[], float] = random.random, take: Take = candidates) -> None:
        self._random = random
        self._take = take
        self._tables: WeakValueDictionary[str, LoadTable] = WeakValueDictionary()

    def table(self, service: str) -> LoadTable:
        """Return the table of ``service``; it is forgotten when nobody holds it."""
        table = self._tables.get(service)
        if table is None:
            table = self._tables[service] = LoadTable(self._random, self._take)
        return table


def _unsubscribe(instances: Iterable[Instance], listener: Callable[[Instance], None]) -> None:
    for instance in instances:
        instance.release_listeners = tuple(each for each in instance.release_listeners if each is not listener)
