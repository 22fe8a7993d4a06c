"""Who has least to do."""

from __future__ import annotations

import random
from collections import deque
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary, finalize

from gateway_balancers.candidates import candidates, weight_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway import Instance
    from gateway_balancers.candidates import Take

    Entry = tuple["_Slot"]
    """A place in a queue: another object each time, by which it is known."""
    Listed = tuple[float, float, int, "_Queue"]

__all__ = ["LoadTable", "LoadTables"]


MOST_MET = 256
"""How many instances that nobody chose yet are looked at in one selection: they are idle, unless others use them."""
MOST_VOID = 256
"""How many queues and void places are kept, beside as many as there are instances."""


class _Slot:
    """What a table knows of one instance.

    Attributes:
        instance: The instance.
        weight: Its weight.
        turn: When it is due among equals: grows by 1 / weight with every selection.
        count: How many attempts it had in flight when it was put in the queue that it is in.
        entry: Its place there, or ``None`` while it has none; older ones are void.
    """

    __slots__ = ("count", "entry", "instance", "turn", "weight")

    def __init__(self, instance: Instance, turn: float) -> None:
        self.instance = instance
        self.weight = weight_of(instance)
        self.turn = turn
        self.count = 0
        self.entry: Entry | None = None


class _Queue:
    """Those of the same weight that have as many attempts in flight; whoever has waited longest comes first.

    Attributes:
        count: How many attempts each has in flight.
        entries: Their places, some of them void.
        is_listed: Whether it is in the heap.
        rank: Decides between queues that are due together.
    """

    __slots__ = ("count", "entries", "is_listed", "load", "rank")

    def __init__(self, count: int, weight: int, rank: int) -> None:
        self.count = count
        self.load = count / weight
        self.rank = rank
        self.entries: deque[Entry] = deque()
        self.is_listed = False


class LoadTable:
    """The instances of a service, ordered by attempts in flight for their weight.

    Instances of the same weight with as many attempts in flight stand in a queue, and the queues in a heap. There are
    few of them, however many instances there are: a selection costs the same among ten and ten thousand.

    All that is put right when it is asked. Loads are ratios of small whole numbers, of which floats of equal value are
    equal and others are in order. ``in_flight`` is changed by others all the time: where it went down, the instance
    said so and is put in another queue; where it went up, it stands too far ahead, which shows when it comes to the
    front, and only then matters. So a release that nobody asks about costs one ``set.add``.

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
        # By attempts in flight and weight; those with entries by (load, turn of the first, rank, queue) too.
        self._queues: dict[tuple[int, int], _Queue] = {}
        self._heap: list[Listed] = []
        self._entries = 0
        self._ranks = 0
        self._turn = 0.0
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
        if slot.turn > self._turn:
            self._turn = slot.turn
        slot.turn = self._turn + 1 / slot.weight
        # It is in no queue now: it is put in one before the next answer, with what it then has to do.
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
        self._drop_void()

    def _meet(self) -> None:
        """Meet others by lot, until there is an idle one that takes the next turn, or enough were met."""
        unmet = self._unmet
        for _ in range(min(MOST_MET, len(unmet))):
            # The last one takes the place of the one that is drawn.
            place = int(self._random() * len(unmet))
            instance, unmet[place] = unmet[place], unmet[-1]
            unmet.pop()
            self._slots[instance] = _Slot(instance, self._turn)
            self._changed.add(instance)
            instance.release_listeners += (self._listener,)
            if not instance.in_flight:
                return

    def _catch_up(self) -> None:
        """Put those that have changed in the queues that they belong to."""
        slots, queues = self._slots, self._queues
        for instance in self._changed:
            slot = slots[instance]
            count = instance.in_flight
            if slot.entry is None or slot.count != count:
                slot.count = count
                queue = queues.get((count, slot.weight))
                if queue is None:
                    self._ranks += 1
                    queue = queues[count, slot.weight] = _Queue(count, slot.weight, self._ranks)
                self._line_up(slot, queue)
        self._changed.clear()
        if self._entries + len(queues) > 2 * len(slots) + MOST_VOID:
            self._drop_void()

    def _line_up(self, slot: _Slot, queue: _Queue) -> None:
        slot.entry = entry = (slot,)
        entries = queue.entries
        self._entries += 1
        if not queue.is_listed:
            entries.append(entry)
            queue.is_listed = True
            heappush(self._heap, (queue.load, slot.turn, queue.rank, queue))
            return
        first = entries[0] if entries else entry
        if first[0].entry is not first:
            # Nobody comes here for the first one while others have less to do, so it is forgotten here.
            entries.popleft()
            self._entries -= 1
            entries.append(entry)
        elif slot.turn < first[0].turn:
            entries.appendleft(entry)
        else:
            entries.append(entry)

    def _pop(self) -> _Slot:
        """Take out the first of the least busy that is due next."""
        heap = self._heap
        while True:
            load, turn, rank, queue = heap[0]
            entries = queue.entries
            if not entries:
                heappop(heap)
                queue.is_listed = False
                continue
            entry = entries[0]
            slot = entry[0]
            if slot.entry is not entry:
                entries.popleft()
                self._entries -= 1
            elif slot.instance.in_flight != queue.count:
                entries.popleft()
                self._entries -= 1
                slot.entry = None
                self._changed.add(slot.instance)
                self._catch_up()
            elif slot.turn > turn:
                # Others with as little to do may be due before.
                heapreplace(heap, (load, slot.turn, rank, queue))
            else:
                entries.popleft()
                self._entries -= 1
                slot.entry = None
                return slot

    def _pop_but(self, least: _Slot, excluded: Sequence[Instance]) -> _Slot:
        """Take out the first one that is not excluded; ``least``, taken out before, if there is none."""
        slot = least
        while True:
            self._changed.add(slot.instance)
            if self._unmet:
                self._meet()
                self._catch_up()
            elif not any(entry[0].entry is entry for queue in self._queues.values() for entry in queue.entries):
                break
            slot = self._pop()
            if slot.instance not in excluded:
                return slot
        return least

    def _drop_void(self) -> None:
        """Forget places that are void, and queues that nobody is in."""
        for key, queue in list(self._queues.items()):
            queue.entries = deque([entry for entry in queue.entries if entry[0].entry is entry])
            if not queue.entries:
                del self._queues[key]
        queues = self._queues.values()
        self._heap[:] = [(queue.load, queue.entries[0][0].turn, queue.rank, queue) for queue in queues]
        heapify(self._heap)
        self._entries = sum(len(queue.entries) for queue in queues)


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
