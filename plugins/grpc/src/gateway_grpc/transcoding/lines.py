"""Newline-delimited JSON: bodies line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway import Body

__all__ = ["lines_of"]


async def lines_of(body: bytes | Body, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the lines of a body as they come, without those that are empty.

    Args:
        body: The body; read only as fast as lines are taken.
        max_bytes: How long a line may be.

    Raises:
        GatewayError: ``payload_too_large`` if one is longer.
    """
    if isinstance(body, bytes):
        for line in _split(body):
            _check(line, max_bytes)
            yield line
        return
    rest = bytearray()
    async for chunk in body:
        before = len(rest)
        rest += chunk
        # Only what is new is searched: a long line that comes in small pieces would be searched over and over.
        end = rest.rfind(b"\n", before)
        if end >= 0:
            lines = bytes(rest[:end])
            del rest[: end + 1]
            for line in _split(lines):
                _check(line, max_bytes)
                yield line
        _check(rest, max_bytes)
    if rest.strip():
        yield bytes(rest)


def _split(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n") if line.strip()]


def _check(line: bytes | bytearray, max_bytes: int) -> None:
    if len(line) > max_bytes:
        raise GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"a line of the body is longer than {max_bytes} bytes")
