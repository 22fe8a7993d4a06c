"""Lines on their way: written together, in order, never more than fit, and never in anybody's way."""

import asyncio
import logging
import os
import threading
from typing import Any, cast

import pytest

from gateway.metrics import Metrics
from gateway_jsonlog import writer as writer_module
from gateway_jsonlog.config import AccessLogConfig
from gateway_jsonlog.destination import PIPE_BUF, Destination
from gateway_jsonlog.writer import LineWriter

pytestmark = pytest.mark.anyio


class Context:
    """What a writer needs of the gateway."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.logger = logging.getLogger("gateway.plugins.gateway-jsonlog")
        self.background = self
        self.work: list[Any] = []

    def start(self, name, work):
        self.work.append(work)

    def count(self, name):
        return next(family.series[()] for family in self.metrics.snapshot() if family.name == name)


class StalledDisk:
    """Takes nothing until it is told to go on."""

    def __init__(self) -> None:
        self.written = b""
        self.go_on = threading.Event()
        self.error: OSError | None = None

    def write(self, lines):
        self.go_on.wait(10)
        if self.error is not None:
            raise self.error
        self.written += lines

    def close(self):
        pass


class SlowDisk:
    """Takes one batch at a time, when it is told to."""

    def __init__(self) -> None:
        self.may_write = threading.Semaphore(0)

    def write(self, lines):
        self.may_write.acquire(timeout=10)

    def close(self):
        pass

    async def take(self, writer, until_bytes):
        """Take batches until so many bytes are written."""
        self.may_write.release((until_bytes - writer._thread.done_bytes) // 100)
        async with asyncio.timeout(5):
            while writer._thread.done_bytes < until_bytes:  # noqa: ASYNC110 - the thread tells nobody
                await asyncio.sleep(0.001)


@pytest.fixture
def context():
    return Context()


def writing(destination, context, **block):
    return LineWriter(cast("Any", destination), AccessLogConfig.model_validate(block), cast("Any", context))


async def test_lines_are_written_in_order_when_the_writer_stops(tmp_path, context):
    path = tmp_path / "access.log"
    lines = [f"line {number}\n" for number in range(1000)]
    writer = writing(Destination(path), context, flushBytes=100)
    for line in lines:
        writer.write([line])
    await writer.stop()
    assert path.read_text() == "".join(lines)
    assert context.count("gateway_access_log_lines_total") == 1000
    assert context.count("gateway_access_log_dropped_lines_total") == 0


async def test_many_lines_at_once_are_written_in_batches(context, caplog):
    disk = StalledDisk()
    writer = writing(disk, context, flushBytes=100, bufferBytes=200)
    writer.write([f"{number:049d}\n" for number in range(10)])
    disk.go_on.set()
    await writer.stop()
    assert disk.written.count(b"\n") == 4, "as many as may wait"
    assert "lines are dropped" in caplog.text


async def test_lines_are_written_in_time(tmp_path, context):
    path = tmp_path / "access.log"
    writer = writing(Destination(path), context, flushInterval="10ms")
    writer.write(["one\n"])
    assert path.read_text() == ""
    task = asyncio.create_task(context.work[0]())
    async with asyncio.timeout(5):
        while path.read_text() != "one\n":  # noqa: ASYNC110 - the thread tells nobody
            await asyncio.sleep(0.005)
    task.cancel()
    await writer.stop()


async def test_a_disk_that_stalls_costs_lines_and_nothing_else(context, caplog):
    disk = StalledDisk()
    writer = writing(disk, context, flushBytes=100, bufferBytes=1000)
    line = "x" * 99 + "\n"
    for _ in range(50):
        writer.write([line])
    assert context.count("gateway_access_log_dropped_lines_total") == 40
    assert caplog.text.count("lines are dropped") == 1
    disk.go_on.set()
    await writer.stop()
    assert len(disk.written) == 10 * len(line)
    assert context.count("gateway_access_log_lines_total") == 10


async def test_a_disk_that_is_too_slow_for_long_is_told_of_once(context, caplog):
    disk = SlowDisk()
    writer = writing(disk, context, flushBytes=100, bufferBytes=1000)

    def write(batches):
        for _ in range(batches):
            writer.write(["x" * 100])

    write(20)
    for batch in range(1, 6):
        await disk.take(writer, 100 * batch)
        write(2)  # one of which finds room
    assert caplog.text.count("lines are dropped") == 1
    await disk.take(writer, writer._handed_over_bytes)
    write(20)
    assert caplog.text.count("lines are dropped") == 2, "another outage"
    disk.may_write.release(1000)
    await writer.stop()


async def test_after_a_stall_lines_are_written_again(context):
    disk = StalledDisk()
    writer = writing(disk, context, flushBytes=100, bufferBytes=200)
    for _ in range(5):
        writer.write(["x" * 100])
    disk.go_on.set()
    async with asyncio.timeout(5):
        while len(disk.written) < 200:  # noqa: ASYNC110 - the thread tells nobody
            await asyncio.sleep(0.005)
    writer.write(["y" * 100])
    await writer.stop()
    assert disk.written == b"x" * 200 + b"y" * 100


async def test_a_disk_that_never_comes_back_does_not_hold_up_the_end(context, caplog, monkeypatch):
    monkeypatch.setattr(writer_module, "STOP_TIMEOUT_S", 0.05)
    disk = StalledDisk()
    writer = writing(disk, context)
    writer.write(["one\n"])
    await writer.stop()
    assert "could not be written in time" in caplog.text
    disk.go_on.set()
    writer._thread.join(5)


async def test_a_disk_that_is_full_is_told_of_once(context, caplog):
    disk = StalledDisk()
    disk.error = OSError(28, "No space left on device")
    disk.go_on.set()
    writer = writing(disk, context)
    for _ in range(3):
        writer.write(["one\n"])
        writer.flush()
    await writer.stop()
    assert caplog.text.count("No space left on device") == 1
    assert context.count("gateway_access_log_dropped_lines_total") == 3


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path):
    path = tmp_path / "access.log"
    destination = Destination(path)
    destination.write(b"one\n")
    assert destination.is_current()
    path.rename(tmp_path / "access.log.1")
    assert not destination.is_current()
    destination.write(b"two\n")
    assert destination.is_current()
    destination.close()
    assert (tmp_path / "access.log.1").read_text() == "one\n"
    assert path.read_text() == "two\n"


def test_a_file_that_was_cut_is_appended_to(tmp_path):
    """What ``copytruncate`` of logrotate does."""
    path = tmp_path / "access.log"
    destination = Destination(path)
    destination.write(b"one\n")
    os.truncate(path, 0)
    destination.write(b"two\n")
    destination.close()
    assert path.read_bytes() == b"two\n"


def test_a_file_is_not_for_everybody_to_read(tmp_path):
    Destination(tmp_path / "access.log").close()
    assert (tmp_path / "access.log").stat().st_mode & 0o007 == 0


async def test_delete_is_escaped(tmp_path, context):
    path = tmp_path / "access.log"
    writer = writing(Destination(path), context)
    writer.write(['"\x7f"\n'])
    await writer.stop()
    assert path.read_bytes() == b'"\\u007f"\n'


async def test_what_is_not_ascii_costs_no_other_line(tmp_path, context):
    """The formats leave nothing but a request id as it is, which a plugin may have set."""
    path = tmp_path / "access.log"
    writer = writing(Destination(path), context)
    writer.write(["one\n", "\u00e9\n"])
    await writer.stop()
    assert path.read_bytes() == b"one\n\\xe9\n"


def test_a_pipe_gets_whole_lines(tmp_path, monkeypatch):
    """Up to PIPE_BUF bytes a write is one piece, whoever else writes to the pipe."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    destination = Destination(path)
    real_write, pieces = os.write, []

    def write(fd, data):
        pieces.append(bytes(data))
        return real_write(fd, data)

    monkeypatch.setattr(os, "write", write)
    lines = b"".join(b"%0*d\n" % (length, length) for length in (*range(99, 200), 2 * PIPE_BUF, 99))
    destination.write(lines)
    assert len(pieces) > 3
    assert [len(piece) for piece in pieces if len(piece) > PIPE_BUF] == [2 * PIPE_BUF + 1], "a line that is too long"
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert os.read(reading, 2**20) == lines
    destination.close()
    os.close(reading)


def test_a_line_that_was_cut_is_ended_first(tmp_path, monkeypatch):
    path = tmp_path / "access.log"
    destination = Destination(path)
    real_write, taken = os.write, [3]

    def write(fd, data):
        if not taken:
            raise OSError(28, "No space left on device")
        return real_write(fd, data[: taken.pop()])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        destination.write(b"one line\n")
    monkeypatch.undo()
    destination.write(b"two\n")
    destination.write(b"three\n")
    destination.close()
    assert path.read_text() == "one\ntwo\nthree\n"
