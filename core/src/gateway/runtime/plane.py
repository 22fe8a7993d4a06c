"""The plane that serves, as the control plane sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import Configuration
    from gateway.metrics import FamilySnapshot
    from gateway.runtime.listeners import Address
    from gateway.runtime.shared_memory import SharedMemory
    from gateway.runtime.supervision import WorkReport
    from gateway.services import ServiceDirectory

__all__ = ["Plane"]


class Plane(Protocol):
    """What serves: the data plane of this process, or all workers.

    Attributes:
        directory: The services it serves.
    """

    directory: ServiceDirectory

    async def prepare(self, configuration: Configuration) -> None:
        """Build and enter ``configuration`` beside what serves now; ``commit`` or ``discard`` follows.

        Raises:
            ConfigurationError: If it cannot be served; nothing has changed then.
        """

    async def commit(self) -> None:
        """Serve what was prepared from now on."""

    async def discard(self) -> None:
        """Forget what was prepared."""

    def addresses(self) -> list[Address]:
        """Return the addresses that are served, with the ports that the system chose."""

    def work(self) -> Sequence[WorkReport]:
        """Return how the background work of its components is doing."""

    async def workers(self) -> Sequence[dict[str, object]]:
        """Return how the workers are doing; empty if there are none."""

    async def metrics(self) -> Sequence[Sequence[FamilySnapshot]]:
        """Return what its processes measure, one after the other."""

    async def exposed(self, plugin: str, key: str, *arguments: object) -> Sequence[object]:
        """Return what components of a plugin expose, one value for each process that has one."""

    async def shared_memory(self, plugin: str, key: str, size_bytes: int) -> SharedMemory:
        """Return the shared memory of a plugin."""

    async def stop(self, timeout_s: float) -> None:
        """Accept no more, finish what is under way, and end; what takes longer than ``timeout_s`` is cut."""

    def hurry(self) -> None:
        """Cut what is under way: whoever stops the gateway does not want to wait."""
