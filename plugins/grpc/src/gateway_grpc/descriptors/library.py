"""Keeps the descriptors of sources, and looks for new ones. What is broken changes nothing."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from gateway import ErrorType, GatewayError
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
        self._logger = context.logger
        self._is_reloading = is_reloading
        self._current: T | None = None
        self._sets: dict[Source, Sequence[DescriptorSet]] = {}
        self._due_s: dict[Source, float] = dict.fromkeys(sources, 0.0)
        # By source, and under None of all together: what was said, so that it is said once.
        self._problems: dict[Source | None, str] = {}
        self._is_loaded = asyncio.Event()
        self._loads = context.metrics.counter(
            "gateway_grpc_descriptor_loads_total", "Descriptors that were loaded, by how it went.", ("result",)
        )
        self._read_local(fails=fails)
        if is_reloading or len(self._sets) < len(sources):
            context.background.start("load descriptors", self._work)

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
        while self._is_reloading or len(self._sets) < len(self._sources):
            now_s = time.monotonic()
            due = [source for source in self._sources if self._due_s[source] <= now_s]
            is_new = any(await asyncio.gather(*map(self._look, due)))
            if is_new or (is_first and self._sets and self._current is None):
                try:
                    self._current = await asyncio.to_thread(self._build)
                except DescriptorError as error:
                    self._complain(None, error)
            is_first = False
            self._is_loaded.set()
            soonest_s = min(self._due_s.values(), default=now_s) - time.monotonic()
            await asyncio.sleep(min(max(soonest_s, 0.01), TICK_S))

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
        compiled = self._compile(build_schema([each for sets in list(self._sets.values()) for each in sets]))
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
