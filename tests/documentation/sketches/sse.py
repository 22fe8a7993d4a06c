"""Server-sent events: a comment while the service is silent, so that nothing on the way takes the stream for dead."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import Field

from gateway import Body, Config, Duration, policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway import Exchange, Handler, Response


class HeartbeatConfig(Config):
    interval: Duration = Field(15.0, description="Seconds of silence before a comment is sent.", gt=0)


@policy
async def heartbeat(exchange: Exchange, call_next: Handler, config: HeartbeatConfig) -> Response:
    response = await call_next(exchange)
    is_stream = (response.headers.get("content-type") or "").startswith("text/event-stream")
    if is_stream and isinstance(response.body, Body):
        response.body = Body.from_iterable(_with_comments(response.body, config.interval))
    return response


async def _with_comments(body: Body, interval_s: float) -> AsyncIterator[bytes]:
    chunks = aiter(body)
    following = asyncio.ensure_future(anext(chunks, b""))
    is_between_lines = True
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=interval_s)
            if done:
                if not (chunk := following.result()):
                    return
                is_between_lines = chunk.endswith(b"\n")
                following = asyncio.ensure_future(anext(chunks, b""))
                yield chunk
            elif is_between_lines:
                yield b": still here\n\n"
    finally:
        following.cancel()
        body.abort()
