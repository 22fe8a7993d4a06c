from __future__ import annotations

import asyncio
import ssl
import threading

import pytest

from gateway.trust import SystemTrust

pytestmark = pytest.mark.anyio


class Context(ssl.SSLContext):
    """Counts how often the authorities are read; reading takes until ``gate`` opens."""

    reads = 0

    def load_default_certs(self, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        self.reads += 1
        assert threading.current_thread() is not threading.main_thread()
        gate.wait(10)
        super().load_default_certs(purpose)


gate = threading.Event()


@pytest.fixture
def tls() -> Context:
    gate.clear()
    return Context(ssl.PROTOCOL_TLS_CLIENT)


async def test_the_authorities_of_the_system_are_read_once_and_only_when_they_are_needed(tls: Context) -> None:
    trust = SystemTrust(tls)
    assert (tls.reads, tls.get_ca_certs()) == (0, [])
    waiting = [asyncio.ensure_future(trust.ready()) for _ in range(3)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*waiting) == [tls] * 3
    assert await trust.ready() is tls
    assert tls.reads == 1


async def test_one_that_gives_up_leaves_the_others_their_authorities(tls: Context) -> None:
    trust = SystemTrust(tls)
    hasty, patient = asyncio.ensure_future(trust.ready()), asyncio.ensure_future(trust.ready())
    await asyncio.sleep(0)
    hasty.cancel()
    await asyncio.wait([hasty])
    gate.set()
    assert await patient is tls
    assert hasty.cancelled()
    assert tls.reads == 1


async def test_a_context_with_authorities_of_its_own_is_ready_as_it_is(tls: Context) -> None:
    assert await SystemTrust(tls, is_wanted=False).ready() is tls
    assert tls.reads == 0


async def test_authorities_that_could_not_be_read_are_read_again(tls: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        raise OSError("too many open files")

    trust = SystemTrust(tls)
    with monkeypatch.context() as patched:
        patched.setattr(tls, "load_default_certs", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="too many open files"):
                await trust.ready()
    gate.set()
    assert await trust.ready() is tls
    assert tls.reads == 1
