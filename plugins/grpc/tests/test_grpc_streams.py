"""Calls with many messages: lines of JSON, and server-sent events."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Body, GatewayError
from gateway_grpc.transcoding.lines import lines_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.testing import GatewayFactory

pytestmark = pytest.mark.anyio

Service = Any
"""The one of conftest.py, which cannot be imported."""
PATIENCE_S = 10.0
PATH = "/library.v1.Library"
LINES = {"content-type": "application/x-ndjson"}


def lines(*messages: object) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def parsed(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


# From the service.


async def test_a_stream_is_lines_of_json(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings({"printOptions": {"addWhitespace": True}}))
    answer = await gateway.ask("GET", "/v1/list/Emma?pageCount=3")
    assert (answer.status, answer["content-type"]) == (200, "application/x-ndjson")
    assert parsed(answer.text) == [
        {"name": "Emma\n0"},
        {"name": "Emma\n1", "pageCount": 1},
        {"name": "Emma\n2", "pageCount": 2},
    ]


async def test_a_stream_is_events_for_who_wants_them(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await gateway.ask("GET", "/v1/list/Emma?pageCount=2", headers={"accept": "text/event-stream"})
    assert (answer["content-type"], answer["cache-control"]) == ("text/event-stream", "no-cache")
    assert answer.text == 'data: {"name":"Emma\\n0"}\n\ndata: {"name":"Emma\\n1","pageCount":1}\n\n'


async def test_an_empty_stream_is_an_empty_answer(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await gateway.ask("POST", f"{PATH}/List")
    assert (answer.status, answer.body) == (200, b"")


async def test_messages_come_one_by_one_and_a_client_that_goes_ends_the_call(
    gateway_factory: GatewayFactory, service: Service
) -> None:
    gateway = await gateway_factory(service.settings(timeout="200ms"))
    async with gateway.stream("GET", "/v1/list/Emma?pageCount=1&isLent=true") as answer:
        assert await anext(answer.pieces()) == b'{"name":"Emma\\n0"}\n'
        await asyncio.sleep(0.3)  # longer than the route's time-out, which is for the beginning
        assert not service.cancelled.is_set()
    async with asyncio.timeout(PATIENCE_S):
        await service.cancelled.wait()


async def test_silence_before_the_first_message_has_a_limit(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings(timeout="100ms"))
    answer = await gateway.ask("GET", "/v1/list/Emma?isLent=true")
    assert (answer.status, answer.json()["code"]) == (504, "upstream_timeout")


async def test_silence_in_the_middle_may_have_a_limit(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings({"streamIdleTimeout": "100ms"}))
    answer = await gateway.ask("GET", "/v1/list/Emma?pageCount=1&isLent=true")
    assert parsed(answer.text)[-1]["error"]["code"] == "upstream_timeout"


async def test_a_client_says_how_long_all_of_a_stream_may_take(
    gateway_factory: GatewayFactory, service: Service
) -> None:
    gateway = await gateway_factory(service.settings())
    target = "/v1/list/Emma?pageCount=1&isLent=true"
    answer = await gateway.ask("GET", target, headers={"grpc-timeout": "200m"})
    # The service knows the deadline too, and may be the first to say that it is over.
    assert parsed(answer.text)[-1]["error"]["code"] in ("upstream_timeout", "deadline_exceeded")


async def test_errors_before_the_first_message_are_errors_of_http(
    gateway_factory: GatewayFactory, service: Service
) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await gateway.ask("GET", "/v1/list/Emma?tags=x")
    assert (answer.status, answer.json()["detail"]) == (500, "the shelf fell down")


async def test_errors_in_the_middle_come_last(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await gateway.ask("GET", "/v1/list/Emma?pageCount=1&tags=x")
    assert (answer.status, parsed(answer.text)[-1]["error"]["grpc"]["status"]) == (200, "DATA_LOSS")
    headers = {"accept": "text/event-stream"}
    answer = await gateway.ask("GET", "/v1/list/Emma?pageCount=1&tags=x", headers=headers)
    event, data = answer.text.split("\n\n")[1].split("\n")
    assert (event, json.loads(data.removeprefix("data: "))["detail"]) == ("event: error", "the shelf fell down")


# To the service.


async def test_lines_are_messages(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    body = lines({"name": "a"}, {"name": "b"}) + b"\n" + b'{"name": "c"}'
    answer = await gateway.ask("POST", f"{PATH}/Count", headers=LINES, body=body)
    assert (answer.status, answer.json()) == (200, {"pageCount": 3})
    assert [book.name for book in service.received] == ["a", "b", "c"]


async def test_json_is_one_message(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await service.call(gateway, "Count", b'{\n"name": "a"\n}')
    assert answer.json() == {"pageCount": 1}


async def test_a_line_that_is_no_message_is_refused(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings({"maxBodySize": 1000}))
    answer = await gateway.ask("POST", f"{PATH}/Count", headers=LINES, body=lines({"name": "a"}, {"nme": "b"}))
    assert (answer.status, answer.json()["detail"]) == (400, "library.v1.Book has no field 'nme'")
    answer = await gateway.ask("POST", f"{PATH}/Count", headers=LINES, body=lines({"name": "x" * 1000}))
    assert answer.status == 413


async def test_a_service_may_refuse_in_the_middle(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings())
    answer = await gateway.ask("POST", f"{PATH}/Count", headers=LINES, body=lines({"name": "a"}, {"name": "stop"}))
    assert (answer.status, answer.json()["detail"]) == (400, "enough")


async def test_messages_are_sent_as_they_come_and_answered_as_they_come(
    gateway_factory: GatewayFactory, service: Service
) -> None:
    gateway = await gateway_factory(service.settings())
    reader, writer = await asyncio.open_connection(*gateway.gateway.addresses[0])
    head = (
        f"POST {PATH}/Chat HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n"
    )
    writer.write(head.encode() + b"\r\n")
    for name in ("a", "b"):
        line = lines({"name": name})
        writer.write(b"%x\r\n%b\r\n" % (len(line), line))
        async with asyncio.timeout(PATIENCE_S):
            await reader.readuntil(b'{"name":"re: %b"}\n' % name.encode())
    writer.write(b"0\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_a_service_that_is_away_is_a_bad_gateway(gateway_factory: GatewayFactory, service: Service) -> None:
    service.port = 1
    gateway = await gateway_factory(service.settings())
    answer = await gateway.ask("POST", f"{PATH}/Count", headers=LINES, body=lines({}))
    assert (answer.status, answer.json()["detail"]) == (502, "the service cannot be reached")


# Lines.


class _Nobody:
    def pause_body(self) -> None: ...
    def resume_body(self) -> None: ...
    def abort_body(self) -> None: ...


async def collected(body: bytes | Body, max_bytes: int = 1000) -> list[bytes]:
    return [line async for line in lines_of(body, max_bytes)]


@given(data=st.lists(st.sampled_from([b"{}", b" ", b"\n", b"\r\n", b'{"a":1}']), max_size=12), cut=st.integers(1, 7))
def test_lines_are_the_same_however_they_come(data: list[bytes], cut: int) -> None:
    whole = b"".join(data)

    async def both() -> None:
        body = Body(_Nobody())
        for start in range(0, len(whole), cut):
            body.feed(whole[start : start + cut])
        body.end()
        assert await collected(body) == await collected(whole)

    asyncio.run(both())


async def test_a_line_without_end_is_refused_early() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100

    with pytest.raises(GatewayError, match="longer than 1000 bytes"):
        await collected(Body.from_iterable(endless()))
