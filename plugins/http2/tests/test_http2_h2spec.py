"""The real h2spec, where it is installed.

CI cannot install it, for no package has it: these tests are skipped there, and ``test_http2_conformance.py``, which
holds its cases, stands in for them.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from gateway.testing import Reply

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        shutil.which("h2spec") is None, reason="needs the program h2spec (summerwind/h2spec, 2.6.0) on PATH"
    ),
]

# All but http2/3.5/2: a port that speaks HTTP/1.1 too answers what is no preface with 400 (RFC 9112 section 2.2).
ON_A_SHARED_PORT = ("generic", "hpack", "http2/3.5/1", *(f"http2/{section}" for section in range(4, 9)))


async def h2spec(port: int, *arguments: str) -> None:
    """Run it, strictly, and expect that every case passes."""
    process = await asyncio.create_subprocess_exec(
        *("h2spec", "-h", "127.0.0.1", "-p", str(port), "--strict", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    shown = output.decode()
    assert process.returncode == 0, shown
    assert re.search(r"\b(\d+) tests, \1 passed, 0 skipped, 0 failed", shown), shown


async def test_with_prior_knowledge(start: Any, upstream: Any) -> None:
    upstream.answer = lambda request: Reply(body=b"content that windows can cut")
    gateway = await start(upstream)
    await h2spec(gateway.gateway.addresses[0][1], *ON_A_SHARED_PORT)


async def test_over_tls(start: Any, upstream: Any, tmp_path: Path) -> None:
    upstream.answer = lambda request: Reply(body=b"content that windows can cut")
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    tls = {"certFile": "server.pem", "keyFile": "server.pem"}
    gateway = await start(upstream, http={"tls": tls})
    await h2spec(gateway.gateway.addresses[0][1], "--tls", "--insecure")
