"""Saying that something is still under way."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from gateway.logs import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["progress"]

PATIENCE_S = 1.0
"""How long people wait without wondering."""


@contextlib.contextmanager
def progress(what: str, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Tell a terminal, after a while and then again and again, what takes so long; the line goes away at the end.

    Args:
        what: What is going on.
        patience_s: The time between two lines, in seconds.
    """
    stream = sys.stderr
    if not stream.isatty():
        yield
        return
    is_done = threading.Event()
    teller = threading.Thread(target=_tell, args=(stream, what, is_done, patience_s), daemon=True)
    teller.start()
    try:
        yield
    finally:
        is_done.set()
        teller.join()


def _tell(stream: TextIO, what: str, is_done: threading.Event, patience_s: float) -> None:
    started_s = time.monotonic()
    line = ""
    while not is_done.wait(patience_s):
        line = f"{escape_controls(what)}: {time.monotonic() - started_s:.0f} s"
        stream.write(f"\r{line}")
        stream.flush()
    if line:
        # With blanks, which a terminal that knows no codes (TERM=dumb) can show too.
        stream.write(f"\r{' ' * len(line)}\r")
        stream.flush()
