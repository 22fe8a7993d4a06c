"""One watch: the lines that an API server sends as things happen."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError

from gateway_kubernetes.cluster import PIECE_BYTES, ApiError
from gateway_kubernetes.lines import Lines, LineTooLongError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3.response import BaseHTTPResponse

    from gateway_kubernetes.cluster import Connection

__all__ = ["WatchStream"]

MAX_LINE_BYTES = 8 * 1024 * 1024
"""Of an event of a watch: one object of 1.5 MiB, and how much longer it may be in JSON."""
MAX_EVENTS_PER_S = 5000
"""More are read more slowly, so that a server that floods does not keep the threads of the gateway from their turns."""


class WatchStream:
    """One watch, read by one thread.

    Args:
        connection: The API server.
        path: What to watch.
        params: How.
        silence_s: A watch that says nothing for so long is given up.
    """

    def __init__(self, connection: Connection, path: str, params: Mapping[str, str], silence_s: float) -> None:
        self._connection = connection
        self._path = path
        self._params = params
        self._silence_s = silence_s
        self._is_closed = threading.Event()
        self._response: BaseHTTPResponse | None = None

    def run(self, opened: Callable[[], None], receive: Callable[[list[bytes]], None]) -> None:
        """Read until the watch ends.

        Args:
            opened: Called once there is a stream.
            receive: Called with the lines that arrived; not any more once it is closed.

        Raises:
            ApiError: If there is no watch, or what arrives is none.
        """
        with self._connection.open(self._path, self._params) as response:
            self._response = response
            if self._is_closed.is_set():
                return
            _set_timeout(response, self._silence_s)
            opened()
            lines = Lines(MAX_LINE_BYTES)
            while piece := self._read(response):
                try:
                    complete = lines.feed(piece)
                except LineTooLongError as error:
                    raise ApiError(str(error)) from None
                if self._is_closed.is_set():
                    return
                if complete:
                    began_s = time.monotonic()
                    receive(complete)
                    # As long a rest as the work took: other threads of the process have requests to serve.
                    self._is_closed.wait(time.monotonic() - began_s + len(complete) / MAX_EVENTS_PER_S)

    def close(self) -> None:
        """End it soon, from whichever thread."""
        self._is_closed.set()
        if self._response is not None:
            # Whatever state its connection is in: it is over.
            with contextlib.suppress(OSError, ValueError, RuntimeError, AttributeError, TypeError):
                self._response.shutdown()

    def _read(self, response: BaseHTTPResponse) -> bytes:
        """Return what arrived; nothing at the end, however it came about: a watch may end at any time."""
        try:
            return response.read1(PIECE_BYTES, decode_content=False)
        except (HTTPError, OSError, ValueError, AttributeError):
            return b""


def _set_timeout(response: BaseHTTPResponse, timeout_s: float) -> None:
    connection = response.connection
    if connection is not None and (sock := getattr(connection, "sock", None)) is not None:
        sock.settimeout(timeout_s)
