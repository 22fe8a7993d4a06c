"""A provider at work, as the gateway runs it, and what it published."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from gateway_kubernetes.config import KubernetesConfig
from gateway_kubernetes.provider import KubernetesProvider

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from gateway import BuildContext, Endpoint

PATIENCE_S = 8.0
RESTART_S = 0.05


class Context:
    """As much of ``BuildContext`` as the provider uses, with a supervisor that does not wait long."""

    def __init__(self, folder: Path) -> None:
        self.name = "kubernetes"
        self.logger = logging.getLogger("gateway.plugins.gateway-kubernetes")
        self.exposed: dict[str, Callable[[], object]] = {}
        self.work: dict[str, Callable[[], Awaitable[None]]] = {}
        self.crashes: dict[str, list[str]] = {}
        self.kept: dict[str, Any] = {}
        self._folder = folder

    @property
    def background(self) -> Context:
        return self

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self.work[name] = work

    def expose(self, key: str, make: Callable[[], object]) -> None:
        self.exposed[key] = make

    def keep(self, key: str, make: Callable[[], Any]) -> Any:
        return self.kept.setdefault(key, make())

    def resolve(self, path: str) -> Path:
        return self._folder / path

    async def supervise(self, name: str) -> None:
        while True:
            try:
                await self.work[name]()
            except Exception as error:  # noqa: BLE001 - as the supervisor does
                self.crashes.setdefault(name, []).append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(RESTART_S)


class Following:
    """A provider that watches, and what it published; ``before`` is the one that a reload replaces."""

    def __init__(self, folder: Path, before: Following | None = None, **given: Any) -> None:
        self.context = Context(folder)
        if before is not None:
            self.context.kept = before.context.kept
        self.snapshots: list[Mapping[str, Sequence[Endpoint]]] = []
        self.provider = KubernetesProvider(
            KubernetesConfig.model_validate({"timeout": "1s", **given}), cast("BuildContext", self.context)
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.provider.__aenter__()
        self._tasks = [asyncio.ensure_future(self.context.supervise(name)) for name in self.context.work]
        self._tasks.append(asyncio.ensure_future(self.provider.watch(self.snapshots.append)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.provider.__aexit__(None, None, None)

    @property
    def status(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self.context.exposed["kubernetes"]())

    @property
    def latest(self) -> Mapping[str, Sequence[Endpoint]]:
        return self.snapshots[-1] if self.snapshots else {}

    @property
    def services(self) -> dict[str, list[str]]:
        """What is known now, as text: ``address:port``, ``!`` before those that do not work, ``*`` and the weight."""
        return {
            service: [
                f"{'' if each.is_healthy else '!'}{each.address}:{each.port}"
                + (f"*{each.weight}" if each.weight != 1 else "")
                for each in endpoints
            ]
            for service, endpoints in self.latest.items()
        }

    async def until(self, is_so: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        try:
            async with asyncio.timeout(patience_s):
                while not is_so():  # noqa: ASYNC110 - what it waits for has no event
                    await asyncio.sleep(0.005)
        except TimeoutError:
            crashes = {name: said[-1] for name, said in self.context.crashes.items()}
            raise AssertionError(f"{self.services} {self.status} {crashes}") from None

    async def until_services(self, expected: dict[str, list[str]]) -> None:
        await self.until(lambda: self.services == expected)
