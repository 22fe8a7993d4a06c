"""A battery after RFC 6455, section by section: what a client is answered directly and through the gateway is equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

FIRST = "κόσμε".encode()


def _frame(opcode: int, payload: bytes = b"", **options: Any) -> Callable[[Any], list[bytes]]:
    return lambda wire: [wire.frame(opcode, payload, **options)]


def _close(code: int) -> Callable[[Any], list[bytes]]:
    return lambda wire: [wire.close(code)]


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def _between(opcode: int, **options: Any) -> Callable[[Any], list[bytes]]:
    return lambda wire: [wire.frame(1, b"hello") + wire.frame(opcode, b"x", **options) + wire.frame(9)]


def _five_fragments(wire: Any) -> bytes:
    frames = [wire.frame(1, b"fragment1", fin=False), wire.frame(0, b"fragment2", fin=False), wire.frame(9, b"first")]
    frames += [wire.frame(0, b"fragment3", fin=False), wire.frame(0, b"fragment4", fin=False)]
    return b"".join([*frames, wire.frame(9, b"second"), wire.frame(0, b"fragment5")])


CASES: dict[str, Callable[[Any], list[bytes]]] = {
    # Section 5.6 and 5.2: messages of every length encoding.
    **{
        f"5.2 {kind} of {size} bytes": _frame(opcode, b"x" * size)
        for kind, opcode in (("text", 1), ("binary", 2))
        for size in (0, 1, 124, 125, 126, 127, 128, 65535, 65536, 300_000)
    },
    "5.2 several frames at once": lambda wire: [b"".join(wire.frame(1, b"%d" % n) for n in range(50))],
    "5.2 one byte at a time": lambda wire: [bytes((each,)) for each in wire.frame(1, b"x" * 130)],
    "5.2 a text in pieces of 997 bytes": lambda wire: _pieces(wire.frame(1, b"x" * 65536), 997),
    "5.2 bytes in pieces of 997 bytes": lambda wire: _pieces(wire.frame(2, b"x" * 65536), 997),
    "5.2 a thousand messages": lambda wire: [b"".join(wire.frame(2, b"%016d" % n) for n in range(1000))],
    "5.2 unmasked frame": lambda wire: [wire.frame(1, b"x", mask=None)],
    "5.2 length not minimal": lambda wire: [b"\x81\xfe\x00\x05" + b"\0" * 9],
    "5.2 length with the highest bit": lambda wire: [b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"],
    **{f"5.2 rsv {rsv} on text": _frame(1, b"x", rsv=rsv) for rsv in range(1, 8)},
    **{f"5.2 rsv {rsv} on ping": _frame(9, b"x", rsv=rsv) for rsv in (1, 2, 4)},
    "5.2 rsv on close": lambda wire: [b"\xf8\x80\0\0\0\0"],
    **{f"5.2 rsv {rsv} behind a text, before a ping": _between(1, rsv=rsv) for rsv in (2, 3, 4)},
    **{f"5.2 reserved opcode {each} behind a text, before a ping": _between(each) for each in (5, 7, 13, 15)},
    **{f"5.2 reserved opcode {opcode}": _frame(opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    # Section 5.4: fragments.
    "5.4 two fragments": lambda wire: [wire.frame(1, b"a", fin=False), wire.frame(0, b"b")],
    "5.4 many fragments": lambda wire: [
        wire.frame(2, b"a", fin=False),
        *(wire.frame(0, b"b" * 300, fin=False) for _ in range(200)),
        wire.frame(0, b"c"),
    ],
    "5.4 empty fragments": lambda wire: [wire.frame(1, fin=False), wire.frame(0, fin=False), wire.frame(0)],
    "5.4 ping between fragments": lambda wire: [
        wire.frame(1, b"a", fin=False),
        wire.frame(9, b"ping"),
        wire.frame(0, b"b"),
    ],
    "5.4 five fragments and two pings": lambda wire: [_five_fragments(wire)],
    "5.4 five fragments and two pings, one byte at a time": lambda wire: _pieces(_five_fragments(wire), 1),
    "5.4 two fragments one byte at a time": lambda wire: _pieces(
        wire.frame(1, b"a", fin=False) + wire.frame(0, b"b"), 1
    ),
    "5.4 1,000 fragments of 65 bytes": lambda wire: [
        wire.frame(2, b"x" * 65, fin=False)
        + b"".join(wire.frame(0, b"x" * 65, fin=False) for _ in range(998))
        + wire.frame(0, b"x" * 65)
    ],
    "5.4 unfinished continuations before a text": lambda wire: [
        wire.frame(0, b"x", fin=False) + wire.frame(1, b"a", fin=False) + wire.frame(0, b"b")
    ],
    "5.4 continuation after the end, unfinished": lambda wire: [
        wire.frame(1, b"a", fin=False) + wire.frame(0, b"b") + wire.frame(0, b"c", fin=False) + wire.frame(1, b"d")
    ],
    "5.4 continuation without a beginning": lambda wire: [wire.frame(0, b"x")],
    "5.4 unfinished continuation without a beginning": lambda wire: [wire.frame(0, b"x", fin=False)],
    "5.4 a message inside another": lambda wire: [wire.frame(1, b"a", fin=False), wire.frame(1, b"b")],
    "5.4 continuation after the end": lambda wire: [
        wire.frame(1, b"a", fin=False),
        wire.frame(0, b"b"),
        wire.frame(0, b"c"),
    ],
    # Section 5.5: control frames.
    "5.5 ping": lambda wire: [wire.frame(9, b"payload")],
    "5.5 empty ping": lambda wire: [wire.frame(9)],
    "5.5 ping of 125 bytes": lambda wire: [wire.frame(9, b"x" * 125)],
    "5.5 ping of 126 bytes": lambda wire: [wire.frame(9, b"x" * 126)],
    "5.5 ten pings": lambda wire: [wire.frame(9, b"%d" % n) for n in range(10)],
    "5.5 fragmented ping": lambda wire: [wire.frame(9, b"x", fin=False)],
    "5.5 ping of bytes that are no text": lambda wire: [wire.frame(9, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")],
    "5.5 ping one byte at a time": lambda wire: _pieces(wire.frame(9, b"x" * 125), 1),
    "5.5 ten pings one byte at a time": lambda wire: _pieces(b"".join(wire.frame(9, b"%d" % n) for n in range(10)), 1),
    "5.5 fragmented pong": _frame(10, b"x", fin=False),
    "5.5 empty unsolicited pong": _frame(10),
    "5.5 unsolicited pong, then ping": lambda wire: [wire.frame(10, b"unasked") + wire.frame(9, b"ping")],
    "5.5 two closes": lambda wire: [wire.close(1000) + wire.close(1001)],
    "5.5 a ping behind close": lambda wire: [wire.close(1000) + wire.frame(9, b"late")],
    "5.5 the rest of a message behind close": lambda wire: [
        wire.frame(1, b"a", fin=False) + wire.close(1000) + wire.frame(0, b"b")
    ],
    "5.5 a large message, close, ping": lambda wire: [wire.frame(2, b"x" * 262_144) + wire.close(1000) + wire.frame(9)],
    "5.5 fragmented close": lambda wire: [wire.frame(8, fin=False)],
    "5.5 unsolicited pong": lambda wire: [wire.frame(10, b"x"), wire.frame(1, b"still here")],
    "5.5 a frame behind close": lambda wire: [wire.close(1000) + wire.frame(1, b"late")],
    "5.5 close inside a message": lambda wire: [wire.frame(1, b"a", fin=False), wire.close(1000)],
    # Section 7: closing.
    "7.4 close without a code": lambda wire: [wire.frame(8)],
    "7.4 close with a reason": lambda wire: [wire.close(1000, "goodbye")],
    "7.4 close with the longest reason": lambda wire: [wire.close(1000, "x" * 123)],
    "7.4 close with half a code": lambda wire: [wire.frame(8, b"\x03")],
    "7.4 close too long": lambda wire: [wire.frame(8, b"\x03\xe8" + b"x" * 124)],
    **{
        f"7.4 close code {code}": _close(code)
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    },
    **{
        f"7.4 forbidden close code {code}": _close(code)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "7.1 close reason that is not UTF-8": lambda wire: [wire.frame(8, b"\x03\xe8\xce\xba\xe1\xbd")],
    # Section 8.1: texts.
    "8.1 UTF-8": lambda wire: [wire.frame(1, FIRST)],
    "8.1 UTF-8 cut inside a character": lambda wire: [wire.frame(1, FIRST[:3], fin=False), wire.frame(0, FIRST[3:])],
    "8.1 not UTF-8": lambda wire: [wire.frame(1, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited")],
    "8.1 an unfinished character": lambda wire: [wire.frame(1, FIRST[:3])],
    "8.1 not UTF-8 in the second fragment": lambda wire: [
        wire.frame(1, FIRST, fin=False),
        wire.frame(0, b"\xff", fin=False),
    ],
    "8.1 beyond Unicode": lambda wire: [wire.frame(1, b"\xf4\x90\x80\x80")],
    "8.1 bytes are not texts": lambda wire: [wire.frame(2, b"\xff\xfe")],
}

STRICTER: dict[str, Any] = {
    # The library takes any length; RFC 6455 section 5.2 says what must be in it.
    "5.2 length not minimal": (([], 1000), ([], 1002)),
    "5.2 length with the highest bit": (([], 1009), ([], 1002)),
}
"""Cases that are answered as the standard says, but not as the service does: directly, and through the gateway."""

INVALID_TEXTS = (
    "8.1 not UTF-8",
    "8.1 an unfinished character",
    "8.1 not UTF-8 in the second fragment",
    "8.1 beyond Unicode",
)
"""What `checkText` closes with 1007."""


async def transcript(peer, pieces, wire):
    """Send a case and then a close; return what was answered: frames, and the code of the close."""
    for piece in pieces:
        peer.send(piece)
        await peer.writer.drain()
    peer.send(wire.close(1000, "that was all"))
    assert b" 101 " in peer.head, peer.head + await peer.reader.read(500)
    heard = []
    try:
        while (answer := await peer.frame())[0] != 8:
            heard.append(answer)
    except (EOFError, ConnectionError):
        return heard, 1006
    assert await peer.is_closed()
    return heard, int.from_bytes(answer[1][:2]) if answer[1] else 1005


@pytest.mark.parametrize("checks_text", [False, True], ids=["heads", "texts"])
async def test_the_gateway_answers_as_the_service_does(websocket_gateway, echo_service, connect, wire, checks_text):
    gateway = await websocket_gateway(echo_service, {"checkText": checks_text})
    differences = {}
    for name, pieces in CASES.items():
        direct = await transcript(await connect(("127.0.0.1", echo_service.port)), pieces(wire), wire)
        through = await transcript(await connect(gateway), pieces(wire), wire)
        if direct != through:
            differences[name] = (direct, through)
    if checks_text:
        # The library may see the close that follows before it looks at the text.
        for name in INVALID_TEXTS:
            assert differences.pop(name, (None, ([], 1007)))[1] == ([], 1007)
    assert differences == STRICTER
    assert len(CASES) > 120
