"""The observer: which requests get a line."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Self

from gateway import GatewayError
from gateway_jsonlog.combined_format import CombinedFormat
from gateway_jsonlog.destination import STREAMS, Destination
from gateway_jsonlog.json_format import JsonFormat
from gateway_jsonlog.status import status_of
from gateway_jsonlog.writer import LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from gateway import BuildContext, Exchange
    from gateway_jsonlog.config import AccessLogConfig

__all__ = ["AccessLog"]


class AccessLog:
    """Writes a line for each finished exchange, but for those that are left out by route or by lot.

    Args:
        config: The block.
        context: The gateway.
        draw: Returns a number in [0, 1); tests pass their own.
    """

    def __init__(
        self,
        config: AccessLogConfig,
        context: BuildContext,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._context = context
        self._draw = draw
        self._add_lines = (JsonFormat(config) if config.format == "json" else CombinedFormat(config)).add_lines
        self._chooses = config.sample < 1 or bool(config.exclude_routes)
        self._sample = config.sample
        self._excluded = config.exclude_routes
        self._keep_status = config.keep_status
        self._keep_slower_than_s = math.inf if config.keep_slower_than is None else config.keep_slower_than
        self._destination: Destination | None = None
        self._writer: LineWriter | None = None
        self._write: Callable[[list[str]], None] = _nowhere

    async def __aenter__(self) -> Self:
        output = self._config.output
        is_stream = output in STREAMS
        self._destination = Destination(None, output) if is_stream else Destination(self._context.resolve(output))
        self._writer = LineWriter(self._destination, self._config, self._context)
        self._write = self._writer.write
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._write = _nowhere
            await self._writer.stop()

    def is_current(self) -> bool:
        """Tell whether the file is still in its place; asked at a reload, which otherwise opens it anew."""
        return self._destination is None or self._destination.is_current()

    def exchange_finished(self, exchange: Exchange) -> None:
        """Write its line."""
        self.exchanges_finished((exchange,))

    def exchanges_finished(self, exchanges: Iterable[Exchange]) -> None:
        """Write the lines of all that finished in a turn of the event loop."""
        lines: list[str] = []
        try:
            if self._chooses:
                self._choose(lines, exchanges)
            else:
                self._add_lines(lines, exchanges)
        finally:
            self._write(lines)

    def _choose(self, lines: list[str], exchanges: Iterable[Exchange]) -> None:
        """Append the lines of those that are not left out."""
        for exchange in exchanges:
            if exchange.route.id in self._excluded:
                continue
            is_drawn = self._sample < 1 and not self._must_stay(exchange)
            if not is_drawn or self._draw() < self._sample:
                self._add_lines(lines, (exchange,), is_drawn=is_drawn)

    def _must_stay(self, exchange: Exchange) -> bool:
        """Tell whether a line is written whatever the lot says: the request failed, or was slow."""
        error, status = exchange.error, status_of(exchange)
        if isinstance(error, GatewayError):
            status = max(status, error.type.status)  # it may have broken off behind a good status
        elif error is not None:
            return True
        return status >= self._keep_status or exchange.duration_s > self._keep_slower_than_s


def _nowhere(lines: list[str]) -> None:
    """Take the lines of exchanges that end when the log is closed already."""


if TYPE_CHECKING:
    from gateway.interfaces import Observer

    _: type[Observer] = AccessLog
