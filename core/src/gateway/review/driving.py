"""Building the components of a plugin and running them on requests that strangers might send.

In a thread with an event loop of its own. What takes part in an exchange (policies, authenticators, limiters,
balancers, observers) is run; what would open connections of its own accord is only built.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import sys
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gateway.errors import GatewayError
from gateway.pluginhost.collect import describe_error
from gateway.registrations import Registration
from gateway.review.finding import Finding
from gateway.review.growth import bounded_names
from gateway.review.script import Script, drivers
from gateway.review.stalls import StallWatch
from gateway.review.tables import table_sizes
from gateway.runtime.context import ComponentContext, Surroundings
from gateway.runtime.deadlines import DeadlineSweep
from gateway.runtime.outbox import Outbox
from gateway.runtime.supervision import Supervisor
from gateway.services.directory import ServiceDirectory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydantic_core import ErrorDetails

    from gateway.config import Configuration
    from gateway.errors import GatewayError as Refusal
    from gateway.exchange import Exchange
    from gateway.pluginhost.plugin import Offer, Plugin
    from gateway.review.source import Source

__all__ = ["Driven", "Ready", "drive", "with_configuration", "with_defaults"]

TRIAL = 4
"""Exchanges at first, to see whether it works and blocks."""
ROUND = 400
"""Exchanges of other clients in each of three rounds, after which tables are compared."""
ENTER_TIMEOUT_S = 5.0
DRIVE_TIMEOUT_S = 10.0
_BUILD_REMEDY = "build what every valid configuration describes; validators of the model say which are"
_RUN_REMEDY = "raise gateway.GatewayError for a refusal; everything else is answered with 500, and logged as a bug"
HANG_TIMEOUT_S = 30.0
"""After which nothing more is waited for, whatever blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A registration that can be built.

    Attributes:
        registration: The registration.
        config: An instance of its model.
        folder: What relative paths are relative to.
    """

    registration: Registration
    config: Any
    folder: Path = field(default_factory=Path.cwd)

    @property
    def name(self) -> str:
        """Kind and name."""
        return f"{self.registration.kind} {self.registration.name!r}"


@dataclass(slots=True)
class Driven:
    """What came of it.

    Attributes:
        driven: What was run.
        built: What was only built.
        skipped: What was not, and why.
        findings: What was found.
    """

    driven: list[str] = field(default_factory=list)
    built: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def with_defaults(offers: Sequence[Offer], driven: Driven) -> list[Ready]:
    """Return what can be built from defaults; why the others cannot goes into ``driven``."""
    found = []
    for offer in offers:
        if not isinstance(offer, Registration):
            continue
        try:
            found.append(Ready(registration=offer, config=offer.config.model_validate({})))
        except ValidationError as error:
            missing = ", ".join(map(_asked_for, error.errors()[:3]))
            driven.skipped.append(f"{offer.kind} {offer.name!r} needs a configuration ({missing}); use --config FILE")
        except Exception as error:  # noqa: BLE001 - whatever a plugin's validator raises is a finding
            what = f"the model of {offer.kind} {offer.name!r}"
            driven.findings.append(_failure(what, error, (), "raise ValueError for values that cannot be"))
    return found


def _asked_for(detail: ErrorDetails) -> str:
    """Return the key that is missing, or what the model says of all of them."""
    return ".".join(map(str, detail["loc"])) or detail["msg"].removeprefix("Value error, ")


def with_configuration(configuration: Configuration, plugin: Plugin) -> list[Ready]:
    """Return what a configuration turns on of a plugin, each configuration of it once."""
    rules = [each for rule in configuration.rules for each in _of_rule(rule)]
    configured = dict.fromkeys(
        (
            *configuration.discovery,
            *configuration.health_checkers,
            *configuration.observers,
            *configuration.admin_routes,
            *configuration.edge_policies,
            *rules,
        )
    )
    return [
        Ready(registration=each.registration, config=each.config, folder=configuration.folder)
        for each in configured
        if each.plugin.name == plugin.name
    ]


def _of_rule(rule: Any) -> Sequence[Any]:  # noqa: ANN401 - ConfiguredRule, whose module knows too much
    return (*rule.policies, *rule.authenticators, *rule.limiters, rule.balancer)


def drive(ready: Sequence[Ready], plugin: Plugin, files: Sequence[Path], sources: list[Source], driven: Driven) -> None:
    """Build and run everything; what is found goes into ``driven``."""
    runner = _Runner(plugin, files, sources, driven)
    thread = threading.Thread(target=lambda: asyncio.run(runner.run(ready)), name="check-plugin", daemon=True)
    with _no_output():
        thread.start()
        thread.join(HANG_TIMEOUT_S)
    if thread.is_alive():
        problem = f"{runner.now} did not come to an end within {HANG_TIMEOUT_S:.0f} s"
        driven.findings.append(
            Finding(code="blocked-loop", problem=problem, remedy="give every wait a deadline", file=plugin.file)
        )


@contextlib.contextmanager
def _no_output() -> Iterator[None]:
    """Let nothing that a plugin prints come between the lines of the report: an access log does little else."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        with open(nowhere, "w", closefd=False) as devnull, contextlib.redirect_stdout(devnull):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


