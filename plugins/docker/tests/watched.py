"""A provider at work, and what it published."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from gateway import Endpoint

PATIENCE_S = 8.0


class Context:
    """As much of ``BuildContext`` as the providers use."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.logger = logging.getLogger("gateway.plugins.gateway-docker")
        self.exposed: dict[str, Callable[[], object]] = {}
        self._folder = folder

    def expose(self, key: str, make: Callable[[], object]) -> None:
        self.exposed[key] = make

    def resolve(self, path: str) -> Path:
        return self._folder / path


class Watched:
    """A provider that watches, and what it published."""

    def __init__(self, provider: Any, context: Context) -> None:
        self.snapshots: list[Mapping[str, Sequence[Endpoint]]] = []
        self.context = context
        self.provider = provider
        self.task = asyncio.ensure_future(provider.watch(self.snapshots.append))

    @property
    def status(self) -> dict[str, Any]:
        (make,) = self.context.exposed.values()
        return cast("dict[str, Any]", make())

    @property
    def services(self) -> dict[str, list[str]]:
        """What is known now, as text: ``address:port``, with ``!`` before those that do not work."""
        latest = self.snapshots[-1] if self.snapshots else {}
        return {
            service: [f"{'' if each.is_healthy else '!'}{each.address}:{each.port}" for each in endpoints]
            for service, endpoints in latest.items()
        }

    async def until(self, is_so: Callable[[], object]) -> None:
        await eventually(is_so)

    async def error(self) -> str:
        """Return why it ended."""
        done, _ = await asyncio.wait([self.task], timeout=PATIENCE_S)
        assert done, "it still watches"
        return f"{type(self.task.exception()).__name__}: {self.task.exception()}"


async def eventually(is_so: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(patience_s):
        while not is_so():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.005)
