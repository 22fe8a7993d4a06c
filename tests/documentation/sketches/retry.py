"""A retry: the same request again, to another instance, if that can do no harm."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import Field

from gateway import (
    Body,
    BuildContext,
    Config,
    Duration,
    ErrorType,
    GatewayError,
    PolicyRegistration,
    Size,
    Stage,
    Waiter,
)

if TYPE_CHECKING:
    from gateway import Exchange, Handler, Response, Route
    from gateway.interfaces import Policy

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110 section 9.2.2
WORTH_ANOTHER = frozenset({ErrorType.BAD_GATEWAY, ErrorType.UPSTREAM_TIMEOUT})


class RetryConfig(Config):
    tries: int = Field(3, description="How often a service is asked at most.", ge=1)
    statuses: frozenset[int] = Field(frozenset({502, 503, 504}), description="Responses that are tried again.")
    first_delay: Duration = Field(0.025, description="Seconds before the second try; each delay doubles it.")
    max_body_size: Size = Field(65536, description="The largest body that is kept to be sent again, in bytes.")


class Retry:
    waits = False  # but for gateway.Waiter and the body

    def __init__(self, config: RetryConfig) -> None:
        self._config = config

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        config = self._config

        async def handler(exchange: Exchange) -> Response:
            if exchange.request.method not in IDEMPOTENT or not await self._is_replayable(exchange):
                return await call_next(exchange)
            for number in range(config.tries - 1):
                try:
                    response = await call_next(exchange)
                except GatewayError as error:
                    if error.type not in WORTH_ANOTHER:
                        raise
                else:
                    if response.status not in config.statuses:
                        return response
                    response.discard()
                if exchange.instance is not None:
                    exchange.excluded += (exchange.instance,)
                await _pause(config.first_delay * 2**number)
            return await call_next(exchange)

        return handler

    async def _is_replayable(self, exchange: Exchange) -> bool:
        body = exchange.request.body
        if not isinstance(body, Body):
            return True
        if body.length is None or body.length > self._config.max_body_size:
            return False
        exchange.request.body = await body.read(self._config.max_body_size)
        return True


async def _pause(delay_s: float) -> None:
    waiter: Waiter[None] = Waiter()
    asyncio.get_running_loop().call_later(delay_s, waiter.set_result, None)
    await waiter


def build(config: RetryConfig, context: BuildContext) -> Retry:
    return Retry(config)


retry = PolicyRegistration(name="retry", config=RetryConfig, build=build, stage=Stage.RETRY)

if TYPE_CHECKING:
    _policy: type[Policy] = Retry