class _Runner:
    """Builds and runs components, one after the other.

    Attributes:
        now: What is being run.
    """

    def __init__(self, plugin: Plugin, files: Sequence[Path], sources: list[Source], driven: Driven) -> None:
        self.now = "it"
        self._plugin = plugin
        self._files = tuple(files)
        self._bounded = bounded_names(sources)
        self._driven = driven

    async def run(self, ready: Sequence[Ready]) -> None:
        for each in ready:
            self.now = each.name
            supervisor, directory = Supervisor(), ServiceDirectory()
            surroundings = Surroundings(
                directory=directory,
                deadlines=DeadlineSweep(),
                outbox=Outbox(),
                supervisor=supervisor,
                serve=_serve,
                refuse=_refuse,
                folder=each.folder,
            )
            try:
                await self._run_one(each, surroundings)
            finally:
                await supervisor.stop()

    async def _run_one(self, ready: Ready, surroundings: Surroundings) -> None:
        registration = ready.registration
        context = ComponentContext(registration.kind, registration.name, self._plugin, surroundings)
        if inspect.iscoroutinefunction(registration.build):
            return  # which is a finding by itself
        try:
            component = await asyncio.to_thread(registration.build, ready.config, context)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises is a finding
            self._driven.findings.append(_failure(f"build of {ready.name}", error, self._files, _BUILD_REMEDY))
            return
        driver = drivers.get(registration.kind)
        if driver is None:
            self._driven.built.append(ready.name)
            return
        async with contextlib.AsyncExitStack() as stack:
            context.begin()
            if hasattr(component, "__aenter__"):
                try:
                    async with asyncio.timeout(ENTER_TIMEOUT_S):
                        await stack.enter_async_context(component)
                except Exception as error:  # noqa: BLE001 - it may need something that is not here
                    self._driven.skipped.append(f"{ready.name} could not start: {describe_error(error)}")
                    return
            await self._drive(ready, component, driver)

    async def _drive(self, ready: Ready, component: Any, driver: Callable[[Any], Script]) -> None:  # noqa: ANN401 - of any interface
        watch = StallWatch(asyncio.get_running_loop(), self._files)
        try:
            with watch:
                script = driver(component)
                async with asyncio.timeout(DRIVE_TIMEOUT_S):
                    for number in range(TRIAL):
                        await self._once(script, number)
                    if not watch.stalls:
                        await self._watch_tables(ready, component, script)
        except TimeoutError:
            self._driven.skipped.append(f"{ready.name} was not driven to the end: {DRIVE_TIMEOUT_S:.0f} s were over")
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises is a finding
            self._driven.findings.append(_failure(ready.name, error, self._files, _RUN_REMEDY))
        self._driven.driven.append(ready.name)
        for stall in watch.stalls.values():
            self._driven.findings.append(
                Finding(
                    code="blocked-loop",
                    problem=f"{ready.name} blocked the loop {stall.duration_s * 1000:.0f} ms",
                    remedy="await what takes long, or run it in a thread with gateway.blocking.BlockingCalls",
                    file=stall.file,
                    line=stall.line,
                )
            )

    async def _once(self, script: Script, number: int) -> None:
        # A refusal is an answer like others.
        with contextlib.suppress(GatewayError):
            await script.run(number)
        # What takes long must not be taken for what blocks, nor escape the deadline.
        await asyncio.sleep(0)

    async def _watch_tables(self, ready: Ready, component: Any, script: Script) -> None:  # noqa: ANN401 - as above
        package, sizes = self._plugin.module, []
        for begin in range(TRIAL, TRIAL + 3 * ROUND, ROUND):
            for number in range(begin, begin + ROUND):
                await self._once(script, number)
            sizes.append(table_sizes((component, *script.handlers), package.rpartition(".")[0] or package))
        for path in sizes[2]:
            first, second, third = (each.get(path, 0) for each in sizes)
            is_growing = min(second - first, third - second) >= ROUND * 0.9
            if is_growing and path.rpartition(".")[2].removesuffix("[]") not in self._bounded:
                self._driven.findings.append(
                    Finding(
                        code="grew",
                        problem=f"{path} of {ready.name} has {third:,} entries after as many clients, and grows",
                        remedy="forget the oldest above a bound, or let them expire",
                        file=self._files[0] if len(self._files) == 1 else None,
                        level="warning",
                    )
                )


def _failure(what: str, error: Exception, files: Sequence[Path], remedy: str) -> Finding:
    """Return the finding for an exception, at the innermost line of the plugin's own code."""
    own = {str(file): file for file in files}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
    return Finding(
        code="failed",
        problem=f"{what} raised {type(error).__name__}: {error}",
        remedy=remedy,
        file=own[frames[-1].filename] if frames else None,
        line=frames[-1].lineno or 0 if frames else 0,
    )


def _serve(exchange: Exchange) -> None:
    """Serve nothing: no connection is accepted during a check."""


def _refuse(exchange: Exchange, error: Refusal) -> None:
    """Refuse nothing: as above."""
