"""Bodies in random pieces, with what stands at both of their ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.body import Body
from gateway.testing.contracts.expectation import in_time

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

__all__ = ["TRAILERS", "Sink", "Source", "cut"]

TRAILERS = ((b"x-checksum", b"abc"),)
MAX_PIECE_BYTES = 20_000


def cut(data: bytes, dice: random.Random) -> list[bytes]:
    """Return the data in pieces, many small ones and some large ones."""
    pieces = []
    while data:
        size = dice.choice((1, 2, 7, dice.randint(1, 300), dice.randint(1, MAX_PIECE_BYTES)))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


class Source:
    """The producer of a body: feeds it piece by piece, while it may.

    Args:
        pieces: What to feed.
        error: Breaks off with this in the end; ``None`` completes the body, with ``TRAILERS``.

    Attributes:
        body: The body.
        fed_bytes: How much was fed.
        is_aborted: Whether nobody wants the rest.
    """

    def __init__(self, pieces: Sequence[bytes], error: Exception | None = None) -> None:
        self.body = Body(self)
        self.fed_bytes = 0
        self.is_aborted = False
        self._pieces = pieces
        self._error = error
        self._may_feed = asyncio.Event()
        self._may_feed.set()

    async def run(self) -> None:
        """Feed everything."""
        for piece in self._pieces:
            await self._may_feed.wait()
            if self.is_aborted:
                return
            self.fed_bytes += len(piece)
            self.body.feed(piece)
            await asyncio.sleep(0)
        if self._error is not None:
            self.body.fail(self._error)
        else:
            self.body.end(TRAILERS)

    def pause_body(self) -> None:
        """Stop feeding."""
        self._may_feed.clear()

    def resume_body(self) -> None:
        """Feed again."""
        self._may_feed.set()

    def abort_body(self) -> None:
        """Feed no more."""
        self.is_aborted = True
        self._may_feed.set()


class Sink:
    """The consumer of a body.

    Args:
        body: What to consume; bytes are there at once.
        is_slow: Takes one piece in a turn of the loop, and holds the source meanwhile.

    Attributes:
        data: What came.
        trailers: The trailer fields.
        error: What broke it off; ``None`` if nothing did.
    """

    def __init__(self, body: bytes | Body, *, is_slow: bool = False) -> None:
        self.data = bytearray()
        self.trailers: Sequence[tuple[bytes, bytes]] = ()
        self.error: Exception | None = None
        self._body = body
        self._is_slow = is_slow
        self._over = asyncio.Event()
        if isinstance(body, bytes):
            self.data += body
            self._over.set()
        else:
            body.attach(self)

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""
        return self._over.is_set()

    async def finished(self) -> bytes:
        """Return all of it.

        Raises:
            AssertionError: If it does not end.
        """
        async with in_time("the end of a body"):
            await self._over.wait()
        return bytes(self.data)

    def body_data(self, chunk: bytes) -> None:
        """Take a piece."""
        self.data += chunk
        if self._is_slow and isinstance(self._body, Body):
            self._body.pause()
            asyncio.get_running_loop().call_soon(self._body.resume)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Take note of the end."""
        self.trailers = trailers
        self._over.set()

    def body_error(self, error: Exception) -> None:
        """Take note of the break."""
        self.error = error
        self._over.set()


if TYPE_CHECKING:
    from gateway.interfaces import BodyProducer, BodySink

    _source: type[BodyProducer] = Source
    _sink: type[BodySink] = Sink
