"""The blocks ``frontend.sse``, a rule's ``sse`` and ``backend.sse``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway import Config, Duration, Size

__all__ = ["BackendSseConfig", "SseConfig"]


def _field_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text):
        msg = f"{text!r} is not the name of a field; write one such as Authorization"
        raise ValueError(msg)
    return text.lower()


class SseConfig(Config):
    """Streams of server-sent events to clients."""

    keepalive_timeout: Duration = Field(
        default=30.0,
        description="Seconds of silence before a comment is sent, lest the stream be taken for dead; 0 sends none.",
    )
    idle_timeout: Duration = Field(
        default=0.0, description="Seconds a service may be silent before its stream is broken off; 0 is no limit."
    )
    max_connections: int = Field(
        default=0,
        description="The most open streams of a route in a worker; more are refused with 503. 0 is no limit.",
        ge=0,
    )
    max_connections_per_client: int = Field(
        default=0,
        description="The most open streams of one client address on a route in a worker; more are refused with 429. "
        "0 is no limit.",
        ge=0,
    )
    share: bool = Field(
        default=False, description="Whether clients that ask for the same get the same stream, opened once."
    )
    share_by: tuple[Annotated[str, AfterValidator(_field_name)], ...] = Field(
        default=("authorization", "cookie", "x-api-key"),
        description="With `share`, the fields that must be equal, beside path, query, host and caller.",
    )
    buffer_size: Size = Field(
        default=65536,
        description="With `share`, the bytes kept for a client that is slow; one that needs more is cut off.",
        gt=0,
    )


class BackendSseConfig(Config):
    """Streams of services, for routes with `protocol: sse`."""

    # The name by which the core knows the time that a rule without `timeout` gives an instance to answer.
    response_header_timeout: Duration = Field(
        default=30.0,
        alias="responseTimeout",
        description="Seconds a service may take to begin its answer, where the rule says no `timeout`; 0 is no limit.",
    )
