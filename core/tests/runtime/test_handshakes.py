from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import logging
import ssl
import sys
from typing import Any

import pytest
import trustme

from gateway.interfaces import Listener
from gateway.metrics import Metrics
from gateway.runtime import handshakes
from gateway.runtime.listeners import Listeners

pytestmark = pytest.mark.anyio

LOOPS = [("asyncio", {"debug": True})]
if importlib.util.find_spec("uvloop") is not None:
    LOOPS.append(("asyncio", {"use_uvloop": True}))


@pytest.fixture(params=LOOPS, ids=lambda loop: "uvloop" if "use_uvloop" in loop[1] else "asyncio")
def anyio_backend(request):
    return request.param


class Greeter:
    """Greets, and answers with what it is sent."""

    def connection(self, listener: Listener) -> asyncio.Protocol:
        class Greeting(asyncio.Protocol):
            transport: Any

            def connection_made(self, transport: Any) -> None:
                self.transport = transport
                transport.write(b"hello ")

            def data_received(self, data: bytes) -> None:
                self.transport.write(data)
                self.transport.close()

        return Greeting()


class Served:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.listeners = Listeners(metrics=self.metrics)
        self.authority = trustme.CA()
        self.writers: list[asyncio.StreamWriter] = []

    async def start(self, **options: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("127.0.0.1").configure_cert(context)
        greeter: Any = Greeter()
        await self.listeners.prepare([(greeter, Listener(host="127.0.0.1", port=0, tls=context, **options))])
        await self.listeners.commit()

    async def connect(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.listeners.addresses()[0], **options)
        self.writers.append(writer)
        return reader, writer

    async def greeting(self) -> bytes:
        trusting = ssl.create_default_context()
        self.authority.configure_trust(trusting)
        reader, writer = await self.connect(ssl=trusting)
        writer.write(b"world")
        return await asyncio.wait_for(reader.read(), 30)

    def failures(self) -> dict[str, object]:
        (family,) = self.metrics.snapshot()
        return {labels[0]: value for labels, value in family.series.items()}

    async def until(self, failures: dict[str, int]) -> None:
        async with asyncio.timeout(30):
            while self.failures() != failures:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        for writer in self.writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        await self.listeners.close()
        await asyncio.sleep(0.01)


@pytest.fixture
async def served():
    made = Served()
    yield made
    await made.stop()


async def test_whoever_says_nothing_is_given_up(served, caplog):
    await served.start(handshake_timeout_s=0.05)
    with caplog.at_level(logging.DEBUG, "gateway.tls"):
        reader, _ = await served.connect()
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 9) == b""  # without the option it would be ten seconds
        await served.until({"timeout": 1})
    (line,) = caplog.records
    assert "TLS handshake with 127.0.0.1 failed (timeout)" in line.getMessage()
    assert line.levelno == logging.DEBUG


async def test_the_oldest_gives_way_when_there_are_too_many(served, monkeypatch):
    monkeypatch.setattr(handshakes, "MAX_HANDSHAKES", 5)
    await served.start()
    silent = [await served.connect() for _ in range(8)]
    assert await served.greeting() == b"hello world"
    assert served.failures() == {"crowded_out": 4}
    for reader, _ in silent[:4]:
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 30) == b""


async def test_what_is_no_tls_is_counted_so(served):
    await served.start()
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100):
        reader, writer = await served.connect()
        writer.write(data)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 30)
    await served.until({"not_tls": 2})
    _, writer = await served.connect()
    writer.close()
    await served.until({"not_tls": 2, "closed": 1})
    assert await served.greeting() == b"hello world"


async def test_a_client_that_does_not_trust_the_gateway_is_counted_so(served):
    await served.start()
    with pytest.raises(ssl.SSLCertVerificationError):
        await served.connect(ssl=ssl.create_default_context())
    async with asyncio.timeout(30):
        while not served.failures():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
    # The alert comes with TLS 1.3 after the server is done, unless the connection is gone before it.
    assert set(served.failures()) <= {"refused_by_client", "closed"}


async def test_handshakes_that_never_end_do_not_keep_the_gateway_from_stopping(served, monkeypatch):
    monkeypatch.setattr(handshakes, "DRAIN_S", 0.05)
    await served.start()
    await served.connect()
    await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        await served.listeners.close()


async def test_when_there_are_no_descriptors_left_it_goes_on_later(served, monkeypatch, caplog):
    monkeypatch.setattr(handshakes, "PAUSE_S", 0.01)
    await served.start()
    (server,) = [each.server for each in served.listeners._served]
    assert isinstance(server, handshakes.TlsServer)
    (listening,) = server.sockets

    class Exhausted:
        def accept(self) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        def fileno(self) -> int:
            return listening.fileno()

    nothing: Any = Exhausted()
    server._accept(nothing)
    assert "cannot accept connections: [Errno 24]" in caplog.text
    assert await served.greeting() == b"hello world"


async def test_other_unraisable_exceptions_are_told_as_before(served, monkeypatch):
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    await served.start()

    class Broken:
        def __del__(self) -> None:
            raise ValueError

    Broken()
    assert len(told) == 1
    await served.listeners.close()
    assert sys.unraisablehook == told.append
