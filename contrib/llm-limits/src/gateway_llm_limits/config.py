"""The block ``plugins.llm-limits``."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

from pydantic import Field

from gateway import Config, Duration, Size

__all__ = ["LlmLimitsConfig", "TokenLimit"]

MAX_TOKENS = 1_000_000_000


class TokenLimit(Config):
    """One limit."""

    rate: int = Field(ge=1, le=MAX_TOKENS, description="How many tokens are allowed in a window.")
    window: Duration = Field(default=60.0, gt=0.0, description="How long a window is.")
    key: str = Field(
        default="principal", description="Whose quota: `principal`, `client`, `route` (one for all) or `header:<name>`."
    )
    models: tuple[str, ...] = Field(
        default=("*",), min_length=1, description="Which models it is for: names, with `*` for any letters."
    )
    per_model: bool = Field(default=False, description="Whether each model has a quota of its own.")
    count: Literal["total", "input", "output"] = Field(default="total", description="Which tokens count.")
    algorithm: str | None = Field(default=None, description="How it counts, as the limiter calls it.")

    def applies_to(self, model: str) -> bool:
        """Say whether it is for a model."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)

    def settings(self) -> dict[str, object]:
        """Return it as the block of a limiter has it."""
        limit: dict[str, object] = {"rate": self.rate, "window": self.window, "key": self.key, "cost": 1}
        # What the gateway-wide block says for requests must not lie below what is said for tokens.
        limit |= {"beforeAuthentication": False}
        if self.algorithm is not None:
            limit["algorithm"] = self.algorithm
        if self.algorithm in (None, "token_bucket"):
            limit |= {"algorithm": "token_bucket", "burst": self.rate}
        return {"limits": [limit]}


class LlmLimitsConfig(Config):
    """The block ``plugins.llm-limits``."""

    limits: tuple[TokenLimit, ...] = Field(
        default=(), description="The limits; all of them that are for a model hold. Without any, tokens are counted."
    )
    limiter: str = Field(default="ratelimit", description="The limiter that counts them.")
    reserve_output: int = Field(
        default=1024,
        ge=0,
        le=MAX_TOKENS,
        description="How many tokens of output are taken beforehand at most: what the request allows, or this.",
    )
    chars_per_token: float = Field(
        default=4.0, ge=0.5, le=20.0, description="How many letters a token is taken for, where nobody says."
    )
    max_body_size: Size = Field(
        default=8 * 1024**2, gt=0, le=256 * 1024**2, description="The largest request; a larger one is refused."
    )
    max_answer_size: Size = Field(
        default=1024**2, gt=0, le=64 * 1024**2, description="How much of an answer is kept to read its usage."
    )
    cut_streams: bool = Field(
        default=False, description="Whether a stream is cut when it goes beyond what was left of the quota."
    )
