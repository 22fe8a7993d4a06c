"""The event stream of an engine: one thread reads it and says that something changed."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from typing import TYPE_CHECKING

from gateway_docker.engine import Engine, EngineError, EngineRefusal

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

__all__ = ["MAX_EVENT_BYTES", "EventLines", "EventWatch", "matters"]

SILENCE_S = 60.0
"""A stream that says nothing for so long is opened anew: its connection may have died without a word."""
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 30.0
MAX_EVENT_BYTES = 64 * 1024
"""Longer ones are not read; that something happened is all there is to know."""

_TYPES = frozenset({"", "container", "network", "pod"})
_IGNORED = frozenset({
    # What Docker calls it, and Podman.
    "archive-path", "attach", "checkpoint", "commit", "copy", "create", "detach", "exec", "exec_create", "exec_detach",
    "exec_die", "exec_died", "exec_kill", "exec_start", "export", "extract-to-dir", "init", "mount", "resize", "sync",
    "top", "unmount",
})  # fmt: skip
"""What changes nothing for us. Everything else is looked into: engines differ in what they call the end of a container
(``die`` and ``destroy``, ``died`` and ``remove``)."""


class EventWatch:
    """Reads events in a thread until it is closed, and opens the stream again whenever it ends.

    Args:
        engine: The session.
        loop: Where ``changed`` is called.
        changed: Called when the stream was opened, when something happened, and when the stream ended.
        name: What the thread is called.

    Attributes:
        is_open: Whether there is a stream.
        trouble: Why there is none; empty if there is one.
    """

    def __init__(
        self, engine: Engine, loop: asyncio.AbstractEventLoop, changed: Callable[[], None], *, name: str
    ) -> None:
        self.is_open = False
        self.trouble = ""
        self._engine = engine
        self._loop = loop
        self._changed = changed
        self._is_closing = threading.Event()
        self._delay_s = FIRST_DELAY_S
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End soon; the engine's ``close`` ends what is being read."""
        self._is_closing.set()

    def _work(self) -> None:
        while not self._is_closing.is_set():
            try:
                self._read()
                continue  # It was silent for long, and is opened anew.
            except EngineError as error:
                self.trouble = str(error)
                if isinstance(error, EngineRefusal):
                    # It will not change its mind soon.
                    self._delay_s = LONGEST_DELAY_S
            except Exception as error:  # noqa: BLE001 - whatever the SDK raises; this thread is the only one that listens
                self.trouble = f"{type(error).__name__}: {error}"
            self.is_open = False
            # Whoever looks now finds out whether the engine is gone, or only the stream.
            self._tell()
            # Jitter, so that many gateways do not come back to one engine at once.
            self._is_closing.wait(self._delay_s * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
            self._delay_s = min(2 * self._delay_s, LONGEST_DELAY_S)

    def _read(self) -> None:
        lines = EventLines()
        with contextlib.closing(self._engine.events(SILENCE_S)) as pieces:
            for piece in pieces:
                if self._is_closing.is_set():
                    return
                if not piece:
                    # What happened before the stream was opened is found by a look at everything.
                    self.is_open, self.trouble, self._delay_s = True, "", FIRST_DELAY_S
                    self._tell()
                elif any(matters(line) for line in lines.feed(piece)):
                    self._tell()

    def _tell(self) -> None:
        # A closed loop: nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._changed)


class EventLines:
    """Cuts what arrives into lines, of which it keeps a bounded part."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_skipping = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the lines that are complete; one that is too long is yielded empty."""
        *lines, rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield b"" if self._is_skipping or len(line) > MAX_EVENT_BYTES else line
            self._is_skipping = False
        if len(rest) > MAX_EVENT_BYTES:
            self._is_skipping, rest = True, b""
        self._rest = rest


def matters(line: bytes) -> bool:
    """Say whether an event may change which instances there are; what cannot be read may."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return True
    if not isinstance(event, dict):
        return True
    kind, action = event.get("Type", ""), event.get("Action", event.get("status", ""))
    if not isinstance(kind, str) or not isinstance(action, str):
        return True
    # Some carry more after a colon, such as the command of exec_start.
    return kind.lower() in _TYPES and action.partition(":")[0].strip().lower() not in _IGNORED
