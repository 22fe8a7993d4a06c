"""Loading without the garbage collector."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["collector_paused"]

MANY = 50_000
"""New objects that are not worth a look: to walk a million of them stops every thread for a quarter of a second."""


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector: what loading makes is kept, and to walk it again and again takes a third of the time.

    Nor is it walked afterwards, if it is much: it counts as old at once, and is looked at with everything else.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if gc.get_count()[0] > MANY:
                _make_old()
            gc.enable()


def _make_old() -> None:
    """Put all objects into the oldest generation, without a look at any: both calls only link lists together.

    That includes what the start froze, and garbage in cycles, which then stays for very long: loading must make none.
    """
    gc.freeze()
    gc.unfreeze()
