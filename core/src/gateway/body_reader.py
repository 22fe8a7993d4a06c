"""Reading a body with ``async for``."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.body import Body, BodySink

__all__ = ["BodyReader"]


class BodyReader:
    """The sink behind ``async for`` and ``read``: pauses the producer whenever something waits to be taken."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._chunks: deque[bytes] = deque()
        self._wakeup: asyncio.Future[None] | None = None
        self._is_over = False
        self._error: Exception | None = None

    async def next(self) -> bytes | None:
        """Return the next piece; ``None`` at the end.

        Raises:
            Exception: Whatever broke the body off.
        """
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._is_over:
                return None
            self._wakeup = asyncio.get_running_loop().create_future()
            self._body.resume()
            # No deadline of its own: the producer's (idle time-out of its connection) ends the body with an error.
            await self._wakeup
        return self._chunks.popleft()

    def body_data(self, chunk: bytes) -> None:
        """Keep a piece."""
        self._chunks.append(chunk)
        self._body.pause()
        self._wake()

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Take note of the end."""
        self._is_over = True
        self._wake()

    def body_error(self, error: Exception) -> None:
        """Take note of what broke the body off."""
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)


if TYPE_CHECKING:
    _: type[BodySink] = BodyReader
