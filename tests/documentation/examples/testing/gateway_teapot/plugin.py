"""Answers whoever wants coffee."""

from __future__ import annotations

from pydantic import Field

from gateway import Config, Exchange, Handler, Response, policy


class TeapotConfig(Config):
    """What stands below ``plugins.teapot``."""

    drink: str = Field("text/coffee", description="What is not to be had.")


@policy(waits=False)
async def teapot(exchange: Exchange, call_next: Handler, config: TeapotConfig) -> Response:
    """Refuses whoever wants what is not to be had (RFC 2324)."""
    if exchange.request.headers.get("accept") == config.drink:
        return Response.text("short and stout", status=418)
    return await call_next(exchange)
