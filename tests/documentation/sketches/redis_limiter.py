"""A limiter that counts in Redis: one round trip, with a deadline, and a decision for when there is no answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field

from gateway import BuildContext, Decision, Duration, LimitConfig, LimiterRegistration

if TYPE_CHECKING:
    from gateway.interfaces import Limiter


class RedisLimitConfig(LimitConfig):
    rate: int = Field(description="Requests allowed in a window.", gt=0)
    window: Duration = Field(1.0, description="Seconds of a window.", gt=0)
    port: int = Field(6379, description="The port of Redis on this machine.")
    on_outage: Literal["allow", "deny"] = Field("allow", description="What happens while Redis does not answer.")


class RedisLimiter:
    """Counts requests in a fixed window: INCRBY. A real one runs a script, by which Redis also keeps the time."""

    def __init__(self, config: RedisLimitConfig) -> None:
        self._config = config
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()

    async def acquire(self, key: str, cost: int) -> Decision:
        config = self._config
        window = int(time.time() / config.window)
        try:
            async with asyncio.timeout(0.05):
                used = await self._add(f"{key}|{window}".replace(" ", "_"), cost)
        except (OSError, ValueError, TimeoutError):
            self._disconnect()
            used = 0 if config.on_outage == "allow" else config.rate + 1
        reset_s = (window + 1) * config.window - time.time()
        return Decision(
            is_allowed=used <= config.rate,
            limit=config.rate,
            remaining=max(0, config.rate - used),
            reset_s=reset_s,
            retry_after_s=reset_s,
            window_s=config.window,
        )

    async def _add(self, key: str, cost: int) -> int:
        async with self._turn:
            if self._stream is None:
                self._stream = await asyncio.open_connection("127.0.0.1", self._config.port)
            reader, writer = self._stream
            writer.write(f"INCRBY {key} {cost}\r\n".encode())
            return int((await reader.readline())[1:])

    def _disconnect(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream[1].close()

    async def __aenter__(self) -> Self:
        return self  # connects when it is needed: a start must not depend on Redis

    async def __aexit__(self, *_: object) -> None:
        self._disconnect()


def build(config: RedisLimitConfig, context: BuildContext) -> RedisLimiter:
    return RedisLimiter(config)


redis_limit = LimiterRegistration(
    name="redis_limit", config=RedisLimitConfig, build=build, rule_keys={"rateLimit": "rate"}
)

if TYPE_CHECKING:
    _limiter: type[Limiter] = RedisLimiter
