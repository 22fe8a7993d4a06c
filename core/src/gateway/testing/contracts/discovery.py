"""What a discovery provider promises."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from gateway.interfaces import Endpoint
from gateway.registrations import DiscoveryRegistration, Registration
from gateway.testing.contracts.expectation import expect
from gateway.testing.contracts.watching import WatchingContract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.interfaces import DiscoveryProvider, Publish
    from gateway.testing.workbench import Workbench

__all__ = ["DiscoveryContract"]

MAX_PORT = 65535

Snapshot = Mapping[str, Sequence[Endpoint]]


class DiscoveryContract(WatchingContract[Snapshot]):
    """Extend it, name it ``Test...``, and say what there is to find, and how that changes.

    ``config`` must lead to services; ``change``, which changes the instances of one of them, ``fail`` and ``mend`` are
    for sources that can.
    """

    kind: ClassVar[type[Registration]] = DiscoveryRegistration

    # To be overridden.

    def services(self) -> set[str]:
        """Return the names of all services that are to be found at first, at least one."""
        raise NotImplementedError("say which services there are: override services")

    # What is promised.

    async def test_it_publishes_everything_at_once(self) -> None:
        """The first snapshot has all services: what it lacks has no instances."""
        async with self._watched() as watched:
            found = await watched.next()
            expect(
                set(found) == self.services(),
                f"the first snapshot is of {sorted(found)}, not of {sorted(self.services())}",
            )
            expect(any(found.values()), "no service has an instance")

    async def test_what_it_publishes_makes_sense(self) -> None:
        """Endpoints with an address, a port and a weight; none of them twice."""
        async with self._watched() as watched:
            for service, endpoints in (await watched.next()).items():
                for each in endpoints:
                    expect(isinstance(each, Endpoint), f"{service}: {each!r} is no Endpoint")
                    is_right = each.address and each.scheme and 1 <= each.port <= MAX_PORT and each.weight >= 0
                    expect(is_right, f"{service}: {each!r} cannot be reached")
                places = [(each.scheme, each.address, each.port) for each in endpoints]
                expect(len(places) == len(set(places)), f"{service}: an instance is published twice: {places}")

    async def test_changes_are_whole_snapshots(self) -> None:
        """Services that did not change are in them, too; earlier snapshots stay as they were."""
        async with self._watched() as watched:
            first = await watched.next()
            noted = self.listed(first)
            if not await self.change():
                return
            second = await watched.until(lambda found: self.listed(found) != noted)
            expect(self.listed(first) == noted, "a snapshot was changed after it was published")
            expect(second is not first, "the same snapshot was published again, changed; make a new one")
            lost = self.services() - set(second)
            expect(not lost, f"one service changed, and {sorted(lost)} are gone: publish all of them each time")

    # Underneath.

    def nothing(self) -> Snapshot:
        """Return no services."""
        return {}

    def listed(self, published: Snapshot) -> dict[str, list[Endpoint]]:
        """Return the endpoints of each service."""
        return {service: list(endpoints) for service, endpoints in published.items()}

    @contextlib.asynccontextmanager
    async def watcher(self, bench: Workbench) -> AsyncIterator[Callable[[Publish], Awaitable[None]]]:
        """Build the provider."""
        provider: DiscoveryProvider = await bench.build(self.registration, self.config())
        yield provider.watch
