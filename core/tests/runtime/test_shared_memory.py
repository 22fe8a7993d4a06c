"""Memory that several processes see."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time

import pytest

from gateway.runtime import shared_memory as module
from gateway.runtime.shared_memory import MemoryStore, SharedMemory, own_memory

pytestmark = pytest.mark.anyio

HOLD = """
import fcntl, sys
fd = int(sys.argv[1])
fcntl.lockf(fd, fcntl.LOCK_EX, 1, 0)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store():
    made = MemoryStore()
    yield made
    made.close()


def mapped(store, size_bytes=64, *, plugin="ratelimit", key="buckets"):
    return SharedMemory(os.dup(store.file(plugin, key, size_bytes).fileno()), size_bytes)


def test_all_who_ask_for_a_memory_see_the_same(store):
    one, two = mapped(store), mapped(store)
    assert bytes(one.buffer[:4]) == b"\0\0\0\0"
    one.buffer[:5] = b"hello"
    assert bytes(two.buffer[:5]) == b"hello"
    one.close()
    one.close()
    assert bytes(two.buffer[:5]) == b"hello"
    two.close()


def test_another_plugin_key_or_size_is_another_memory(store):
    memories = [
        mapped(store),
        mapped(store, plugin="other"),
        mapped(store, key="other"),
        mapped(store, 128),
    ]
    memories[0].buffer[0] = 1
    assert [each.buffer[0] for each in memories] == [1, 0, 0, 0]
    for each in memories:
        each.close()


def test_the_oldest_goes_when_there_are_too_many(store, monkeypatch):
    monkeypatch.setattr(module, "MAX_MEMORIES", 2)
    first = mapped(store, 1)
    first.buffer[0] = 7
    mapped(store, 2).close()
    mapped(store, 1).close()  # asked for again, so it is not the oldest any more
    mapped(store, 3).close()
    again, anew = mapped(store, 1), mapped(store, 2)
    assert (again.buffer[0], anew.buffer[0]) == (7, 0)
    for each in (first, again, anew):
        each.close()


async def test_memory_of_ones_own_is_nobody_elses():
    one, two = await own_memory("a", "b", 8), await own_memory("a", "b", 8)
    one.buffer[0] = 1
    assert two.buffer[0] == 0
    one.close()
    two.close()


def test_nothing_is_left_open_if_it_cannot_be_mapped(store):
    descriptor = os.dup(store.file("a", "b", 8).fileno())
    with pytest.raises(ValueError, match="mmap length is greater"):
        SharedMemory(descriptor, 1 << 20)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.fixture
def holder(store):
    """Another process that holds lock 0 of the memory until its input ends."""
    descriptor = store.file("ratelimit", "buckets", 64).fileno()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(descriptor)],
        pass_fds=[descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_excludes_other_processes_but_not_for_ever(store, holder):
    memory = mapped(store)
    started_s = time.monotonic()
    with pytest.raises(TimeoutError, match="keeps a lock"), memory.lock():
        pass
    assert 0.1 <= time.monotonic() - started_s < 20  # which is long on the busiest machine, and not for ever
    with memory.lock(1):
        pass  # another number is another lock
    memory.close()


def test_a_lock_ends_with_the_process_that_holds_it(store, holder):
    memory = mapped(store)
    holder.kill()
    holder.wait()
    with memory.lock():
        memory.buffer[0] = 1
    memory.close()


def test_a_lock_is_given_back_when_what_it_guards_fails(store):
    memory = mapped(store)
    with pytest.raises(RuntimeError, match="half done"), memory.lock():
        raise RuntimeError("half done")
    script = "import fcntl, sys; fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)"
    descriptor = store.file("ratelimit", "buckets", 64).fileno()
    taken = subprocess.run([sys.executable, "-c", script, str(descriptor)], pass_fds=[descriptor], check=False)
    assert taken.returncode == 0
    memory.close()


def test_other_failures_of_a_lock_are_not_waited_for(store):
    memory = mapped(store)
    lock = memory.lock()
    memory.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        fcntl.lockf(lock._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        lock.__enter__()
