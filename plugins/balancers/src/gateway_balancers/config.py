"""What can be said of balancers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway import Config, Duration
from gateway_balancers.hash_keys import KEY

__all__ = ["ConsistentHashConfig", "ResponseTimeConfig"]


def _keys(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _known(keys: tuple[str, ...]) -> tuple[str, ...]:
    keys = tuple("address" if key == "ip" else key for key in keys)
    for key in keys:
        if not KEY.fullmatch(key):
            msg = f"{key!r} is not a key; write 'address', 'path', 'header:<name>', 'cookie:<name>' or 'query:<name>'"
            raise ValueError(msg)
    if not keys:
        msg = "the list of keys is empty; leave it out for the default"
        raise ValueError(msg)
    return keys


def _bound(value: float) -> float:
    if 0 < value < 1.05:
        msg = f"{value} leaves no room; write 0 for no bound, or 1.05 and above, such as 1.25"
        raise ValueError(msg)
    return value


def _decay(value: float) -> float:
    if value <= 0:
        msg = "the decay must be above 0"
        raise ValueError(msg)
    return value


class ResponseTimeConfig(Config):
    """How long what was measured counts."""

    decay: Annotated[Duration, AfterValidator(_decay)] = Field(
        default=10.0, description="Seconds in which the weight of what was measured falls to 1/e."
    )


class ConsistentHashConfig(Config):
    """What decides, and how much an instance may have."""

    key: Annotated[
        tuple[str, ...],
        BeforeValidator(_keys),
        AfterValidator(_known),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = Field(
        default=("header:X-Session-Id", "cookie:session", "address"),
        description="`header:<name>`, `cookie:<name>`, `query:<name>`, `address` or `path`; of a list the first that a "
        "request has.",
    )
    bound: Annotated[float, Field(ge=0, le=100), AfterValidator(_bound)] = Field(
        default=0.0,
        description="How many times the average an instance may have in flight before the next one takes over, such "
        "as 1.25; 0 is no bound.",
    )
