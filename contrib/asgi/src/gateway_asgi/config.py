"""The block ``frontend.asgi``."""

from __future__ import annotations

from pydantic import Field

from gateway import Config, Duration, Size
from gateway.forwarding import Networks

__all__ = ["AsgiConfig"]


class AsgiConfig(Config):
    """The block ``frontend.asgi``."""

    max_request_size: Size = Field(
        default=10 * 1024 * 1024, description="The largest request body in bytes; 0 is unlimited."
    )
    read_timeout: Duration = Field(
        default=30.0, gt=0.0, description="How long a client may take for the next piece of a body."
    )
    write_timeout: Duration = Field(
        default=30.0, gt=0.0, description="How long a client may take nothing of an answer."
    )
    max_requests: int = Field(default=16384, gt=0, description="The most requests at once; more are refused with 503.")
    max_uri_bytes: Size = Field(default=8192, description="The longest request target in bytes.", gt=0)
    trusted_proxies: Networks = Field(
        default=(), description="Addresses or networks (CIDR) whose X-Forwarded-* and Forwarded fields are believed."
    )
    via: str = Field(
        default="gateway", description="The pseudonym in Via fields.", pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
    )
    forwarded: bool = Field(
        default=True, description="Whether services are sent `Forwarded` (RFC 7239) beside X-Forwarded-*."
    )
    pass_date: bool = Field(
        default=False,
        description="Whether `Date` and `Server` of services are passed on; else they are the ASGI server's own.",
    )
