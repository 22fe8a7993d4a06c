"""Finding: secret at line 9: str shows it in logs"""

from pydantic import Field

from gateway import Config, policy


class Signing(Config):
    api_key: str = Field(default="", description="Signs.")


@policy
async def signed(exchange, call_next, config: Signing):
    """Signs requests."""
    return await call_next(exchange)
