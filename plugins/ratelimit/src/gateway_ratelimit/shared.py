"""What several limits use together: opened by the first of them, closed by the last."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

__all__ = ["Closable", "SharedResources"]


class Closable(Protocol):
    """What can be shared."""

    async def aclose(self) -> None:
        """Give everything back."""


T = TypeVar("T", bound=Closable)


class SharedResources:
    """Tables and connections of one process; a gateway may have ten thousand limits on one Redis."""

    def __init__(self) -> None:
        self._open: dict[Hashable, tuple[Any, int]] = {}
        self._turn = asyncio.Lock()

    async def obtain(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Return what is open under ``key``, opened now by ``make`` if nothing is.

        Args:
            key: What tells it apart.
            make: Opens it.
        """
        async with self._turn:
            resource, uses = self._open.get(key, (None, 0))
            if resource is None:
                resource = await make()
            self._open[key] = (resource, uses + 1)
            found: T = resource
            return found

    async def release(self, key: Hashable) -> None:
        """Give up one use; the last one closes it."""
        async with self._turn:
            resource, uses = self._open.pop(key)
            if uses > 1:
                self._open[key] = (resource, uses - 1)
            else:
                await resource.aclose()
