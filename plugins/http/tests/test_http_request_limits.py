"""How large requests of a route may be, within what the listener takes."""

import asyncio

import pytest

from gateway.testing import Reply

pytestmark = pytest.mark.anyio


@pytest.fixture
def rules():
    return [
        {"path": "/small", "serviceName": "service", "maxRequestSize": 10},
        {"path": "/large", "serviceName": "service", "maxRequestSize": 0},
        {"path": "/short", "serviceName": "service", "maxUriBytes": 20, "maxHeaderBytes": 100},
        {"path": "/*", "serviceName": "service"},
    ]


@pytest.fixture
async def gateway(gateway_factory, upstream, rules):
    """The listener takes 1000 bytes, rules 100 unless they say otherwise."""
    upstream.answer = lambda request: Reply(body=str(len(request.body)))
    return await gateway_factory(
        {
            "frontend": {"http": {"maxRequestSize": 1000}},
            "plugins": {"requestlimits": {"maxRequestSize": 100}},
            "router": {"rules": rules},
        },
        upstream=upstream,
    )


@pytest.mark.parametrize(("path", "limit"), [("/small", 10), ("/", 100), ("/large", 1000)])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_bodies(gateway, upstream, path, limit, is_chunked):
    headers = {"transfer-encoding": "chunked"} if is_chunked else {}
    fine = await gateway.ask("POST", path, body=bytes(limit), headers=headers)
    assert (fine.status, fine.text) == (200, str(limit))
    refused = await gateway.ask("POST", path, body=bytes(limit + 1), headers=headers)
    assert (refused.status, refused.json()["code"]) == (413, "payload_too_large")
    assert len(upstream.requests) == 1


async def test_a_body_that_is_declared_too_large_is_never_asked_for(gateway, upstream):
    """RFC 9110 section 10.1.1: a final status instead of 100 spares the client the body."""
    async with gateway.client() as client:
        headers = {"content-length": "11", "expect": "100-continue"}
        client._writer.write(b"POST /small HTTP/1.1\r\nhost: gw\r\n")
        client._writer.write(b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items()) + b"\r\n")
        head = await asyncio.wait_for(client._reader.readuntil(b"\r\n\r\n"), 5)
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head
    assert not upstream.requests


async def test_a_body_that_turns_out_too_large_is_refused_while_it_streams(gateway, upstream):
    """The service has the beginning already, and must not take it for the whole."""
    async with gateway.client() as client:
        client._writer.write(b"POST /small HTTP/1.1\r\nhost: gw\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await gateway.eventually(lambda: upstream.connections)
        client._writer.write(b"6\r\nhello!\r\n")
        head = await asyncio.wait_for(client._reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in head
    await gateway.eventually(lambda: not upstream.connections)
    assert not upstream.requests


async def test_a_body_that_streams_within_its_limit_passes(gateway, upstream):
    async with gateway.client() as client:
        client._writer.write(b"POST /small HTTP/1.1\r\nhost: gw\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await gateway.eventually(lambda: upstream.connections)
        client._writer.write(b"5\r\nhello\r\n0\r\n\r\n")
        assert (await asyncio.wait_for(client._reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200 ")
    assert upstream.requests[0].body == b"hellohello"


async def test_targets(gateway, upstream):
    assert (await gateway.ask("GET", "/short?" + "a" * 13)).status == 200
    refused = await gateway.ask("GET", "/short?" + "a" * 14)
    assert (refused.status, refused.json()["plugin"]) == (414, "requestlimits")
    assert len(upstream.requests) == 1


async def test_headers(gateway, upstream):
    headers = {"host": "gw", "x": ""}
    standing = sum(len(name) + len(value) + 4 for name, value in headers.items())
    assert (await gateway.ask("GET", "/short", headers=headers | {"x": "a" * (100 - standing)})).status == 200
    refused = await gateway.ask("GET", "/short", headers=headers | {"x": "a" * (101 - standing)})
    assert (refused.status, refused.json()["code"]) == (431, "headers_too_large")
    assert len(upstream.requests) == 1
