"""Finding: unsafe-default at line 9: is false unless somebody thinks of it"""

from pydantic import Field

from gateway import Config, policy


class Asking(Config):
    verify_tls: bool = Field(default=False, description="Whether certificates are looked at.")


@policy
async def asks(exchange, call_next, config: Asking):
    """Asks somebody."""
    return await call_next(exchange)
