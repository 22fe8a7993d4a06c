"""gRPC-Web, binary and in base64, over HTTP/1.1 and HTTP/2, to a service of grpcio."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_grpc.grpc_web.text import TextDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.testing import GatewayFactory

pytestmark = pytest.mark.anyio

BINARY = "application/grpc-web+proto"
TEXT = "application/grpc-web-text+proto"
ORIGIN = "https://app.example"


def settings(service: Any, **keys: Any) -> dict[str, Any]:
    gateway = keys.pop("gateway", {})
    frontend = {"http2": {}, **gateway.pop("frontend", {})}
    made: dict[str, Any] = service.settings(keys.pop("grpc", None), gateway={"frontend": frontend, **gateway}, **keys)
    return made


def framed(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">BL", 0, len(message)) + message for message in messages)


def frames_of(body: bytes) -> list[tuple[int, bytes]]:
    found = []
    while body:
        flag, length = struct.unpack_from(">BL", body)
        found.append((flag, body[5 : 5 + length]))
        body = body[5 + length :]
    return found


def text_of(body: bytes) -> bytes:
    """Decode as clients do: group by group, each padded by itself or not."""
    return b"".join(base64.b64decode(body[begin : begin + 4]) for begin in range(0, len(body), 4))


def trailers_of(body: bytes) -> dict[str, str]:
    (flag, block) = frames_of(body)[-1]
    assert flag == 0x80
    return dict(line.split(": ", 1) for line in block.decode().split("\r\n")[:-1])


async def call(gateway: Any, method: str, body: bytes, content_type: str = BINARY, **more: str) -> Any:
    headers = {"content-type": content_type, "x-grpc-web": "1", **more}
    return await gateway.ask("POST", f"/library.v1.Library/{method}", headers=headers, body=body)


async def test_one_message_each_way(gateway_factory: GatewayFactory, service: Any) -> None:
    gateway = await gateway_factory(settings(service))
    message = service.book(name="Emma").SerializeToString()
    answer = await call(gateway, "Echo", framed(message))
    assert (answer.status, answer["content-type"]) == (200, BINARY)
    assert frames_of(answer.body)[0] == (0, message)
    assert trailers_of(answer.body)["grpc-status"] == "0"
    assert "content-length" not in answer


async def test_base64(gateway_factory: GatewayFactory, service: Any) -> None:
    gateway = await gateway_factory(settings(service))
    message = service.book(name="Emma").SerializeToString()
    answer = await call(gateway, "Echo", base64.b64encode(framed(message)), TEXT)
    assert answer["content-type"] == TEXT
    body = text_of(answer.body)
    assert frames_of(body)[0] == (0, message)
    assert trailers_of(body)["grpc-status"] == "0"


async def test_base64_is_answered_to_who_wants_it(gateway_factory: GatewayFactory, service: Any) -> None:
    gateway = await gateway_factory(settings(service))
    answer = await call(gateway, "Echo", framed(b""), BINARY, accept=TEXT)
    assert answer["content-type"] == TEXT
    answer = await call(gateway, "Echo", base64.b64encode(framed(b"")), TEXT, accept=BINARY)
    assert answer["content-type"] == BINARY


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
async def test_many_messages_of_the_service(gateway_factory: GatewayFactory, service: Any, content_type: str) -> None:
    gateway = await gateway_factory(settings(service))
    body = framed(service.book(name="Emma", page_count=3).SerializeToString())
    is_text = content_type == TEXT
    answer = await call(gateway, "List", base64.b64encode(body) if is_text else body, content_type)
    received = text_of(answer.body) if is_text else answer.body
    *messages, (flag, _) = frames_of(received)
    assert [service.book.FromString(message).page_count for _, message in messages] == [0, 1, 2]
    assert flag == 0x80


async def test_messages_come_one_by_one(gateway_factory: GatewayFactory, service: Any) -> None:
    gateway = await gateway_factory(settings(service))
    body = framed(service.book(page_count=1, is_lent=True).SerializeToString())
    headers = {"content-type": BINARY}
    async with gateway.stream("POST", "/library.v1.Library/List", headers=headers, body=body) as answer:
        pieces = answer.pieces()
        assert frames_of(await anext(pieces))[0][0] == 0
        service.released.set()
        assert trailers_of(b"".join([piece async for piece in pieces]))["grpc-status"] == "0"


async def test_over_http_2(gateway_factory: GatewayFactory, service: Any, h2_client: Any) -> None:
    gateway = await gateway_factory(settings(service))
    async with h2_client(gateway) as client:
        message = service.book(name="Emma").SerializeToString()
        got = await client.call("/library.v1.Library/Echo", framed(message), content_type=BINARY)
    assert frames_of(got.body)[0] == (0, message)
    assert trailers_of(got.body)["grpc-status"] == "0"
    assert not got.trailers


async def test_metadata_and_a_failure_of_the_service(gateway_factory: GatewayFactory, service: Any) -> None:
    gateway = await gateway_factory(settings(service))
    answer = await call(gateway, "Metadata", framed(b""), **{"x-plain": "1"})
    assert service.metadata["x-plain"] == "1"
    assert answer["x-first"] == "1"
    assert trailers_of(answer.body)["x-last"] == "2"
    body = framed(service.book(page_count=5, name="nö").SerializeToString())
    answer = await call(gateway, "Fail", body)
    # There was nothing before it, so the status is among the first fields ("Trailers-Only").
    assert (answer.status, answer["grpc-status"], answer["grpc-message"]) == (200, "5", "n%C3%B6")
    body = framed(service.book(page_count=1, tags=["fail"]).SerializeToString())
    assert trailers_of((await call(gateway, "List", body)).body)["grpc-status"] == "15"


async def test_pages_of_other_origins_may_read_the_status(gateway_factory: GatewayFactory, service: Any) -> None:
    cors = {"allowedOrigins": [ORIGIN], "exposedHeaders": ["grpc-status", "grpc-message"]}
    gateway = await gateway_factory(settings(service, gateway={"cors": cors}))
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,x-grpc-web",
    }
    preflight = await gateway.ask("OPTIONS", "/library.v1.Library/Echo", headers=asked)
    assert preflight["access-control-allow-origin"] == ORIGIN
    for method, status in (("Echo", None), ("Burn", "12")):
        answer = await call(gateway, method, framed(b""), origin=ORIGIN)
        assert answer["access-control-allow-origin"] == ORIGIN
        assert "grpc-status" in answer["access-control-expose-headers"]
        assert answer.get("grpc-status") == status


async def test_refusals_are_answered_in_grpc_web(gateway_factory: GatewayFactory, service: Any) -> None:
    gateway = await gateway_factory(settings(service, rateLimit=1, rateLimitBurst=1))
    await call(gateway, "Echo", framed(b""))
    answer = await call(gateway, "Echo", framed(b""))
    assert (answer.status, answer["content-type"], answer["grpc-status"]) == (200, BINARY, "8")
    assert answer["retry-after"]
    assert answer.body == b""


async def test_no_route(gateway_factory: GatewayFactory, service: Any) -> None:
    gateway = await gateway_factory(settings(service, path="/elsewhere/*"))
    answer = await call(gateway, "Echo", framed(b""))
    assert (answer.status, answer["grpc-status"]) == (200, "12")


async def test_it_may_be_off(gateway_factory: GatewayFactory, service: Any) -> None:
    gateway = await gateway_factory(settings(service, gateway={"frontend": {"grpc": {"enableWeb": False}}}))
    assert (await call(gateway, "Echo", framed(b""))).status == 415


@pytest.mark.parametrize("body", [b"????", b"AAAA AAAA", b"AAA", b"=AAA", "ü".encode() * 2, b"AAAAAAA=A"])
async def test_what_is_no_base64_is_refused(gateway_factory: GatewayFactory, service: Any, body: bytes) -> None:
    gateway = await gateway_factory(settings(service))
    answer = await call(gateway, "Echo", body, TEXT)
    assert (answer.status, answer["grpc-status"]) == (200, "3")
    assert not service.received


@pytest.mark.parametrize("body", [b"\x80\0\0\0\0", b"\0\0\0", b"\0\0\0\0\2x"])
async def test_what_is_no_message_is_refused(gateway_factory: GatewayFactory, service: Any, body: bytes) -> None:
    gateway = await gateway_factory(settings(service))
    answer = await call(gateway, "Echo", body)
    assert (answer.status, answer["grpc-status"]) == (200, "3")
    assert not service.received


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (base64.b64encode(b"\0\xff\0\0\0" + b"x" * 20), "8"),
        (base64.b64encode(b"\x80\0\0\0\0"), "3"),
        (b"AAAA????", "3"),
        (b"AAAAAAE=AAA", "3"),  # neither the message nor its text is whole
    ],
)
async def test_the_same_when_it_comes_in_pieces(
    gateway_factory: GatewayFactory, service: Any, h2_client: Any, body: bytes, status: str
) -> None:
    gateway = await gateway_factory(settings(service))
    async with h2_client(gateway) as client:
        got = await client.call("/library.v1.Library/Echo", body, content_type=TEXT, at_once=False)
    assert got.fields["grpc-status"] == status
    assert not service.received


# base64 in pieces.


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(0, 30)))
def test_text_is_decoded_however_it_is_cut(pieces: Sequence[bytes], cuts: Sequence[int]) -> None:
    """Each piece is encoded by itself, so there is padding in the middle; it arrives cut anywhere."""
    text = b"".join(map(base64.b64encode, pieces))
    decoder = TextDecoder()
    decoded, begin = b"", 0
    for cut in cuts:
        decoded += decoder.take(text[begin : begin + cut])
        begin += cut
    decoded += decoder.take(text[begin:])
    assert decoded == b"".join(pieces)
    assert decoder.is_between
