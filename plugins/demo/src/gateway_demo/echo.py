"""A request, described in JSON with httpbin's keys."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from gateway import ErrorType, GatewayError, Headers, Response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway import Exchange, Request

__all__ = ["MAX_BODY_BYTES", "BadRequest", "describe_body", "describe_head", "json_response"]

MAX_BODY_BYTES = 1024 * 1024
"""The largest body that is described."""

MAX_FORM_FIELDS = 1000
"""The most fields of a form; parsing takes time that other requests wait for."""

MAX_INDENTED_BYTES = 8192
"""The largest answer that is indented for people: larger ones go through the encoder in C, which cannot."""


class BadRequest(Exception):
    """The request makes no sense to the demo service; the message is for the client."""


def describe_head(exchange: Exchange) -> dict[str, object]:
    """Return query, fields, client and URL: ``args``, ``headers``, ``origin`` and ``url``."""
    request = exchange.request
    query = f"?{request.query}" if request.query else ""
    return {
        "args": _fields(parse_qsl(request.query, keep_blank_values=True)),
        "headers": _headers(request.headers),
        "origin": request.client,
        "url": f"{request.scheme}://{request.host}{exchange.upstream_path}{query}",
    }


async def describe_body(request: Request) -> dict[str, object]:
    """Return what the body holds: ``data`` as text, or ``form``, and ``json`` if it is JSON.

    A body that is not text is given as a ``data:`` URL. Multipart forms are not taken apart.

    Raises:
        BadRequest: If it is a form of more than 1,000 fields.
        GatewayError: ``payload_too_large`` if it has more than 1 MiB.
    """
    body = await _read(request)
    media_type = (request.headers.get("content-type") or "").partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded":
        return {"data": "", "form": _form(body), "json": None}
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"data": f"data:application/octet-stream;base64,{b64encode(body).decode()}", "form": {}, "json": None}
    return {"data": text, "form": {}, "json": _parsed(text)}


def json_response(value: object, *, status: int = 200) -> Response:
    """Answer with ``value`` as JSON, indented if it is small enough to be read."""
    text = json.dumps(value)
    if len(text) <= MAX_INDENTED_BYTES:
        with suppress(RecursionError):  # the indenting encoder, which is written in Python, gives up earlier
            text = json.dumps(value, indent=2)
    return Response(status, headers=Headers([(b"content-type", b"application/json")]), body=f"{text}\n".encode())


async def _read(request: Request) -> bytes:
    body = request.body
    if not isinstance(body, bytes):
        return await body.read(MAX_BODY_BYTES)
    if len(body) > MAX_BODY_BYTES:
        raise GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes")
    return body


def _form(body: bytes) -> dict[str, str | list[str]]:
    try:
        return _fields(parse_qsl(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
    except ValueError as error:
        msg = f"the form has more than {MAX_FORM_FIELDS} fields"
        raise BadRequest(msg) from error


def _fields(pairs: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: several if len(several) > 1 else several[0] for name, several in values.items()}


def _headers(headers: Headers) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for name, value in headers.items():
        values.setdefault("-".join(part.capitalize() for part in name.split("-")), []).append(value)
    return {name: ", ".join(several) for name, several in values.items()}


def _parsed(text: str) -> object:
    """Return the JSON value that ``text`` is, or ``None``, as httpbin does for what is none."""
    try:
        value = json.loads(text)
        # What is echoed must be JSON again: Python also reads NaN, numbers beyond every float, and any depth. It is
        # tried deeper than it will stand.
        json.dumps([[value]], allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return value
