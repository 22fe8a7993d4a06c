"""A fake engine that misbehaves, real ones, and providers that watch them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from plugins.docker.tests.fake_engine import FakeEngine
from plugins.docker.tests.real_engine import RealEngine, start_dockerd, start_podman, unmount
from plugins.docker.tests.watched import Context, Watched

from gateway_docker.config import DockerConfig
from gateway_docker.labels import exposure_by_service_label
from gateway_docker.provider import DockerProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from gateway import BuildContext


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Give a folder with a path that is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="gwd"))
    yield folder
    unmount(folder)
    shutil.rmtree(folder)


@pytest.fixture
async def fake_engine(short_folder: Path) -> AsyncIterator[FakeEngine]:
    """Give an engine on a unix socket."""
    engine = FakeEngine(str(short_folder / "docker.sock"))
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def fake_tcp_engine() -> AsyncIterator[FakeEngine]:
    """Give an engine on a TCP port."""
    engine = FakeEngine()
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[Callable[..., Watched]]:
    """Give a function that has a provider watch, and end them all."""
    started: list[Watched] = []

    def start(make: Callable[[BuildContext], Any], name: str = "docker") -> Watched:
        context = Context(name, tmp_path)
        watched = Watched(make(cast("BuildContext", context)), context)
        started.append(watched)
        return watched

    yield start
    for watched in started:
        watched.task.cancel()
        await asyncio.wait([watched.task])


@pytest.fixture
def watch_engine(watch: Callable[..., Watched]) -> Callable[..., Watched]:
    """Give a function that watches an engine with the provider ``docker``."""

    def start(engine: Any, **given: Any) -> Watched:
        config = DockerConfig.model_validate({"host": engine.host, "timeout": "1s", **given})
        return watch(lambda context: DockerProvider(config, context, exposure=exposure_by_service_label))

    return start


@pytest.fixture(scope="session", params=["docker", "podman"])
def running_engine(request: pytest.FixtureRequest) -> Iterator[RealEngine]:
    folder = Path(tempfile.mkdtemp(prefix="gwe"))
    try:
        engine = start_dockerd(folder) if request.param == "docker" else start_podman(folder)
        try:
            engine.import_image()
            yield engine
        finally:
            with contextlib.suppress(Exception):
                engine.remove_all()
            engine.stop()
    finally:
        unmount(folder)
        shutil.rmtree(folder)


@pytest.fixture
def engine(running_engine: RealEngine) -> Iterator[RealEngine]:
    """Give a real engine without containers."""
    yield running_engine
    if not running_engine.is_running:
        running_engine.start()
    running_engine.remove_all()
