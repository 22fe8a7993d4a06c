"""Lines on their way to the disk: collected by the event loop, written together by a thread.

A disk or a reader that stalls holds up the thread and nobody else. What may wait is bounded; the rest is dropped and
counted.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING

from gateway_jsonlog.destination import encoded

if TYPE_CHECKING:
    from logging import Logger

    from gateway.interfaces import BuildContext
    from gateway_jsonlog.config import AccessLogConfig
    from gateway_jsonlog.destination import Destination

__all__ = ["LineWriter"]

STOP_TIMEOUT_S = 3.0
"""How long the last lines may take; the core gives a component 5 s to stop."""


class LineWriter:
    """Collects lines and hands them to the thread that writes them. Made, used and stopped on the event loop.

    Args:
        destination: Where to; closed by ``stop``.
        config: Sizes and times.
        context: Metrics, log and background work.
    """

    def __init__(self, destination: Destination, config: AccessLogConfig, context: BuildContext) -> None:
        self._destination = destination
        self._interval_s = config.flush_interval
        self._flush_bytes = config.flush_bytes
        self._buffer_bytes = config.buffer_bytes
        self._logger = context.logger
        self._written = context.metrics.counter(
            "gateway_access_log_lines_total", "Lines of the access log that were written."
        ).labels()
        self._dropped = context.metrics.counter(
            "gateway_access_log_dropped_lines_total",
            "Lines of the access log that were lost, because the disk was too slow or failed.",
        ).labels()
        self._batch: list[bytes] = []
        self._lines = self._bytes = 0
        self._handed_over_bytes = 0
        self._is_dropping = False
        self._counted_written = self._counted_lost = 0
        self._thread = _Thread(destination, context.logger)
        self._thread.start()
        context.background.start("write lines", self._flush_in_time)

    def write(self, lines: list[str]) -> None:
        """Take lines, with their ends, in ASCII."""
        # Put together at once, while they are in the processor's caches: what waits is touched once more only.
        data = encoded("".join(lines))
        if self._bytes + len(data) < self._flush_bytes:
            self._add(data, len(lines))
            return
        for line in lines:
            self._add(encoded(line), 1)
            if self._bytes >= self._flush_bytes:
                self.flush()

    def flush(self) -> None:
        """Have the thread write what was collected, unless too much waits for it already."""
        self._count()
        if not self._lines:
            return
        batch, lines, size = self._batch, self._lines, self._bytes
        self._batch, self._lines, self._bytes = [], 0, 0
        waiting_bytes = self._handed_over_bytes - self._thread.done_bytes
        if waiting_bytes + size <= self._buffer_bytes:
            # A disk that is a little too slow makes room for a batch now and then: that is no end of it.
            self._is_dropping &= waiting_bytes > 0
            self._handed_over_bytes += size
            self._thread.batches.put((batch, lines, size))
            return
        self._dropped.add(lines)
        if not self._is_dropping:
            self._is_dropping = True
            self._logger.error("the access log cannot be written fast enough; lines are dropped")

    async def stop(self) -> None:
        """Write what is left; give up if that takes too long."""
        self.flush()
        self._thread.batches.put(None)
        await asyncio.to_thread(self._thread.join, STOP_TIMEOUT_S)
        self._count()
        if self._thread.is_alive():
            self._logger.error("the last lines of the access log could not be written in time")
        else:
            self._destination.close()

    def _add(self, data: bytes, lines: int) -> None:
        self._batch.append(data)
        self._lines += lines
        self._bytes += len(data)

    def _count(self) -> None:
        """Take over what the thread counted: metrics belong to the event loop."""
        written, lost = self._thread.written_lines, self._thread.lost_lines
        self._written.add(written - self._counted_written)
        self._dropped.add(lost - self._counted_lost)
        self._counted_written, self._counted_lost = written, lost

    async def _flush_in_time(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            self.flush()


class _Thread(threading.Thread):
    """Writes batches until it gets ``None``. Ends with the process, even in the middle of a write that never returns.

    Args:
        destination: Where to.
        logger: Told of failures.

    Attributes:
        batches: Lines, how many there are, and how many bytes.
        done_bytes: How much was written or lost; set here, read by the event loop, as the two below.
        written_lines: Lines that were written.
        lost_lines: Lines that were not.
    """

    def __init__(self, destination: Destination, logger: Logger) -> None:
        super().__init__(name="gateway access log", daemon=True)
        self.batches: queue.SimpleQueue[tuple[list[bytes], int, int] | None] = queue.SimpleQueue()
        self.done_bytes = 0
        self.written_lines = 0
        self.lost_lines = 0
        self._destination = destination
        self._logger = logger
        self._is_failing = False

    def run(self) -> None:
        while (batch := self.batches.get()) is not None:
            data, lines, size = batch
            try:
                self._destination.write(b"".join(data))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the disk, the next batch is tried
                self.lost_lines += lines
                if not self._is_failing:
                    self._logger.error("the access log cannot be written: %s", error)  # noqa: TRY400 - it says it all
                self._is_failing = True
            else:
                self.written_lines += lines
                self._is_failing = False
            self.done_bytes += size
