"""The cases of h2spec (RFC 9113 by section, RFC 7541), against a whole gateway over bare frames.

h2spec itself is not packaged where this project's tests run; these are its cases by name, with what it expects.
``test_http2_h2spec.py`` runs the program where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hyperframe import frame as frames

pytestmark = pytest.mark.anyio

NO_ERROR, PROTOCOL, FLOW, CLOSED, SIZE, REFUSED, COMPRESSION, CALM = 0, 1, 3, 5, 6, 7, 9, 11
GET = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "gw.test")]
POST = [(":method", "POST"), *GET[1:]]


def raw(kind: int, flags: int, stream_id: int, payload: bytes, *, size: int | None = None) -> bytes:
    length = len(payload) if size is None else size
    return length.to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
Case = Callable[[Any], None]


def sends(*data: bytes) -> Case:
    return lambda peer: peer.send(b"".join(data))


def after(begin: Case, *data: bytes) -> Case:
    def run(peer: Any) -> None:
        begin(peer)
        peer.send(b"".join(data))

    return run


def asks(fields: list[tuple[str, str]] = GET, *, end: bool = True, stream_id: int = 1) -> Case:
    return lambda peer: peer.headers(stream_id, fields, end=end)


def block(fields: list[tuple[str, str]]) -> bytes:
    """A header block that rests on no dynamic table."""
    return b"".join(
        b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode() for name, value in fields
    )


HALF_CLOSED = asks()  # the service never answers
OPEN = asks(POST, end=False)
GIVEN_UP = after(OPEN, raw(RST, 0, 1, b"\0\0\0\x08"))


CONNECTION_CASES = [
    # 3.4 to 4.3: the preface, frame format, size and compression.
    ("3.4 a first frame that is not SETTINGS", None, sends(raw(PING, 0, 0, bytes(8))), PROTOCOL),
    ("4.2 a frame that is too large", HALF_CLOSED, sends(raw(DATA, 0, 1, b"", size=16385)), SIZE),
    ("4.2 a large HEADERS frame", None, sends(raw(HEADERS, 5, 1, b"", size=16385)), SIZE),
    ("4.3 a header block that cannot be decoded", None, sends(raw(HEADERS, 5, 1, b"\xbe\x80")), COMPRESSION),
    (
        "4.3 PRIORITY within a header block",
        None,
        sends(raw(HEADERS, 1, 1, b""), raw(PRIORITY, 0, 1, bytes(5))),
        PROTOCOL,
    ),
    (
        "4.3 HEADERS of another stream within a header block",
        None,
        sends(raw(HEADERS, 1, 1, b""), raw(HEADERS, 5, 3, block(GET))),
        PROTOCOL,
    ),
    # 5.1: stream states.
    ("5.1 idle: DATA", None, sends(raw(DATA, 1, 1, b"x")), PROTOCOL),
    ("5.1 idle: RST_STREAM", None, sends(raw(RST, 0, 1, bytes(4))), PROTOCOL),
    ("5.1 idle: WINDOW_UPDATE", None, sends(raw(WINDOW, 0, 1, b"\0\0\0\x64")), PROTOCOL),
    ("5.1 idle: CONTINUATION", None, sends(raw(CONTINUATION, 4, 1, block(GET))), PROTOCOL),
    ("5.1 half closed: CONTINUATION", HALF_CLOSED, sends(raw(CONTINUATION, 4, 1, block(GET))), PROTOCOL),
    ("5.1 given up by the client: HEADERS", GIVEN_UP, sends(raw(HEADERS, 5, 1, block(GET))), CLOSED),
    ("5.1 given up by the client: CONTINUATION", GIVEN_UP, sends(raw(CONTINUATION, 4, 1, b"")), PROTOCOL),
    ("5.1.1 an even stream identifier", None, sends(raw(HEADERS, 5, 2, block(GET))), PROTOCOL),
    (
        "5.1.1 a smaller stream identifier",
        asks(stream_id=5),
        sends(raw(HEADERS, 5, 3, block(GET))),
        CLOSED,
    ),
    (
        "5.3.1 HEADERS that depend on themselves",
        None,
        sends(raw(HEADERS, 0x25, 1, b"\0\0\0\x01\x10" + block(GET))),
        PROTOCOL,
    ),
    # 6.1 to 6.10: frames.
    ("6.1 DATA on stream 0", None, sends(raw(DATA, 1, 0, b"x")), PROTOCOL),
    ("6.1 DATA with too much padding", OPEN, sends(raw(DATA, 9, 1, b"\x06abcde")), PROTOCOL),
    ("6.1 DATA without its padding length", OPEN, sends(raw(DATA, 9, 1, b"")), SIZE),
    ("6.2 HEADERS on stream 0", None, sends(raw(HEADERS, 5, 0, block(GET))), PROTOCOL),
    ("6.2 HEADERS with too much padding", None, sends(raw(HEADERS, 0xD, 1, b"\xff" + block(GET))), PROTOCOL),
    ("6.2 HEADERS without their priority", None, sends(raw(HEADERS, 0x25, 1, b"\0\0")), SIZE),
    ("6.3 PRIORITY on stream 0", None, sends(raw(PRIORITY, 0, 0, bytes(5))), PROTOCOL),
    ("6.4 RST_STREAM on stream 0", None, sends(raw(RST, 0, 0, bytes(4))), PROTOCOL),
    ("6.4 RST_STREAM of another size", HALF_CLOSED, sends(raw(RST, 0, 1, bytes(3))), SIZE),
    ("6.5 SETTINGS with ACK and a payload", None, sends(raw(SETTINGS, 1, 0, bytes(6))), SIZE),
    ("6.5 SETTINGS on a stream", None, sends(raw(SETTINGS, 0, 1, b"")), PROTOCOL),
    ("6.5 SETTINGS of another size", None, sends(raw(SETTINGS, 0, 0, bytes(3))), SIZE),
    ("6.5.2 ENABLE_PUSH of 2", None, sends(raw(SETTINGS, 0, 0, b"\0\x02\0\0\0\x02")), PROTOCOL),
    ("6.5.2 INITIAL_WINDOW_SIZE above 2^31-1", None, sends(raw(SETTINGS, 0, 0, b"\0\x04\x80\0\0\0")), FLOW),
    ("6.5.2 MAX_FRAME_SIZE below 16384", None, sends(raw(SETTINGS, 0, 0, b"\0\x05\0\0\x3f\xff")), PROTOCOL),
    ("6.5.2 MAX_FRAME_SIZE above 2^24-1", None, sends(raw(SETTINGS, 0, 0, b"\0\x05\x01\0\0\0")), PROTOCOL),
    ("6.6 PUSH_PROMISE of a client", HALF_CLOSED, sends(raw(PUSH, 4, 1, b"\0\0\0\x02" + block(GET))), PROTOCOL),
    ("6.7 PING on a stream", None, sends(raw(PING, 0, 1, bytes(8))), PROTOCOL),
    ("6.7 PING of another size", None, sends(raw(PING, 0, 0, bytes(6))), SIZE),
    ("6.8 GOAWAY on a stream", None, sends(raw(GOAWAY, 0, 1, bytes(8))), PROTOCOL),
    ("6.8 GOAWAY of another size", None, sends(raw(GOAWAY, 0, 0, bytes(7))), SIZE),
    ("6.9 WINDOW_UPDATE by nothing", None, sends(raw(WINDOW, 0, 0, bytes(4))), PROTOCOL),
    ("6.9 WINDOW_UPDATE of another size", None, sends(raw(WINDOW, 0, 0, bytes(3))), SIZE),
    ("6.9.1 a connection window above 2^31-1", None, sends(raw(WINDOW, 0, 0, b"\x7f\xff\xff\xff")), FLOW),
    (
        "6.9.2 a changed initial window that makes one too large",
        after(asks(POST, end=False), raw(WINDOW, 0, 1, b"\x7f\xff\0\0")),
        sends(raw(SETTINGS, 0, 0, b"\0\x04\x7f\xff\xff\xff")),
        FLOW,
    ),
    ("6.10 CONTINUATION on stream 0", None, sends(raw(HEADERS, 1, 1, b""), raw(CONTINUATION, 4, 0, b"")), PROTOCOL),
    (
        "6.10 CONTINUATION behind END_HEADERS",
        None,
        sends(raw(HEADERS, 5, 1, block(GET)), raw(CONTINUATION, 4, 1, b"")),
        PROTOCOL,
    ),
    ("6.10 another frame before CONTINUATION", None, sends(raw(HEADERS, 1, 1, b""), raw(DATA, 1, 1, b"")), PROTOCOL),
    (
        "6.9.1 more DATA than the connection's window",
        lambda peer: [peer.headers(number, POST, end=False) for number in (1, 3, 5, 7, 9)],
        sends(*(raw(DATA, 0, number, bytes(16384)) for number in (1, 3, 5, 7, 9) for _ in range(16))),
        FLOW,
    ),
    # RFC 7541.
    ("7541 2.3.3 an invalid index", None, sends(raw(HEADERS, 5, 1, b"\xc6")), COMPRESSION),
    (
        "7541 4.2 a size update at the end of a block",
        None,
        sends(raw(HEADERS, 5, 1, block(GET) + b"\x20")),
        COMPRESSION,
    ),
    (
        "7541 5.2 padding of more than 7 bits",
        None,
        sends(raw(HEADERS, 5, 1, b"\0\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")),
        COMPRESSION,
    ),
    ("7541 5.2 the end-of-string symbol", None, sends(raw(HEADERS, 5, 1, b"\0\x84\xff\xff\xff\xff\0")), COMPRESSION),
    ("7541 6.1 index 0", None, sends(raw(HEADERS, 5, 1, b"\x80")), COMPRESSION),
    (
        "7541 6.3 a size update above the limit",
        None,
        sends(raw(HEADERS, 5, 1, b"\x3f\xe2\x1f" + block(GET))),
        COMPRESSION,
    ),
]


@pytest.mark.parametrize("case", CONNECTION_CASES, ids=lambda case: case[0])
async def test_a_fault_of_the_connection(silent: Any, connect: Any, case: Any) -> None:
    _, before, then, code = case
    peer = await connect(silent, begin="3.4" not in case[0])
    if "3.4" in case[0]:
        peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    if before is not None:
        before(peer)
        await peer.pong()
    then(peer)
    assert await peer.goaway() == code


def field(name: str, value: str = "x") -> list[tuple[str, str]]:
    return [*GET, (name, value)]


STREAM_CASES = [
    # 5.1: what comes behind an end.
    ("5.1 half closed: DATA", HALF_CLOSED, sends(raw(DATA, 1, 1, b"x")), CLOSED),
    ("5.1 half closed: HEADERS", HALF_CLOSED, sends(raw(HEADERS, 5, 1, block(GET))), CLOSED),
    ("5.1 given up by the client: DATA", GIVEN_UP, sends(raw(DATA, 1, 1, b"x")), CLOSED),
    ("6.3 PRIORITY of another size", HALF_CLOSED, sends(raw(PRIORITY, 0, 1, bytes(4))), SIZE),
    ("5.3.1 PRIORITY on itself", HALF_CLOSED, sends(raw(PRIORITY, 0, 1, b"\0\0\0\x01\x10")), PROTOCOL),
    ("6.9 WINDOW_UPDATE by nothing", HALF_CLOSED, sends(raw(WINDOW, 0, 1, bytes(4))), PROTOCOL),
    ("6.9.1 a stream window above 2^31-1", HALF_CLOSED, sends(raw(WINDOW, 0, 1, b"\x7f\xff\xff\xff")), FLOW),
    (
        "6.9.1 more DATA than the stream's window",
        OPEN,
        sends(*(raw(DATA, 0, 1, bytes(16384)) for _ in range(17))),
        FLOW,
    ),
    # 8.1: messages.
    ("8.1 a second HEADERS without an end", OPEN, sends(raw(HEADERS, 4, 1, block([("x", "y")]))), PROTOCOL),
    ("8.1 pseudo-header fields in trailers", OPEN, sends(raw(HEADERS, 5, 1, block([(":path", "/")]))), PROTOCOL),
    (
        "8.1.1 less content than Content-Length",
        asks([*POST, ("content-length", "5")], end=False),
        sends(raw(DATA, 1, 1, b"x")),
        PROTOCOL,
    ),
    (
        "8.1.1 more content than Content-Length",
        asks([*POST, ("content-length", "1")], end=False),
        sends(raw(DATA, 1, 1, b"xy")),
        PROTOCOL,
    ),
    (
        "8.1.1 more content in several frames than Content-Length",
        asks([*POST, ("content-length", "1")], end=False),
        sends(raw(DATA, 0, 1, b"x"), raw(DATA, 1, 1, b"y")),
        PROTOCOL,
    ),
    ("8.1.1 no content but a Content-Length", None, asks([*POST, ("content-length", "5")]), PROTOCOL),
    ("8.1.1 two Content-Lengths", None, asks([*GET, ("content-length", "0"), ("content-length", "0")]), PROTOCOL),
    ("8.1.1 a Content-Length that is none", None, asks(field("content-length", "+1")), PROTOCOL),
    ("8.2.1 a name with upper case", None, sends(raw(HEADERS, 5, 1, block(field("X-Test")))), PROTOCOL),
    ("8.2.1 a name that is empty", None, sends(raw(HEADERS, 5, 1, block(field("")))), PROTOCOL),
    ("8.2.1 a name with a space", None, sends(raw(HEADERS, 5, 1, block(field("x y")))), PROTOCOL),
    ("8.2.1 a name with a colon", None, sends(raw(HEADERS, 5, 1, block(field("x:y")))), PROTOCOL),
    ("8.2.1 a value with a line break", None, sends(raw(HEADERS, 5, 1, block(field("x", "a\r\nb: c")))), PROTOCOL),
    ("8.2.1 a value with NUL", None, sends(raw(HEADERS, 5, 1, block(field("x", "a\0b")))), PROTOCOL),
    ("8.2.1 a value that begins with a space", None, sends(raw(HEADERS, 5, 1, block(field("x", " a")))), PROTOCOL),
    *(
        (f"8.2.2 {name}", None, asks(field(name, value)), PROTOCOL)
        for name, value in (
            ("connection", "keep-alive"),
            ("keep-alive", "5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("te", "trailers, deflate;q=0.5"),
        )
    ),
    ("8.3 an unknown pseudo-header field", None, asks([(":test", "ok"), *GET]), PROTOCOL),
    ("8.3 a pseudo-header field of responses", None, asks([(":status", "200"), *GET]), PROTOCOL),
    ("8.3 a pseudo-header field behind others", None, asks([*GET[:3], ("x", "y"), GET[3]]), PROTOCOL),
    ("8.3.1 :path that is empty", None, asks([*GET[:2], (":path", ""), GET[3]]), PROTOCOL),
    ("8.3.1 :path that does not begin with a slash", None, asks([*GET[:2], (":path", "x"), GET[3]]), PROTOCOL),
    ("8.3.1 :path with a space", None, asks([*GET[:2], (":path", "/a HTTP/1.1"), GET[3]]), PROTOCOL),
    ("8.3.1 :path with a fragment", None, asks([*GET[:2], (":path", "/a#b"), GET[3]]), PROTOCOL),
    (
        "8.3.1 :path with a byte above 127",
        None,
        sends(raw(HEADERS, 5, 1, block([*GET[:2], (":path", "/\u00e9"), GET[3]]))),
        PROTOCOL,
    ),
    ("8.3.1 :method twice", None, asks([GET[0], *GET]), PROTOCOL),
    ("8.3.1 :scheme twice", None, asks([GET[1], *GET]), PROTOCOL),
    ("8.3.1 :path twice", None, asks([GET[2], *GET]), PROTOCOL),
    ("8.3.1 :authority twice", None, asks([GET[3], *GET]), PROTOCOL),
    ("8.3.1 no :method", None, asks(GET[1:]), PROTOCOL),
    ("8.3.1 a :method that is none", None, asks([(":method", "GE T"), *GET[1:]]), PROTOCOL),
    ("8.3.1 no :scheme", None, asks([GET[0], *GET[2:]]), PROTOCOL),
    ("8.3.1 no :path", None, asks([*GET[:2], GET[3]]), PROTOCOL),
    ("8.3.1 :authority and Host differ", None, asks(field("host", "other.test")), PROTOCOL),
    ("8.3.1 two Host fields", None, asks([*GET, ("host", "gw.test"), ("host", "gw.test")]), PROTOCOL),
    ("8.5 CONNECT with a path", None, asks([(":method", "CONNECT"), *GET[1:]]), PROTOCOL),
    (
        "8441 :protocol without CONNECT",
        None,
        asks([*GET, (":protocol", "websocket")]),
        PROTOCOL,
    ),
]


@pytest.mark.parametrize("case", STREAM_CASES, ids=lambda case: case[0])
async def test_a_fault_of_a_stream(silent: Any, silent_service: Any, connect: Any, case: Any) -> None:
    name, before, then, code = case
    peer = await connect(silent)
    if before is not None:
        before(peer)
        await peer.pong()
    then(peer)
    got = await peer.got(1)
    assert (got.reset, got.fields) == (code, None)
    # The connection goes on, and its header compression with it.
    peer.headers(3, [*GET, ("x-next", "1")])
    while not any(asked.all("x-next") for asked in silent_service.requests):
        await peer.pong()
    if before is None or "8.1.1" in name:
        # A service never sees a malformed request, or never a whole one.
        assert not [asked for asked in silent_service.requests if asked.is_ended and not asked.all("x-next")]


async def answered(peer: Any) -> None:
    await peer.ask()


async def given_up_by_both(peer: Any) -> None:
    """The answer comes before the end of the request, of which the rest is not wanted (RFC 9113 section 8.1)."""
    peer.headers(1, POST, end=False)
    assert (await peer.got(1)).is_ended
    await peer.until(lambda: peer.streams[1].reset == NO_ERROR)
    peer.send(raw(RST, 0, 1, b"\0\0\0\x08"))


@pytest.mark.parametrize("end", [answered, given_up_by_both])
@pytest.mark.parametrize(
    ("late", "reset", "goaway"),
    [
        (raw(DATA, 1, 1, b"x"), CLOSED, None),
        (raw(HEADERS, 5, 1, block(GET)), None, CLOSED),
        (raw(CONTINUATION, 4, 1, b""), None, PROTOCOL),
    ],
    ids=["DATA", "HEADERS", "CONTINUATION"],
)
async def test_what_follows_on_a_closed_stream_is_a_fault(
    start: Any, connect: Any, end: Any, late: bytes, reset: int | None, goaway: int | None
) -> None:
    """Section 5.1: a client that ended or gave up a stream has nothing on its way to it any more."""
    peer = await connect(await start())
    await end(peer)
    peer.send(late)
    if goaway is None:
        await peer.until(lambda: peer.streams[1].reset == reset)
    else:
        assert await peer.goaway() == goaway


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("4.1 a frame of an unknown type", sends(raw(0x16, 0, 0, bytes(8)))),
        ("4.1 flags that are not defined", sends(raw(PING, 0x16, 0, bytes(8)))),
        ("4.1 a reserved bit", sends(raw(PING, 0, 2**31, bytes(8)))),
        ("5.5 an unknown frame within a request", asks(POST, end=False)),
        ("6.5 SETTINGS that are not known", sends(raw(SETTINGS, 0, 0, b"\0\xff\0\0\0\x01"))),
        ("6.3 PRIORITY on an idle stream", sends(raw(PRIORITY, 0, 99, bytes(5)))),
        (
            "5.1 WINDOW_UPDATE on a closed stream",
            after(asks(stream_id=1), raw(RST, 0, 1, b"\0\0\0\x08"), raw(WINDOW, 0, 1, b"\0\0\0\x01")),
        ),
        (
            "5.1 RST_STREAM on a closed stream",
            after(asks(stream_id=1), raw(RST, 0, 1, b"\0\0\0\x08"), raw(RST, 0, 1, b"\0\0\0\x08")),
        ),
        (
            "5.1 PRIORITY on a closed stream",
            after(asks(stream_id=1), raw(RST, 0, 1, b"\0\0\0\x08"), raw(PRIORITY, 0, 1, bytes(5))),
        ),
        ("6.5.2 a limit for the fields of answers", sends(raw(SETTINGS, 0, 0, b"\0\x06\0\0\0\x64"))),
        ("7 RST_STREAM with a code that is not known", after(OPEN, raw(RST, 0, 1, b"\0\0\0\xff"))),
        ("6.7 a PING that nobody asked for", sends(raw(PING, 1, 0, bytes(8)))),
        ("6.5 an acknowledgement that nobody asked for", sends(raw(SETTINGS, 1, 0, b""), raw(SETTINGS, 1, 0, b""))),
    ],
)
async def test_what_is_no_fault(silent: Any, connect: Any, name: str, case: Case) -> None:
    peer = await connect(silent)
    case(peer)
    await peer.pong()
    assert not peer.is_closed
    assert not peer.goaways


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([*GET[:3]], 400),  # neither :authority nor Host
        ([*GET[:3], (":authority", "user@gw.test")], 400),
        ([*GET[:3], (":authority", "gw.test:99999")], 400),
        ([GET[0], (":scheme", "ftp"), *GET[2:]], 400),
        ([(":method", "BREW"), *GET[1:]], 501),
        ([(":method", "CONNECT"), (":authority", "gw.test:80")], 501),
        ([(":method", "CONNECT"), (":protocol", "connect-udp"), *GET[1:]], 501),
        ([*GET[:2], (":path", "/" + "a" * 9000), GET[3]], 414),
        ([*GET, *((f"x-{number}", "1") for number in range(101))], 431),
        ([*GET, ("x-long", "a" * 32700)], 431),
    ],
)
async def test_requests_that_are_answered_with_a_refusal(
    silent: Any, silent_service: Any, connect: Any, fields: list[tuple[str, str]], status: int
) -> None:
    peer = await connect(silent)
    block = peer.encoder.encode(fields)
    peer.frame(frames.HeadersFrame(1, block[:16384], flags=["END_STREAM"]))
    peer.frame(frames.ContinuationFrame(1, block[16384:], flags=["END_HEADERS"]))
    got = await peer.got(1)
    assert (got.status, got["content-type"]) == (status, "application/problem+json")
    peer.headers(3, GET)
    while not silent_service.requests:
        await peer.pong()
    assert len(silent_service.requests) == 1


async def test_host_stands_in_for_a_missing_authority(start: Any, connect: Any, upstream: Any) -> None:
    peer = await connect(await start(upstream))
    assert (await peer.ask([*GET[:3], ("host", "gw.test")])).status == 200
    assert upstream.requests[0]["host"] == "gw.test"


async def test_lookalikes_of_special_fields_reach_no_service(start: Any, connect: Any, upstream: Any) -> None:
    peer = await connect(await start(upstream))
    names = (
        "x_forwarded_for",
        "x-forwarded_for",
        "content_length",
        "transfer_encoding",
        "x_request_id",
        "x-forwarded-for",
    )
    assert (await peer.ask([*GET, *((name, "1") for name in names)])).status == 200
    (request,) = upstream.requests
    assert not {"x_forwarded_for", "x-forwarded_for", "content_length", "transfer_encoding", "x_request_id"} & {
        name for name, _ in request.fields
    }
    assert request["x-forwarded-for"] == "127.0.0.1"


async def test_bytes_that_are_no_preface(start: Any, connect: Any, upstream: Any) -> None:
    peer = await connect(await start(upstream), begin=False)
    peer.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
    await peer.until(lambda: peer.is_closed)
    assert not upstream.requests
