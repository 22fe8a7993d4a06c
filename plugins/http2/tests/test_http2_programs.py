"""What users run for real on either side: curl, and the programs of nghttp2."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from gateway.testing import Reply, free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


def needs(program: str) -> pytest.MarkDecorator:
    is_missing = shutil.which(program) is None and not os.environ.get("CI")
    return pytest.mark.skipif(is_missing, reason=f"needs {program} (curl; nghttp2-client, -server)")


async def run(*command: str) -> str:
    """Return what a program prints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode("latin-1")


@needs("curl")
async def test_curl_with_prior_knowledge(start: Any, upstream: Any, tmp_path: Path) -> None:
    upstream.answer = lambda request: Reply(body=request.body)
    gateway = await start(upstream)
    content = bytes(range(256)) * 8000
    (tmp_path / "in").write_bytes(content)
    shown = await run(
        *(
            "curl",
            "-sS",
            "--http2-prior-knowledge",
            "--data-binary",
            f"@{tmp_path / 'in'}",
            "-o",
            str(tmp_path / "out"),
        ),
        *("-w", "%{http_version} %{http_code}", gateway.url),
    )
    assert shown == "2 200"
    assert (tmp_path / "out").read_bytes() == content


@needs("curl")
async def test_curl_over_tls(start: Any, upstream: Any, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    gateway = await start(upstream, http={"tls": {"certFile": "cert.pem", "keyFile": "key.pem"}})
    port = gateway.gateway.addresses[0][1]
    command = ("curl", "-sS", "--cacert", str(tmp_path / "ca.pem"), "-o", "/dev/null", "-w", "%{http_version}")
    assert await run(*command, f"https://127.0.0.1:{port}/") == "2"
    assert await run(*command, "--http1.1", f"https://127.0.0.1:{port}/") == "1.1"


@needs("nghttp")
async def test_nghttp(start: Any, upstream: Any) -> None:
    upstream.answer = lambda request: Reply(body=b"x" * 300_000)
    gateway = await start(upstream)
    shown = await run("nghttp", "-nv", "-m", "5", "-H", "trailer: x", gateway.url)
    assert shown.count(":status: 200") == 5
    assert "END_STREAM" in shown
    assert "RST_STREAM" not in shown


@needs("h2load")
async def test_h2load(start: Any, upstream: Any) -> None:
    gateway = await start(upstream)
    shown = await run("h2load", "-n", "500", "-c", "5", "-m", "20", gateway.url)
    assert re.search(r"500 succeeded, 0 failed, 0 errored, 0 timeout", shown), shown


@pytest.fixture(params=["h2c", "h2"])
async def nghttpd(request: Any, tmp_path: Path) -> Any:
    """The server of nghttp2, which echoes what is uploaded."""
    port = free_port()
    certificate: tuple[str, ...] = ("--no-tls", str(port))
    if request.param == "h2":
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(tmp_path / "key.pem")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
        certificate = (str(port), str(tmp_path / "key.pem"), str(tmp_path / "cert.pem"))
    process = await asyncio.create_subprocess_exec(
        *("nghttpd", "-a", "127.0.0.1", "-d", str(tmp_path), "--echo-upload", "--trailer=x-sum: 1"),
        *certificate,
        stdout=asyncio.subprocess.DEVNULL,
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
    yield {"address": "127.0.0.1", "port": port, "scheme": request.param}
    process.terminate()
    await process.wait()


@needs("nghttpd")
async def test_nghttpd(start: Any, nghttpd: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"z" * 500_000)
    tls = {"tls": {"rootCAFile": "ca.pem"}} if nghttpd["scheme"] == "h2" else {}
    gateway = await start(
        backend={**tls},
        registry={"static": {"services": [{"name": "service", "instances": [nghttpd]}]}},
        router={"rules": [{"path": "/*", "serviceName": "service"}]},
    )
    answers = await asyncio.gather(*(gateway.ask("GET", "/file") for _ in range(10)))
    assert {answer.body for answer in answers} == {b"z" * 500_000}
    content = bytes(range(256)) * 4000
    assert (await gateway.ask("POST", "/", body=content)).body == content
    assert (await gateway.ask("GET", "/missing")).status == 404
