"""What a health checker promises."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import weakref
from typing import TYPE_CHECKING, ClassVar

from gateway.interfaces import Endpoint, Instance
from gateway.registrations import HealthCheckerRegistration, Registration
from gateway.testing.contracts.component import ComponentContract
from gateway.testing.contracts.expectation import PATIENCE_S, expect
from gateway.testing.contracts.standstill import expect_a_running_loop
from gateway.testing.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from gateway.interfaces import Directory, Mark
    from gateway.testing.workbench import Workbench

__all__ = ["HealthCheckerContract"]

_QUIET_S = 0.15


class HealthCheckerContract(ComponentContract):
    """Extend it, name it ``Test...``, and configure checks of HTTP services every few milliseconds.

    ``config`` should ask for short intervals and time-outs (20 ms, 200 ms), and for few results to decide.
    """

    kind: ClassVar[type[Registration]] = HealthCheckerRegistration

    async def test_what_does_not_work_is_taken_out_and_taken_back(self) -> None:
        """An instance that goes is marked, and one that comes back is unmarked; others stay as they are."""
        async with self._checked() as checked, Upstream() as good, Upstream() as bad:
            works, fails = checked.publish(good.port, bad.port)
            await checked.has_looked(good, bad)
            expect(works.is_healthy and fails.is_healthy, "an instance that works was taken out")
            await bad.stop()
            await checked.until(lambda: not fails.is_healthy, "an instance that is gone was not marked")
            expect(works.is_healthy, "an instance that works was taken out with another one")
            await bad.start()
            await checked.until(lambda: fails.is_healthy, "an instance that is back was not unmarked")

    async def test_what_never_answers_is_taken_out_and_delays_nobody(self) -> None:
        """One that takes connections and says nothing; others are checked meanwhile."""
        async with self._checked() as checked, Upstream() as good, _silent() as port:
            works, silent = checked.publish(good.port, port)
            if self.asks():
                await checked.until(lambda: not silent.is_healthy, "an instance that never answers was not marked")
            await good.stop()
            await checked.until(lambda: not works.is_healthy, "one that never answers kept others from being checked")

    async def test_it_speaks_only_of_instances_that_are_known(self) -> None:
        """Those that discovery took away meanwhile are nobody's, and so are others at their place."""
        async with self._checked() as checked, Upstream() as one, Upstream() as other:
            checked.publish(one.port, other.port)
            await checked.has_looked(one, other)
            (stays,) = checked.publish(other.port)
            await one.stop()
            # A check that is under way may end; it may also take a moment until the checker looks who there is.
            for _ in range(10):
                checked.strangers.clear()
                await asyncio.sleep(2 * _QUIET_S)
                if not checked.strangers:
                    break
            expect(not checked.strangers, f"it goes on speaking of {checked.strangers}, which are not known any more")
            expect(stays.is_healthy, "an instance that works was taken out")

    async def test_those_that_are_gone_are_forgotten(self) -> None:
        """Deployments replace instances all day long."""
        async with self._checked() as checked, Upstream() as good:
            gone = [weakref.ref(each) for each in checked.publish(good.port, *range(1, 6))]
            await checked.has_looked(good)
            checked.publish(good.port)
            for _ in range(10):
                await asyncio.sleep(0.1)
                gc.collect()
                if sum(each() is not None for each in gone) <= 1:
                    break
            kept = sum(each() is not None for each in gone) - 1
            expect(kept <= 0, f"{kept} instances are kept that went away; do not hold them")

    async def test_it_ends_when_it_is_cancelled(self) -> None:
        """In the middle of checks, with nothing left; and it can be started again."""
        async with self.bench() as bench, Upstream() as good, _silent() as port:
            for delay_s in (0.0, 0.001, 0.01, 0.05):
                async with self._checking(bench) as checked:
                    checked.publish(good.port, port)
                    await asyncio.sleep(delay_s)
            async with self._checking(bench) as checked:
                checked.publish(good.port)
                await checked.has_looked(good)

    async def test_it_lives_without_services(self) -> None:
        """They come later; and the checker is still there then."""
        async with self._checked() as checked, Upstream() as good:
            await asyncio.sleep(0.05)
            checked.publish(good.port)
            await checked.has_looked(good)

    async def test_it_does_not_block(self) -> None:
        """It runs beside discovery and the admin API."""
        async with self._checked() as checked, Upstream() as good:

            async def work() -> None:
                checked.publish(good.port, *range(1, 10))
                await asyncio.sleep(0.1)

            await expect_a_running_loop(work, "monitor")

    # To be overridden.

    def asks(self) -> bool:
        """Return whether a check takes more than a connection: whether it notices who never answers."""
        return True

    # Underneath.

    @contextlib.asynccontextmanager
    async def _checked(self) -> AsyncIterator[_Checked]:
        async with self.bench() as bench, self._checking(bench) as checked:
            yield checked

    @contextlib.asynccontextmanager
    async def _checking(self, bench: Workbench) -> AsyncIterator[_Checked]:
        """Run the checker as a gateway does."""
        checker = await bench.build(self.registration, self.config())
        checked = _Checked(bench)
        task = bench.supervisor.start("monitor", lambda: checker.monitor(checked))
        try:
            yield checked
        finally:
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=PATIENCE_S)
            expect(done, f"monitor did not end within {PATIENCE_S:g} s although it was cancelled")


class _Checked:
    """The directory as the checker sees it; it notes who is spoken of."""

    def __init__(self, bench: Workbench) -> None:
        self.strangers: list[str] = []
        self._bench = bench
        self._directory: Directory = bench.heard_from("the checker")

    def publish(self, *ports: int) -> Sequence[Instance]:
        """Let instances on these ports be all there are."""
        endpoints = [Endpoint(address="127.0.0.1", port=port) for port in ports]
        self._bench.directory.publish("contract", {"service": endpoints})
        return self.instances("service")

    async def has_looked(self, *upstreams: Upstream) -> None:
        """Wait until the checker has looked at services, and had the time to say so."""
        counts = [upstream.accepted for upstream in upstreams]
        await self.until(
            lambda: all(
                each.accepted > count or each.connections for each, count in zip(upstreams, counts, strict=True)
            ),
            "it did not look at every instance",
        )
        await asyncio.sleep(_QUIET_S)

    async def until(self, is_so: Callable[[], object], why: str) -> None:
        """Wait until something is so."""
        deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
        while not is_so():
            expect(asyncio.get_running_loop().time() < deadline_s, f"{why} within {PATIENCE_S:g} s")
            await asyncio.sleep(0.002)

    # gateway.interfaces.Directory

    def services(self) -> Sequence[str]:
        return self._directory.services()

    def instances(self, service: str) -> Sequence[Instance]:
        return self._directory.instances(service)

    def marks(self, instance: Instance) -> Mapping[str, Mark]:
        return self._directory.marks(instance)

    def mark(self, instance: Instance, *, is_healthy: bool, reason: str, share_percent: int = 100) -> None:
        if instance not in self.instances(instance.service):
            self.strangers.append(repr(instance))
        expect(reason, "a mark has no reason")
        self._directory.mark(instance, is_healthy=is_healthy, reason=reason, share_percent=share_percent)


@contextlib.asynccontextmanager
async def _silent() -> AsyncIterator[int]:
    """Give the port of a socket that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]
