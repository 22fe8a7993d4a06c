"""``gateway run``: one process that does it all, or a control plane with workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from typing import TYPE_CHECKING, Protocol

from gateway.errors import ConfigurationError
from gateway.logs import configure_logging
from gateway.runtime.control import ControlPlane
from gateway.runtime.dataplane import DataPlane
from gateway.runtime.loop import new_event_loop
from gateway.runtime.options import RunOptions
from gateway.runtime.reload import watch_files
from gateway.runtime.supervision import Supervisor
from gateway.runtime.watchdog import LoopWatchdog
from gateway.runtime.workers import WorkerPool, worker_count
from gateway.services.directory import ServiceDirectory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from types import FrameType

    from gateway.config import Configuration
    from gateway.exchange import Response
    from gateway.interfaces import AdminRequest
    from gateway.runtime.listeners import Address

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


class _Whole(Protocol):
    """A plane as this module uses it."""

    def addresses(self) -> list[Address]: ...


async def _run(options: RunOptions, configuration: Configuration, count: int, started_s: float) -> None:
    for warning in configuration.warnings:
        logger.warning("%s", warning)
    if count > 1:
        await _run_workers(options, configuration, count, started_s)
    else:
        await _run_alone(options, configuration, started_s)


async def _run_alone(options: RunOptions, configuration: Configuration, started_s: float) -> None:
    directory = ServiceDirectory()
    supervisor = Supervisor()

    async def answer_admin(request: AdminRequest, authorization: str | None) -> Response:
        return await control.answer_admin(request, authorization)

    plane = DataPlane(answer_admin, directory=directory)
    control = ControlPlane(options, directory, supervisor, plane)
    watchdog = LoopWatchdog(asyncio.get_running_loop(), lambda frame: _blame(control, frame))
    await control.start(configuration)
    watchdog.start()
    await _serve(options, control, plane, supervisor, started_s)
    await plane.drain(control.configuration.gateway.shutdown_timeout)
    watchdog.stop()
    await control.stop()
    logger.info("stopped")


async def _run_workers(options: RunOptions, configuration: Configuration, count: int, started_s: float) -> None:
    directory = ServiceDirectory(changed=lambda service: pool.service_changed(service))  # noqa: PLW0108 - made below
    supervisor = Supervisor()

    async def answer_admin(request: AdminRequest, authorization: str | None) -> Response:
        return await control.answer_admin(request, authorization)

    pool = WorkerPool(options, count, directory, answer_admin)
    control = ControlPlane(options, directory, supervisor, pool)
    try:
        await control.start(configuration)
    except BaseException:
        await pool.stop(0)
        raise
    await _serve(options, control, pool, supervisor, started_s)
    await pool.stop(control.configuration.gateway.shutdown_timeout)
    await control.stop()
    logger.info("stopped")


async def _serve(
    options: RunOptions, control: ControlPlane, plane: _Whole, supervisor: Supervisor, started_s: float
) -> None:
    """Serve until a signal says to stop."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()

    def stop() -> None:
        control.is_ready = False
        stopped.set()

    def reload() -> None:
        task = loop.create_task(_reload_quietly(control.reload))
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    if options.hot_reload:

        def files() -> list[Path]:
            return _files(control.configuration, options)

        supervisor.start("hot reload", lambda: watch_files(files, control.reload))
    _announce(control.configuration, plane.addresses(), time.monotonic() - started_s)
    await stopped.wait()
    logger.info("stopping: finishing what is under way")
    await asyncio.sleep(control.configuration.gateway.shutdown_delay)


async def _reload_quietly(reload: Callable[[], Awaitable[None]]) -> None:
    # What is wrong was logged; there is nobody to raise it to.
    with contextlib.suppress(ConfigurationError):
        await reload()


def _files(configuration: Configuration, options: RunOptions) -> list[Path]:
    files = [*options.plugin_files, *(configuration.folder / file for file in configuration.gateway.plugins.files)]
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


def _blame(control: ControlPlane, frame: FrameType | None) -> str | None:
    while frame is not None:
        plugin = control.configuration.host.owner_of_module(frame.f_globals.get("__name__", ""))
        if plugin is not None:
            return plugin.name
        frame = frame.f_back
    return None
