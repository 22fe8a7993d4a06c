"""OTLP over HTTP, with protocol buffers."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from typing import TYPE_CHECKING, Self

import anyio
import httpcore

from gateway_otel.otlp import MAX_ANSWER_BYTES, ExportError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from gateway_otel.config import ExportConfig
    from gateway_otel.otlp import Sender, Signal

__all__ = ["OverHttp"]

RETRYABLE_STATUSES = frozenset((429, 502, 503, 504))
"""OTLP specification 1.5, "Retryable Response Codes"."""
MAX_RETRY_AFTER_S = 60.0
AGENT = "gateway-otel"


class OverHttp:
    """Sends over HTTP.

    Args:
        config: Where to, and how.
        signal: What is sent.
        ca_file: Authorities instead of the system's.
    """

    def __init__(self, config: ExportConfig, signal: Signal, ca_file: Path | None) -> None:
        self._url = f"{config.url.removesuffix(signal.path)}{signal.path}"
        self._timeout_s = config.timeout
        self._is_compressed = config.compression == "gzip"
        self._headers = [*config.all_headers.items(), ("content-type", "application/x-protobuf"), ("user-agent", AGENT)]
        if self._is_compressed:
            self._headers.append(("content-encoding", "gzip"))
        context = ssl.create_default_context(cafile=ca_file) if self._url.startswith("https:") else None
        self._pool = httpcore.AsyncConnectionPool(ssl_context=context, max_connections=2, keepalive_expiry=120.0)
        self._posting: set[asyncio.Task[tuple[int, bytes]]] = set()

    async def send(self, message: bytes) -> None:
        """Send an encoded export request."""
        if self._is_compressed:
            message = await asyncio.to_thread(gzip.compress, message, 6)
        try:
            status, retry_after = await self._post(message)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise ExportError(text, is_retryable=True) from error
        if not 200 <= status < 300:
            is_retryable = status in RETRYABLE_STATUSES
            raise ExportError(f"status {status}", is_retryable=is_retryable, retry_after_s=_seconds(retry_after))

    async def _post(self, message: bytes) -> tuple[int, bytes]:
        scope = anyio.CancelScope(deadline=anyio.current_time() + self._timeout_s)
        task = asyncio.get_running_loop().create_task(self._post_in(scope, message))
        self._posting.add(task)
        task.add_done_callback(self._has_posted)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The pool cleans up behind a cancellation of anyio's, and of no other: one of asyncio's that comes while it
            # does so would leave a connection in use for good.
            scope.cancel()
            raise

    def _has_posted(self, task: asyncio.Task[tuple[int, bytes]]) -> None:
        self._posting.discard(task)
        if not task.cancelled():
            task.exception()  # seen; whoever waited for it may be gone

    async def _post_in(self, scope: anyio.CancelScope, message: bytes) -> tuple[int, bytes]:
        with scope:
            return await self._exchange(message)
        raise TimeoutError(f"no answer within {self._timeout_s:g} s")

    async def _exchange(self, message: bytes) -> tuple[int, bytes]:
        async with self._pool.stream("POST", self._url, headers=self._headers, content=message) as response:
            size = 0
            async for chunk in response.aiter_stream():
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    raise ExportError("its answer is too long", is_retryable=False)
            return response.status, dict(response.headers).get(b"retry-after", b"")

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._posting:
            await asyncio.wait(self._posting)
        await self._pool.__aexit__(kind, error, traceback)


def _seconds(retry_after: bytes) -> float:
    """Return ``Retry-After`` in seconds; a date is not understood."""
    return min(float(retry_after), MAX_RETRY_AFTER_S) if retry_after.isdigit() else 0.0


if TYPE_CHECKING:
    _: type[Sender] = OverHttp
