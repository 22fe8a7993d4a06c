"""The pages of the demo service, and the table of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from gateway import Body, Headers, Response
from gateway_demo.echo import BadRequest, describe_body, describe_head, json_response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from gateway import Exchange

    Sleep = Callable[[float], Awaitable[None]]
    Chance = Callable[[], float]

__all__ = ["Page", "build_pages"]

MAX_DELAY_S = 10.0
MAX_BYTES = 10 * 1024 * 1024
MAX_LINES = 100
STREAMED_FROM_BYTES = 65536
"""Larger answers are streamed: the water mark of ``gateway.Body``."""

PATTERN = bytes(range(256)) * (STREAMED_FROM_BYTES // 256)
"""What ``/bytes`` answers, repeated: the byte at position i is i modulo 256."""

EVERY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE")

INDEX = """\
The demo service of Gateway. It answers as httpbin does:

/get /post /put /patch /delete   the request, in JSON, for that method
/anything, /anything/...         the same for any method
/headers                         its header fields
/ip                              the address it came from
/uuid                            a random UUID
/status/N                        the status N; one of several at random: /status/200,500
/delay/N                         the request, after N seconds (at most 10)
/bytes/N                         N bytes (at most 10 MiB)
/stream/N                        N lines of JSON (at most 100)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page.

    Attributes:
        answer: Answers an exchange, given the segments of the path behind the page's name. Raises ``BadRequest``.
        methods: The methods it has, besides HEAD where it has GET; empty is any.
        segments: How many segments may stand behind its name; ``None`` is any number.
    """

    answer: Callable[[Exchange, Sequence[str]], Awaitable[Response]]
    methods: tuple[str, ...] = ("GET",)
    segments: int | None = 0


def build_pages(sleep: Sleep, chance: Chance) -> dict[str, Page]:
    """Return the pages by the first segment of their path.

    Args:
        sleep: Waits for so many seconds.
        chance: Returns numbers in [0, 1).
    """

    async def delay(exchange: Exchange, segments: Sequence[str]) -> Response:
        await sleep(_seconds(segments[0]))
        return await _with_body(exchange, segments)

    async def status(exchange: Exchange, segments: Sequence[str]) -> Response:
        codes = [_status(code) for code in segments[0].split(",")]
        return _status_response(codes[int(chance() * len(codes))])

    return {
        "": Page(answer=_index),
        "get": Page(answer=_without_body),
        "post": Page(answer=_with_body, methods=("POST",)),
        "put": Page(answer=_with_body, methods=("PUT",)),
        "patch": Page(answer=_with_body, methods=("PATCH",)),
        "delete": Page(answer=_with_body, methods=("DELETE",)),
        "anything": Page(answer=_anything, methods=(), segments=None),
        "headers": Page(answer=_headers),
        "ip": Page(answer=_ip),
        "uuid": Page(answer=_uuid),
        "status": Page(answer=status, methods=EVERY_METHOD, segments=1),
        "delay": Page(answer=delay, methods=EVERY_METHOD, segments=1),
        "bytes": Page(answer=_bytes, segments=1),
        "stream": Page(answer=_stream, segments=1),
    }


async def _index(exchange: Exchange, segments: Sequence[str]) -> Response:
    return Response.text(INDEX)


async def _without_body(exchange: Exchange, segments: Sequence[str]) -> Response:
    return json_response(describe_head(exchange))


async def _with_body(exchange: Exchange, segments: Sequence[str]) -> Response:
    return json_response(describe_head(exchange) | await describe_body(exchange.request))


async def _anything(exchange: Exchange, segments: Sequence[str]) -> Response:
    method = {"method": exchange.request.method}
    return json_response(describe_head(exchange) | await describe_body(exchange.request) | method)


async def _headers(exchange: Exchange, segments: Sequence[str]) -> Response:
    return json_response({"headers": describe_head(exchange)["headers"]})


async def _ip(exchange: Exchange, segments: Sequence[str]) -> Response:
    return json_response({"origin": exchange.request.client})


async def _uuid(exchange: Exchange, segments: Sequence[str]) -> Response:
    return json_response({"uuid": str(uuid4())})


async def _bytes(exchange: Exchange, segments: Sequence[str]) -> Response:
    count = _count(segments[0], MAX_BYTES, "bytes")
    streams = count > STREAMED_FROM_BYTES
    body = Body.from_iterable(_pieces(count), count) if streams else PATTERN[:count]
    return Response(headers=Headers([(b"content-type", b"application/octet-stream")]), body=body)


async def _pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count // len(PATTERN)):
        yield PATTERN
    if rest := count % len(PATTERN):
        yield PATTERN[:rest]


async def _stream(exchange: Exchange, segments: Sequence[str]) -> Response:
    count = _count(segments[0], MAX_LINES, "lines")
    lines = _lines(describe_head(exchange), count)
    return Response(headers=Headers([(b"content-type", b"application/x-ndjson")]), body=Body.from_iterable(lines))


async def _lines(head: dict[str, object], count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield json.dumps({"id": number, **head}).encode() + b"\n"


def _status_response(status: int) -> Response:
    headers = Headers()
    if 300 <= status < 400 and status != 304:
        headers.add("location", "../get")  # relative to /status/N, wherever the rule puts the demo service
    elif status == 401:
        headers.add("www-authenticate", 'Basic realm="demo"')  # RFC 9110 section 11.6.1 requires one
    elif status == 405:
        headers.add("allow", ", ".join(EVERY_METHOD))  # section 10.2.1 too
    return Response(status, headers=headers)


def _status(text: str) -> int:
    if not re.fullmatch(r"[2-5][0-9][0-9]", text):
        msg = f"{text!r} is not a final status code; use 200 to 599, or several with commas between them"
        raise BadRequest(msg)
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,9})?", text) or float(text) > MAX_DELAY_S:
        msg = f"{text!r} is not a delay; use seconds from 0 to {MAX_DELAY_S:.0f}"
        raise BadRequest(msg)
    return float(text)


def _count(text: str, most: int, unit: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > most:
        msg = f"{text!r} is not a number of {unit}; use 0 to {most}"
        raise BadRequest(msg)
    return int(text)
