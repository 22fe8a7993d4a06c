"""``gateway run``: one process that does it all, or a control plane with workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING

from gateway.config.files import named_files
from gateway.errors import ConfigurationError
from gateway.logs import configure_logging
from gateway.runtime.control import ControlPlane, log_warnings
from gateway.runtime.dataplane import DataPlane
from gateway.runtime.loop import calm_garbage_collector, new_event_loop, shorten_turns_of_threads
from gateway.runtime.options import RunOptions
from gateway.runtime.reload import watch_files
from gateway.runtime.watchdog import LoopWatchdog
from gateway.runtime.workers import WorkerPool, worker_count

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Configuration
    from gateway.interfaces import AdminRequest
    from gateway.messages import Response
    from gateway.runtime.listeners import Address
    from gateway.runtime.plane import Plane

__all__ = ["RunOptions", "run"]

logger = logging.getLogger("gateway")


def run(options: RunOptions) -> int:
    """Run the gateway until SIGTERM or SIGINT; returns the exit code.

    Raises:
        ConfigurationError: If it cannot start; with everything that is wrong.
    """
    started_s = time.monotonic()
    configuration = options.load()
    configure_logging(configuration.gateway.logging.level, configuration.gateway.logging.format)
    wanted = options.workers if options.workers is not None else configuration.gateway.workers
    count = worker_count(wanted)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_run(options, configuration, count, started_s))
    return 0


async def _run(options: RunOptions, configuration: Configuration, count: int, started_s: float) -> None:
    async def answer_admin(request: AdminRequest, authorization: str | None) -> Response:
        return await control.answer_admin(request, authorization)

    plane: DataPlane | WorkerPool
    plane = WorkerPool(options, count, answer_admin) if count > 1 else DataPlane(answer_admin)
    control = ControlPlane(options, plane)
    watchdog = LoopWatchdog(asyncio.get_running_loop(), plane.owner) if isinstance(plane, DataPlane) else None
    signals = _Signals(control, plane.hurry)
    timeout_s = configuration.gateway.shutdown_timeout
    log_warnings(configuration)
    try:
        if not await _start(control, configuration, signals):
            return
        if watchdog is not None:
            watchdog.start()
            calm_garbage_collector()
            shorten_turns_of_threads()
        _announce(configuration, plane.addresses(), time.monotonic() - started_s)
        await _serve(options, control, signals)
        timeout_s = control.configuration.gateway.shutdown_timeout
    finally:
        await control.settle()
        await plane.stop(timeout_s)
        if watchdog is not None:
            watchdog.stop()
        await control.stop()
    logger.info("stopped")


class _Signals:
    """What signals ask for: SIGTERM and SIGINT to stop, again to stop at once; SIGHUP to reload.

    They are heard from the beginning: a gateway that is told to stop while it starts leaves nothing behind either.

    Args:
        control: The control plane.
        hurry: Cuts what is under way.

    Attributes:
        stopped: Set when the gateway is to stop.
        hurried: Set when it is to stop at once.
    """

    def __init__(self, control: ControlPlane, hurry: Callable[[], None]) -> None:
        self.stopped = asyncio.Event()
        self.hurried = asyncio.Event()
        self._control = control
        self._hurry = hurry
        self._reloads: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _stop(self) -> None:
        if self.stopped.is_set():
            self.hurried.set()
            self._hurry()
        self._control.refuse_traffic()
        self.stopped.set()

    def _reload(self) -> None:
        if not self.stopped.is_set():
            task = asyncio.get_running_loop().create_task(_reload_quietly(self._control))
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)


async def _start(control: ControlPlane, configuration: Configuration, signals: _Signals) -> bool:
    """Serve ``configuration``; returns whether nobody said to stop before that was done.

    Raises:
        ConfigurationError: If it cannot be served.
    """
    starting = asyncio.ensure_future(control.start(configuration))
    stopping = asyncio.ensure_future(signals.stopped.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        starting.cancel()
        await asyncio.wait({starting, stopping})
    if starting.cancelled():
        logger.info("told to stop before it was started")
        return False
    starting.result()
    return True


async def _serve(options: RunOptions, control: ControlPlane, signals: _Signals) -> None:
    """Serve until a signal says to stop, and then for as long as it takes load balancers to notice."""
    if options.hot_reload:
        known: list[tuple[Configuration, list[Path]]] = []

        def files() -> list[Path]:
            configuration = control.configuration
            if not known or known[0][0] is not configuration:
                known[:] = [(configuration, _files(configuration, options))]
            return known[0][1]

        control.supervisor.start("hot reload", lambda: watch_files(files, control.reload))
    await signals.stopped.wait()
    logger.info("stopping: finishing what is under way")
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(signals.hurried.wait(), control.configuration.gateway.shutdown_delay)


async def _reload_quietly(control: ControlPlane) -> None:
    # What is wrong was logged; there is nobody to raise it to.
    with contextlib.suppress(ConfigurationError):
        await control.reload()


def _files(configuration: Configuration, options: RunOptions) -> list[Path]:
    files = [*options.plugin_files, *(configuration.folder / file for file in configuration.gateway.plugins.files)]
    files += named_files(configuration)
    return [configuration.path, *files] if configuration.path is not None else files


def _announce(configuration: Configuration, addresses: list[Address], duration_s: float) -> None:
    """Say in one line what is served where."""
    listening = ", ".join(f"{host}:{port}" for host, port in addresses)
    plugins = [plugin.name for plugin in configuration.host.plugins if plugin.error is None]
    source = str(configuration.path) if configuration.path is not None else "no configuration file"
    logger.info(
        "listening on %s: %d routes, %d plugins (%s), from %s, ready in %.2f s",
        listening,
        len(configuration.rules),
        len(plugins),
        ", ".join(plugins),
        source,
        duration_s,
    )


if TYPE_CHECKING:
    _planes: tuple[type[Plane], type[Plane]] = (DataPlane, WorkerPool)
