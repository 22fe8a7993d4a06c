"""A service whose stream is written by the test, and a clock that the plugin sees."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from gateway.testing import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.testing import Received, RunningGateway


class Feed:
    """Answers requests with streams: what is sent goes to all, ``None`` ends them."""

    def __init__(self) -> None:
        self.headers = {"content-type": "text/event-stream"}
        self.open: list[asyncio.Queue[bytes | None]] = []
        self.closed = 0

    def __call__(self, request: Received) -> Reply:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.open.append(queue)
        return Reply(headers=self.headers, body=self._pieces(queue))

    async def _pieces(self, queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
        try:
            while (piece := await queue.get()) is not None:
                yield piece
        finally:
            self.open.remove(queue)
            self.closed += 1

    def send(self, piece: bytes | None) -> None:
        for queue in self.open:
            queue.put_nowait(piece)


@pytest.fixture
def feed(upstream):
    upstream.answer = Feed()
    return upstream.answer


class Clock:
    """The monotonic clock that the plugin and the gateway's sweep see, which tests move on."""

    def __init__(self) -> None:
        self.late_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.late_s

    def time(self) -> float:
        return time.time() + self.late_s

    def let_pass(self, gateway: RunningGateway, seconds: float) -> None:
        """Let time pass, and have the deadlines looked at."""
        self.late_s += seconds
        deadlines = gateway.gateway.plane._deadlines
        deadlines._clock = self.monotonic
        deadlines.sweep()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("gateway.principal", "gateway_sse.stream"):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock
