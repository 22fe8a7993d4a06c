"""Answers scrapes, in the control plane."""

from __future__ import annotations

import asyncio
import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Self

from gateway import Headers, Response
from gateway_prometheus.exposition import format_for, render
from gateway_prometheus.instances import InstanceGauges
from gateway_prometheus.port import MetricsPort
from gateway_prometheus.processes import process_metrics
from gateway_prometheus.recorder import PROCESS_KEY

if TYPE_CHECKING:
    from types import TracebackType

    from gateway import AdminRequest, BuildContext
    from gateway_prometheus.config import MetricsConfig

__all__ = ["MetricsEndpoint"]

DEFAULT_PATH = "/metrics"


class MetricsEndpoint:
    """Answers ``/_gateway/metrics``, and a port of its own if it is to have one.

    One scrape at a time is rendered, in a thread, and whoever asked before it began gets it too: however many ask, it
    takes one core at most, and never the event loop.

    Args:
        config: The block.
        context: The gateway.
    """

    def __init__(self, config: MetricsConfig, context: BuildContext) -> None:
        self._context = context
        self._instances = InstanceGauges(context.metrics, context.directory)
        context.metrics.gauge("gateway_info", "The gateway's version.", ("version",)).labels(
            version("gateway-core")
        ).set(1.0)
        self._port: MetricsPort | None = None
        if config.port:
            self._port = MetricsPort(config.host, config.port, config.path or DEFAULT_PATH, self.text, context)
        self._rendering = asyncio.Lock()
        self._begun = 0
        self._last: dict[str, tuple[int, bytes]] = {}

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer a scrape of the main listeners."""
        content_type, body = await self.text(request.accept)
        return Response(200, headers=Headers([(b"content-type", content_type.encode())]), body=body)

    async def text(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the text for an ``Accept`` field."""
        content_type = format_for(accept)
        begun_before = self._begun
        async with self._rendering:
            number, body = self._last.get(content_type, (0, b""))
            if number <= begun_before:
                self._begun += 1
                number = self._begun
                body = await self._render(content_type)
                # check-plugin: allow growth: there are only the formats of format_for()
                self._last[content_type] = (number, body)
        return content_type, body

    async def _render(self, content_type: str) -> bytes:
        self._instances.update()
        snapshots = await self._context.gather_metrics()
        pids = {os.getpid(), *(pid for pid in await self._context.collect(PROCESS_KEY) if isinstance(pid, int))}
        return await asyncio.to_thread(lambda: render(snapshots, process_metrics(pids), content_type))

    async def __aenter__(self) -> Self:
        if self._port is not None:
            await self._port.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._port is not None:
            await self._port.close()
