from __future__ import annotations

import asyncio
import os

import pytest

from gateway.errors import ConfigurationError, Problem
from gateway.runtime import reload as reloading
from gateway.runtime.reload import watch_files

pytestmark = pytest.mark.anyio


@pytest.fixture
async def watched(tmp_path, monkeypatch):
    """A file that is watched, and how often a reload was asked for."""
    monkeypatch.setattr(reloading, "POLL_INTERVAL_S", 0.02)
    path = tmp_path / "gateway.yaml"
    path.write_text("a")
    reloads: list[str] = []

    async def reload() -> None:
        reloads.append(path.read_text() if path.exists() else "gone")
        if reloads[-1] == "bad":
            raise ConfigurationError([Problem("bad")])

    task = asyncio.ensure_future(watch_files(lambda: [path, tmp_path / "missing"], reload))
    await asyncio.sleep(0.05)
    yield path, reloads
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_change_reloads_once(watched, until):
    path, reloads = watched
    path.write_text("changed")
    await until(lambda: reloads)
    await asyncio.sleep(0.1)
    assert reloads == ["changed"]


async def test_a_file_that_is_replaced_is_a_change(watched, until):
    """What editors and ConfigMaps do; the new file may be as old and as long as the former one."""
    path, reloads = watched
    other = path.with_suffix(".new")
    other.write_text("b")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    await until(lambda: reloads)
    assert reloads == ["b"]


async def test_a_bad_file_is_followed_by_a_good_one(watched, until):
    path, reloads = watched
    path.write_text("bad")
    await until(lambda: reloads == ["bad"])
    path.write_text("good")
    await until(lambda: reloads == ["bad", "good"])


async def test_a_file_that_is_being_written_is_left_alone(watched, until):
    path, reloads = watched
    for number in range(10):
        path.write_text("x" * (number + 5))
        await asyncio.sleep(0.01)
    await until(lambda: reloads)
    assert reloads == ["x" * 14]


async def test_a_file_that_vanishes_and_comes_back(watched, until):
    path, reloads = watched
    path.unlink()
    await until(lambda: reloads == ["gone"])
    path.write_text("back")
    await until(lambda: reloads == ["gone", "back"])
