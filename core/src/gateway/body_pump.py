"""A body made of what an asynchronous iterable yields."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from gateway.body import Body, BodyProducer

__all__ = ["BodyPump"]

logger = logging.getLogger("gateway.body")


class BodyPump:
    """The producer behind ``Body.from_iterable``: one task that owns the iterable, started by the consumer."""

    body: Body

    def __init__(self, chunks: AsyncIterable[bytes]) -> None:
        self._chunks = chunks
        self._task: asyncio.Task[None] | None = None
        self._may_run = asyncio.Event()
        self._may_run.set()

    def start(self) -> asyncio.Task[None]:
        """Begin to read the iterable."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        return self._task

    def pause_body(self) -> None:
        """Take no further piece for now."""
        self._may_run.clear()

    def resume_body(self) -> None:
        """Go on."""
        self._may_run.set()

    def abort_body(self) -> None:
        """Stop: nobody wants the rest."""
        if self._task is None:
            # Closing a generator that has not begun runs none of it. So it begins, and is cancelled where it waits.
            asyncio.get_running_loop().call_soon(self.start().cancel)
        elif self._task is not asyncio.current_task():
            self._task.cancel()

    async def _run(self) -> None:
        try:
            async for chunk in self._chunks:
                if chunk:
                    self._feed(chunk)
                if self.body.is_over:
                    break
                await self._may_run.wait()
            self._end()
        except asyncio.CancelledError:
            self.body.fail(ConnectionAbortedError("the source of the body was cancelled"))
            raise
        except Exception as error:
            if self.body.is_over:
                logger.exception("the source of a body failed after the body was over")
            # What the consumer must see is whatever the iterable raised.
            self.body.fail(error)
        finally:
            await self._close()

    def _feed(self, chunk: bytes) -> None:
        body = self.body
        given = body.received_bytes + len(chunk)
        if body.length is not None and given > body.length:
            # A receiver would take the surplus for the next message.
            msg = f"the source of the body gave more than the {body.length} bytes that were promised"
            raise ValueError(msg)
        body.feed(chunk)

    def _end(self) -> None:
        body = self.body
        if body.length is not None and body.received_bytes < body.length and not body.is_over:
            msg = f"the source of the body gave {body.received_bytes} of the {body.length} bytes that were promised"
            raise ValueError(msg)
        body.end()

    async def _close(self) -> None:
        # The iterable may hold an upstream body: close it in its own task, as generators require.
        close = getattr(self._chunks, "aclose", None)
        if close is None:
            return
        try:
            await close()
        except Exception:
            logger.exception("the source of a body failed while it was closed")


if TYPE_CHECKING:
    _: type[BodyProducer] = BodyPump
