"""The event loop and the garbage collector: what a serving process sets once."""

from __future__ import annotations

import asyncio
import gc
import importlib

__all__ = ["calm_garbage_collector", "new_event_loop"]

GC_GENERATION_0 = 50_000
"""Allocations between two collections. The request path makes no cycles, so collecting often only costs."""


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
