"""Keeps the descriptors of sources, and looks for new ones. What is broken changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway import ErrorType, GatewayError
from gateway_grpc.descriptors.inventory import services_of
from gateway_grpc.descriptors.schema import DescriptorError, build_schema
from gateway_grpc.descriptors.source import LocalSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway import BuildContext
    from gateway_grpc.descriptors.schema import DescriptorSet, Schema
    from gateway_grpc.descriptors.source import Source

__all__ = ["Library", "unknown_methods"]

T = TypeVar("T")

TICK_S = 1.0
"""How long it rests, at most, between two looks at what is due."""
PATIENCE_S = 10.0
"""How long a request waits for the first descriptors after a start."""


class Library(Generic[T]):
    """What sources say, compiled.

    Args:
        sources: Where descriptors come from.
        compile: Makes of a schema what requests need; called in a thread, may raise ``DescriptorError``.
        context: The gateway.
        is_reloading: Whether sources are asked again.
        fails: Whether broken descriptors at hand are an error of the configuration.

    Raises:
        ValueError: If they are.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        compile: Callable[[Schema], T],  # noqa: A002 - what it does
        context: BuildContext,
        *,
        is_reloading: bool,
        fails: bool,
    ) -> None:
        self._sources = sources
        self._compile = compile
        self._context = context
        self._logger = context.logger
        self._is_reloading = is_reloading
        self._current: T | None = None
        self._sets: dict[Source, Sequence[DescriptorSet]] = {}
        self._due_s: dict[Source, float] = dict.fromkeys(sources, 0.0)
        # By source, and under None of all together: what was said, so that it is said once.
        self._problems: dict[Source | None, str] = {}
        self._services: list[dict[str, object]] = []
        # Sources that somebody wants to be asked at once, and those of them that are being asked.
        self._wanted: set[Source] = set()
        self._asked: set[Source] = set()
        self._is_wanted = asyncio.Event()
        self._is_working = False
        self._is_loaded = asyncio.Event()
        self._loads = context.metrics.counter(
            "gateway_grpc_descriptor_loads_total", "Descriptors that were loaded, by how it went.", ("result",)
        )
        self._read_local(fails=fails)
        if self._has_work:
            self._begin_work()

    def is_current(self) -> bool:
        """Tell whether what is at hand is still what was read: who looks by itself always is."""
        if self._is_reloading:
            return True
        try:
            return all(
                source.read() == self._sets.get(source) for source in self._sources if isinstance(source, LocalSource)
            )
        except DescriptorError:
            return True  # what was read before is better than that

    @property
    def at_hand(self) -> T | None:
        """What was compiled last; ``None`` if there is nothing yet."""
        return self._current

    async def current(self) -> T:
        """Return what was compiled last; waits for the first time.

        Raises:
            GatewayError: ``unavailable`` if there is nothing.
        """
        if not self._is_loaded.is_set():
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._is_loaded.wait()
            except TimeoutError:
                raise unknown_methods("its descriptors are not there yet") from None
        if self._current is None:
            raise unknown_methods("; ".join(self._problems.values()))
        return self._current

    # gateway_grpc.descriptors.inventory.Described

    def report(self) -> dict[str, object]:
        """Return where its descriptors are from, which services they have, and what is wrong with them."""
        return {
            "files": [source.origin for source in self._sources],
            "services": self._services,
            "problems": list(self._problems.values()),
            "isReloading": bool(self._wanted or self._asked),
        }

    def reload(self, origin: str | None = None) -> bool:
        """Have sources asked again, soon; returns whether there are any."""
        wanted = [source for source in self._sources if origin in (None, source.origin)]
        self._wanted.update(wanted)
        if wanted:
            self._is_wanted.set()
            if not self._is_working:
                self._begin_work()
        return bool(wanted)

    @property
    def _has_work(self) -> bool:
        return self._is_reloading or bool(self._wanted) or len(self._sets) < len(self._sources)

    def _begin_work(self) -> None:
        self._is_working = True
        self._context.background.start("load descriptors", self._work)

    def _read_local(self, *, fails: bool) -> None:
        """Read what is at hand, so that it is there from the first request on."""
        for source in self._sources:
            if isinstance(source, LocalSource):
                try:
                    self._sets[source] = source.read()
                except DescriptorError as error:
                    if fails:
                        raise ValueError(str(error)) from error
                    self._complain(source, error)
                self._due_s[source] = time.monotonic() + source.interval_s
        if all(isinstance(source, LocalSource) for source in self._sources):
            try:
                self._current = self._build()
            except DescriptorError as error:
                if fails:
                    raise ValueError(str(error)) from error
                self._complain(None, error)
            self._is_loaded.set()

    async def _work(self) -> None:
        is_first = True
        while self._has_work:
            self._is_wanted.clear()
            self._asked, self._wanted = self._wanted, set()
            now_s = time.monotonic()
            due = [source for source in self._sources if source in self._asked or self._due_s[source] <= now_s]
            is_new = any(await asyncio.gather(*map(self._look, due)))
            if is_new or (is_first and self._sets and self._current is None):
                try:
                    self._current = await asyncio.to_thread(self._build)
                except DescriptorError as error:
                    self._complain(None, error)
            is_first = False
            self._is_loaded.set()
            self._asked = set()
            await self._rest()
        self._is_working = False

    async def _rest(self) -> None:
        """Wait until a source is due, or somebody wants one to be."""
        soonest_s = min(self._due_s.values(), default=0.0) - time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(max(soonest_s, 0.01), TICK_S)):
                await self._is_wanted.wait()

    async def _look(self, source: Source) -> bool:
        """Ask a source; returns whether it says something new."""
        try:
            sets = await source.fetch()
        except DescriptorError as error:
            self._complain(source, error)
            return False
        finally:
            self._due_s[source] = time.monotonic() + source.interval_s
        self._problems.pop(source, None)
        if sets == self._sets.get(source):
            return False
        self._sets[source] = sets
        return True

    def _build(self) -> T:
        schema = build_schema([each for sets in list(self._sets.values()) for each in sets])
        compiled = self._compile(schema)
        self._services = services_of(schema)
        self._problems.pop(None, None)
        self._loads.labels("ok").add()
        return compiled

    def _complain(self, source: Source | None, error: DescriptorError) -> None:
        if self._problems.get(source) != str(error):
            self._problems[source] = str(error)
            kept = "; those of before stay" if self._current is not None else ""
            self._logger.error("descriptors cannot be used%s: %s", kept, error)
            self._loads.labels("failed").add()


def unknown_methods(detail: str) -> GatewayError:
    """Return the refusal while it is not known what the service can do."""
    return GatewayError(ErrorType.UNAVAILABLE, "the methods of this service are not known", detail=detail)
