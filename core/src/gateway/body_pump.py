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


class LengthError(ValueError):
    """A body is not as long as was promised."""

    def __init__(self, promised: int, given: int) -> None:
        what = "more than" if given > promised else f"only {given} of"
        super().__init__(f"the source of the body gave {what} the {promised} bytes that were promised")


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
            body = self.body
            promised = body.length
            async for chunk in self._chunks:
                # A receiver would take the surplus for the next message.
                if promised is not None and body.received_bytes + len(chunk) > promised:
                    raise LengthError(promised, body.received_bytes + len(chunk))
                if chunk:
                    body.feed(chunk)
                if body.is_over:
                    break
                await self._may_run.wait()
            if promised is not None and body.received_bytes < promised and not body.is_over:
                raise LengthError(promised, body.received_bytes)
            body.end()
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
