"""Sending, over TLS too, and for as long as it may take."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from gateway.testing import Reply
from gateway_otel.config import ExportConfig
from gateway_otel.otlp import TRACES, ExportError, make_sender

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.testing import Upstream

pytestmark = pytest.mark.anyio


async def test_exports_go_over_tls(upstream_factory: Any, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    collector = await upstream_factory(tls=context)
    config = ExportConfig(endpoint=f"https://localhost:{collector.port}", compression="none")
    async with make_sender(config, TRACES, tmp_path / "ca.pem") as sender:
        await sender.send(b"spans")
    (request,) = collector.requests
    assert (request.method, request.target, request.body) == ("POST", "/v1/traces", b"spans")
    async with make_sender(config, TRACES, None) as sender:
        with pytest.raises(ExportError, match="certificate verify failed"):
            await sender.send(b"spans")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_an_export_has_a_deadline(upstream: Upstream, protocol: Any) -> None:
    async def never(request: object) -> Reply:
        await asyncio.sleep(30)
        return Reply()

    upstream.answer = never
    config = ExportConfig(endpoint=f"127.0.0.1:{upstream.port}", timeout=0.1, protocol=protocol)
    async with make_sender(config, TRACES, None) as sender:
        with pytest.raises(ExportError) as failure:
            await sender.send(b"spans")
    assert failure.value.is_retryable


async def test_exports_that_are_given_up_leave_no_connection_in_use(upstream: Upstream) -> None:
    upstream.answer = lambda request: Reply(delay_s=0.05)
    config = ExportConfig(endpoint=f"127.0.0.1:{upstream.port}", timeout=2, compression="none")
    async with make_sender(config, TRACES, None) as sender:
        # At every step, and again while it is cleaned up behind the first time.
        for steps in range(1, 25):
            sending = asyncio.ensure_future(sender.send(b"spans"))
            for _ in range(steps):
                await asyncio.sleep(0)
            sending.cancel()
            await asyncio.sleep(0)
            sending.cancel()
            await asyncio.wait([sending])
            assert sending.cancelled()
        upstream.answer = lambda request: Reply()
        # The pool has two connections: if any had stayed in use, these would wait for it.
        await asyncio.gather(*(sender.send(b"spans") for _ in range(4)))


@pytest.mark.parametrize(
    ("status", "is_retryable", "retry_after_s"),
    [(429, True, 7.0), (503, True, 7.0), (502, True, 7.0), (400, False, 7.0), (500, False, 7.0), (302, False, 7.0)],
)
async def test_what_may_be_sent_again(
    upstream: Upstream,
    status: int,
    is_retryable: bool,  # noqa: FBT001 - a case
    retry_after_s: float,
) -> None:
    upstream.answer = lambda request: Reply(status, headers={"retry-after": "7"})
    async with make_sender(ExportConfig(endpoint=f"127.0.0.1:{upstream.port}"), TRACES, None) as sender:
        with pytest.raises(ExportError, match=f"status {status}") as failure:
            await sender.send(b"spans")
    assert (failure.value.is_retryable, failure.value.retry_after_s) == (is_retryable, retry_after_s)


@pytest.mark.parametrize("retry_after", ["never", "-1", "1e9", "999999999"])
async def test_a_collector_cannot_put_it_off_for_long(upstream: Upstream, retry_after: str) -> None:
    upstream.answer = lambda request: Reply(503, headers={"retry-after": retry_after})
    async with make_sender(ExportConfig(endpoint=f"127.0.0.1:{upstream.port}"), TRACES, None) as sender:
        with pytest.raises(ExportError) as failure:
            await sender.send(b"spans")
    assert failure.value.retry_after_s <= 60.0


async def test_an_answer_without_end_is_not_read(upstream: Upstream) -> None:
    upstream.answer = lambda request: Reply(body=[b"x" * 65536] * 100)
    async with make_sender(ExportConfig(endpoint=f"127.0.0.1:{upstream.port}"), TRACES, None) as sender:
        with pytest.raises(ExportError, match="too long"):
            await sender.send(b"spans")
