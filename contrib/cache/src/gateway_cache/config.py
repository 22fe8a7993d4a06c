"""The block ``plugins.cache``."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from gateway import Config, Duration, Size

__all__ = ["CacheConfig"]

DAY_S = 86400.0


def _token(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,63}", name):
        msg = f"{name!r} is not a name; write letters, digits, '.', '_' and '-', beginning with a letter"
        raise ValueError(msg)
    return name


Token = Annotated[str, AfterValidator(_token)]


class CacheConfig(Config):
    """The block ``plugins.cache``."""

    max_size: Size = Field(
        default=64 * 1024**2, ge=65536, le=64 * 1024**3, description="Memory for stored responses, in each worker."
    )
    max_object_size: Size = Field(
        default=1024**2, gt=0, le=1024**3, description="Larger bodies are not stored; they stream through."
    )
    default_ttl: Duration = Field(
        default=0.0,
        le=365 * DAY_S,
        description="How long a response is fresh that does not say; not with credentials or cookies in the request.",
    )
    heuristic_fraction: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Else how long it is fresh, as a share of the time since `Last-Modified`; 0.1 is what RFC 9111 "
        "names as typical.",
    )
    heuristic_max: Duration = Field(default=DAY_S, le=365 * DAY_S, description="The longest that is guessed so.")
    stale_while_revalidate: Duration = Field(
        default=0.0,
        le=365 * DAY_S,
        description="How long a stale response is still given while a new one is fetched, if it does not say.",
    )
    stale_if_error: Duration = Field(
        default=0.0,
        le=365 * DAY_S,
        description="How long a stale response is still given when the service fails, if it does not say.",
    )
    request_directives: bool = Field(
        default=True, description="Whether `Cache-Control` of clients counts; else they cannot ask for a new response."
    )
    coalesce: bool = Field(default=True, description="Whether one fetch serves all who want the same meanwhile.")
    coalesce_timeout: Duration = Field(
        default=5.0, gt=0.0, le=300.0, description="How long somebody waits for another one's fetch."
    )
    name: Token = Field(default="gateway", description="What it is called in `Cache-Status`.")
    cache_status: bool = Field(default=True, description="Whether `Cache-Status` says what it did (RFC 9211).")
    tag_headers: tuple[Token, ...] = Field(
        default=("Cache-Tag", "Surrogate-Key"), description="Headers of responses whose words can be purged by."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.max_object_size > self.max_size:
            msg = f"maxObjectSize ({self.max_object_size}) is larger than maxSize ({self.max_size})"
            raise ValueError(msg)
        return self
