from __future__ import annotations

import asyncio
import os
import threading

import pytest

from gateway.errors import ConfigurationError, Problem
from gateway.runtime import reload as reloading
from gateway.runtime.reload import watch_files

pytestmark = pytest.mark.anyio


def write(path, text):
    """Replace the file: one that is written anew is empty for a moment, which a busy machine makes a long one."""
    new = path.with_suffix(".written")
    new.write_text(text)
    new.replace(path)


@pytest.fixture
async def watched(tmp_path, monkeypatch, until):
    """A file that is watched, and how often a reload was asked for."""
    monkeypatch.setattr(reloading, "POLL_INTERVAL_S", 0.02)
    path = tmp_path / "gateway.yaml"
    write(path, "a")
    looked = threading.Event()
    fingerprint = reloading._fingerprint

    def look(files):
        found = fingerprint(files)
        looked.set()
        return found

    monkeypatch.setattr(reloading, "_fingerprint", look)
    reloads: list[str] = []

    async def reload() -> None:
        reloads.append(path.read_text() if path.exists() else "gone")
        if reloads[-1] == "bad":
            raise ConfigurationError([Problem("bad")])

    task = asyncio.ensure_future(watch_files(lambda: [path, tmp_path / "missing"], reload))
    await until(looked.is_set)  # what is changed before the first look is no change
    yield path, reloads
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_change_reloads_once(watched, until):
    path, reloads = watched
    write(path, "changed")
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
    write(path, "bad")
    await until(lambda: reloads == ["bad"])
    write(path, "good")
    await until(lambda: reloads == ["bad", "good"])


async def test_a_file_that_is_being_written_is_left_alone(watched, until, monkeypatch):
    path, reloads = watched
    look = reloading._fingerprint
    texts = ["x" * (number + 5) for number in range(10)]

    def write_and_look(files):
        """Go on writing before every look, so that no two find the same file before the last text is there."""
        if texts:
            path.write_text(texts.pop(0))
        return look(files)

    monkeypatch.setattr(reloading, "_fingerprint", write_and_look)
    await until(lambda: reloads)
    assert reloads == ["x" * 14]


async def test_a_file_that_vanishes_and_comes_back(watched, until):
    path, reloads = watched
    path.unlink()
    await until(lambda: reloads == ["gone"])
    write(path, "back")
    await until(lambda: reloads == ["gone", "back"])
