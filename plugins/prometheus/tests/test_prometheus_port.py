"""The port for metrics alone."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from gateway.errors import ConfigurationError
from gateway_prometheus import port as port_module

if TYPE_CHECKING:
    from gateway.testing import GatewayFactory, Upstream

pytestmark = pytest.mark.anyio


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number: int = taken.getsockname()[1]
        return number


async def ask(port: int, text: bytes) -> bytes:
    """Send something and return everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(5):
            writer.write(text)
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def get(path: str = "/metrics", *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: here", *fields, "", "")).encode()


async def test_it_serves_metrics(gateway_factory: GatewayFactory, upstream: Upstream, port: int) -> None:
    gateway = await gateway_factory({"metrics": {"port": port}}, upstream=upstream)
    await gateway.ask("GET", "/metrics")  # the service's
    head, _, body = (await ask(port, get())).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head
    assert b'gateway_http_requests_total{method="GET",path="/*",status="200"} 1.0' in body
    openmetrics = await ask(port, get("/metrics?a=b", "Accept: application/openmetrics-text;version=1.0.0"))
    assert b"Content-Type: application/openmetrics-text; version=1.0.0" in openmetrics
    assert openmetrics.endswith(b"# EOF\n")
    head, _, body = (await ask(port, get(method="HEAD"))).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert not body
    # Nobody else sees them.
    assert (await gateway.ask("GET", "/_gateway/metrics")).status == 401


async def test_it_serves_nothing_else(gateway_factory: GatewayFactory, port: int) -> None:
    await gateway_factory({"metrics": {"port": port, "path": "/m"}})
    assert (await ask(port, get("/m"))).startswith(b"HTTP/1.1 200")
    assert (await ask(port, get("/metrics"))).startswith(b"HTTP/1.1 404")
    assert (await ask(port, get("/m", method="POST"))).startswith(b"HTTP/1.1 405 Method Not Allowed")


@pytest.mark.parametrize(
    "text",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\xff\xfe\x00\r\n\r\n",
        b"GET  /metrics\r\n\r\n",
        b"GET /metrics\r\r\n\r\n",
        get("/"),
    ],
)
async def test_nonsense_is_not_found(gateway_factory: GatewayFactory, port: int, text: bytes) -> None:
    await gateway_factory({"metrics": {"port": port}})
    assert (await ask(port, text)).startswith((b"HTTP/1.1 404", b"HTTP/1.1 200"))
    assert (await ask(port, get())).startswith(b"HTTP/1.1 200")


async def test_a_head_that_never_ends_is_hung_up_on(gateway_factory: GatewayFactory, port: int) -> None:
    await gateway_factory({"metrics": {"port": port}})
    assert await ask(port, b"GET /metrics HTTP/1.1\r\nA: " + b"a" * 100_000) == b""
    assert (await ask(port, get())).startswith(b"HTTP/1.1 200")


async def test_slow_clients_do_not_keep_others_out(
    gateway_factory: GatewayFactory, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_module, "HEAD_TIMEOUT_S", 0.2)
    await gateway_factory({"metrics": {"port": port}})
    slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(port_module.MAX_CONNECTIONS)]
    assert await ask(port, get()) == b""
    for reader, writer in slow:
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert (await ask(port, get())).startswith(b"HTTP/1.1 200")


async def test_it_stays_open_over_reloads(gateway_factory: GatewayFactory, port: int) -> None:
    gateway = await gateway_factory({"metrics": {"port": port, "path": "/one"}})
    text = (gateway.gateway._options.text or "").replace("/one", "/two")
    await gateway.gateway.reload(text)
    assert (await ask(port, get("/two"))).startswith(b"HTTP/1.1 200")
    assert (await ask(port, get("/one"))).startswith(b"HTTP/1.1 404")
    await gateway.gateway.reload(text.replace(f'"port": {port}, "path"', '"path"'))
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await ask(port, get("/two"))


async def test_a_port_that_is_taken_stops_the_start(gateway_factory: GatewayFactory) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ConfigurationError, match=r"admin route 'metrics' .* could not start: .*Address already in use"),
    ):
        await gateway_factory({"metrics": {"port": taken.getsockname()[1]}})
