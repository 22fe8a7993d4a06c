"""Probes, against real servers that behave and that do not."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import ssl
import sys
import time
from concurrent import futures
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc  # type: ignore[import-untyped]  # it has no stubs
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # it has no stubs

from gateway.testing import Reply, free_port
from gateway_healthcheck.config import ActiveConfig
from gateway_healthcheck.probe import Failed, Place, build_probe
from gateway_healthcheck.tls import CheckTls

pytestmark = pytest.mark.anyio


def check_tls(**connectors: Any) -> CheckTls:
    """Return TLS of checks beside these connectors."""
    context: Any = SimpleNamespace(
        connector_config=connectors.get, resolve=Path, logger=logging.getLogger("gateway.plugins.gateway-healthcheck")
    )
    return CheckTls(context)


async def ask(
    port: int, commands: Any = None, /, *, scheme: str = "http", connectors: Any = None, **config: Any
) -> None:
    probe = build_probe(ActiveConfig.model_validate(config), commands or {}, check_tls(**(connectors or {})))
    async with asyncio.timeout(5):
        await probe(Place(scheme, "127.0.0.1", port, "orders"))


# HTTP.


async def test_a_request_is_sent_as_configured(upstream):
    await ask(upstream.port, method="HEAD", path="/up?full=1", headers={"X-Probe": "yes"}, host="orders.internal")
    (request,) = upstream.requests
    assert (request.method, request.target) == ("HEAD", "/up?full=1")
    assert (request["host"], request["x-probe"], request["connection"]) == ("orders.internal", "yes", "close")


async def test_statuses_decide(upstream):
    upstream.answer = lambda request: Reply(int(request.target.removeprefix("/")))
    await ask(upstream.port, path="/302")
    with pytest.raises(Failed, match="status 404"):
        await ask(upstream.port, path="/404")
    await ask(upstream.port, path="/404", expectedStatuses=[200, "400-404"])
    with pytest.raises(Failed, match="status 302"):
        await ask(upstream.port, path="/302", expectedStatuses=200)


async def test_the_body_decides_where_it_is_looked_at(upstream):
    upstream.answer = lambda request: Reply(body=b'{"status": "UP"}')
    await ask(upstream.port, expectedBody='"status":\\s*"UP"')
    with pytest.raises(Failed, match="does not match"):
        await ask(upstream.port, expectedBody="DOWN")


async def test_of_a_body_without_end_only_the_beginning_is_read(upstream):
    async def flood():
        while True:
            yield b"x" * 65536

    upstream.answer = lambda request: Reply(body=flood())
    await ask(upstream.port)
    await ask(upstream.port, expectedBody="^xxx", maxBody=1000)
    with pytest.raises(Failed, match="does not match"):
        await ask(upstream.port, expectedBody="y", maxBody="100KB")


@pytest.mark.parametrize("scheme", ["h2c", "grpc"])
async def test_an_instance_that_is_asked_on_another_port_may_speak_http_1(upstream, scheme):
    """As the port for health of a server that speaks HTTP/2 otherwise."""
    await ask(upstream.port, scheme=scheme, port=upstream.port)
    await ask(upstream.port, scheme=scheme, http2=False)
    assert [request["connection"] for request in upstream.requests] == ["close", "close"]
    with pytest.raises(Failed):
        await ask(upstream.port, scheme=scheme)


@pytest.fixture(params=["h2c", "h2"])
async def nghttpd(request: Any, tmp_path: Path) -> Any:
    """A server that speaks nothing but HTTP/2: its port, the scheme, and what believes it."""
    port = free_port()
    (tmp_path / "health").write_text("UP")
    certificate: tuple[str, ...] = ("--no-tls", str(port))
    if request.param == "h2":
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
        certificate = (str(port), str(tmp_path / "key.pem"), str(tmp_path / "cert.pem"))
    process = await asyncio.create_subprocess_exec(
        *("nghttpd", "-a", "127.0.0.1", "-d", str(tmp_path)), *certificate, stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                break
    yield port, request.param, {"tls": {"rootCAFile": str(tmp_path / "ca.pem")}} if request.param == "h2" else {}
    process.terminate()
    await process.wait()


@pytest.mark.skipif(
    shutil.which("nghttpd") is None and not os.environ.get("CI"), reason="needs nghttpd (nghttp2-server)"
)
async def test_an_instance_that_speaks_http_2_is_asked_in_it(nghttpd):
    port, scheme, block = nghttpd
    await ask(port, scheme=scheme, expectedBody="^UP$", **block)
    with pytest.raises(Failed, match="status 404"):
        await ask(port, scheme=scheme, path="/missing", **block)
    otherwise = {"h2": "https", "h2c": "http"}[scheme]
    await ask(port, scheme=otherwise, http2=True, headers={"X-Probe": "yes"}, **block)
    with pytest.raises(Failed):
        await ask(port, scheme=otherwise, **block)


@pytest.mark.parametrize("sent", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 2", b"", b"HTTP/1.1 200 OK\r\nx: y\0\r\n\r\n"])
async def test_what_is_no_answer_fails(serve, sent):
    async def handle(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        await writer.drain()
        writer.close()

    with pytest.raises(Failed):
        await ask(await serve(handle))


async def test_a_head_without_end_fails(serve):
    async def handle(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"x-%d: y\r\n" % id(writer) * 1000)
            await writer.drain()

    with pytest.raises(Failed):
        await ask(await serve(handle))


async def test_nobody_there_fails(upstream):
    await upstream.stop()
    for kind in ("http", "tcp", "grpc"):
        with pytest.raises((Failed, OSError)):
            await ask(upstream.port, type=kind)


async def test_a_file_of_authorities_that_is_not_there_is_found_at_once():
    with pytest.raises(ValueError, match="No such file"):
        await ask(1, tls={"rootCAFile": "/nowhere/ca.pem"})


async def test_certificates_are_verified_unless_told_otherwise(upstream_factory, tmp_path):
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("orders.internal").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    upstream = await upstream_factory(tls=context)
    trusting = {"rootCAFile": str(tmp_path / "ca.pem")}
    await ask(upstream.port, scheme="https", host="orders.internal", tls=trusting)
    await ask(upstream.port, scheme="https", host="orders.internal:8443", tls=trusting)
    await ask(upstream.port, scheme="https", tls={"insecureSkipVerify": True})
    for tls in (trusting, {}):
        with pytest.raises(Failed, match="certificate verify failed"):
            await ask(upstream.port, scheme="https", tls=tls)


# TCP.


async def test_a_connection_is_enough(serve):
    async def handle(reader, writer):
        await reader.read()

    await ask(await serve(handle), type="tcp")


# gRPC.


@pytest.fixture(scope="module")
def grpc_server():
    server = grpc.server(futures.ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("a.Sick", health_pb2.HealthCheckResponse.NOT_SERVING)
    servicer.set("a" * 200, health_pb2.HealthCheckResponse.SERVING)
    servicer.set("a.Unknown", health_pb2.HealthCheckResponse.UNKNOWN)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


async def test_a_server_that_serves_works(grpc_server):
    await ask(grpc_server, type="grpc")
    await ask(grpc_server, type="grpc", grpcService="a" * 200)


@pytest.mark.parametrize(
    ("name", "message"), [("a.Sick", "NOT_SERVING"), ("a.Unknown", "UNKNOWN"), ("b.Nobody", "UNKNOWN")]
)
async def test_a_service_that_does_not_serve_fails(grpc_server, name, message):
    with pytest.raises(Failed, match=message):
        await ask(grpc_server, type="grpc", grpcService=name)


async def test_a_server_that_speaks_something_else_fails(upstream):
    with pytest.raises(Failed):
        await ask(upstream.port, type="grpc")


# Programs.


def program(code: str) -> dict[str, tuple[str, ...]]:
    return {"check": (sys.executable, "-I", "-c", code)}


async def test_an_exit_code_decides(monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    sees = (
        "import os, sys; e = os.environ; "
        "sys.exit(0 if (e['GATEWAY_SERVICE'], e['GATEWAY_ADDRESS'], e['GATEWAY_PORT'], e.get('SECRET'), sys.argv[1]) "
        "== ('orders', '127.0.0.1', '7', None, 'a b; c') else 3)"
    )
    await ask(7, program(sees), type="exec", command="check", args=["a b; c"])
    with pytest.raises(Failed, match="ended with 3"):
        await ask(8, program(sees), type="exec", command="check", args=["a b; c"])


async def test_a_program_that_does_not_end_is_killed_with_its_children(tmp_path):
    code = "import subprocess, sys, time; subprocess.Popen(['/bin/sleep', '30']); time.sleep(30)"
    probe = build_probe(ActiveConfig.model_validate({"type": "exec", "command": "check"}), program(code), check_tls())
    started_s = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await probe(Place("http", "127.0.0.1", 1))
    assert time.monotonic() - started_s < 5


async def test_a_program_that_is_not_there_fails():
    with pytest.raises(FileNotFoundError):
        await ask(1, {"check": ("/nowhere/check",)}, type="exec", command="check")
