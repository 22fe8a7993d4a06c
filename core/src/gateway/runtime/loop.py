"""The event loop and the garbage collector: what a serving process sets once."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys

__all__ = ["calm_garbage_collector", "new_event_loop", "shorten_turns_of_threads"]

GC_GENERATION_0 = 50_000
"""Allocations between two collections. The request path makes no cycles, so collecting often only costs."""

SWITCH_INTERVAL_S = 0.0005
"""How long another thread may keep the interpreter from the event loop's thread, which lets go of it at each read and
write. With CPython's 5 ms, a request takes 20 to 50 ms while a thread loads a configuration of 10,000 instances."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop: uvloop's where it is installed (gateway-http brings it), else asyncio's own."""
    try:
        uvloop = importlib.import_module("uvloop")
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def calm_garbage_collector() -> None:
    """Collect rarely, and never look at what was loaded at the start (Instagram's gc.freeze, CPython 3.7).

    Nothing is collected first: a start leaves ten objects in cycles, whatever the configuration, and to look for them
    takes 30 to 200 ms.
    """
    gc.freeze()
    gc.set_threshold(GC_GENERATION_0, 20, 50)


def shorten_turns_of_threads() -> None:
    """Let the event loop go on soon whatever other threads compute."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
