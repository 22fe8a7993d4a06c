"""Finding: undocumented-field at line 15: Inner.depth has no description"""

from pydantic import Field

from gateway import Config, policy


class Outer(Config):
    """What is outside."""

    inner: "list[Inner]" = Field(default=[], description="What is inside.")


class Inner(Config):
    depth: int = 1


@policy
async def deep(exchange, call_next, config: Outer):
    """Is deep."""
    return await call_next(exchange)
