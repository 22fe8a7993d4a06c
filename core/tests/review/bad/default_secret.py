"""Finding: unsafe-default at line 9: which everybody knows"""

from pydantic import Field, SecretStr

from gateway import Config, policy


class Signing(Config):
    secret: SecretStr = Field(default=SecretStr("changeme"), description="Signs.")


@policy
async def signed(exchange, call_next, config: Signing):
    """Signs requests."""
    return await call_next(exchange)
