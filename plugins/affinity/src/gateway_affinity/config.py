"""The block ``sessionAffinity``."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from gateway import Config, Duration

__all__ = ["SessionAffinityConfig"]

MIN_SECRET_LENGTH = 16
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""Names of cookies and fields (RFC 6265 section 4.1.1, RFC 9110 section 5.6.2)."""
_COOKIE_PATH = re.compile(r"/[\x21-\x3a\x3c-\x7e]*")


def _name(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        msg = f"{value!r} is not a name; use letters, digits, '-' and '_'"
        raise ValueError(msg)
    return value


def _path(value: str) -> str:
    if not _COOKIE_PATH.fullmatch(value):
        msg = f"{value!r} is not the path of a cookie; begin it with '/', without ';' and spaces"
        raise ValueError(msg)
    return value


def _ttl(value: float) -> float:
    if value < 1:
        msg = "a session lasts at least a second"
        raise ValueError(msg)
    return value


def _secret(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(value.get_secret_value()) < MIN_SECRET_LENGTH:
        msg = f"the secret is too short to keep anything secret; take at least {MIN_SECRET_LENGTH} random characters"
        raise ValueError(msg)
    return value


Name = Annotated[str, AfterValidator(_name)]


class SessionAffinityConfig(Config):
    """How a client is known again."""

    source: Literal["cookie", "header", "query"] = Field(
        default="cookie",
        description="`cookie`, which the gateway issues; or `header` or `query`, in which clients name their session.",
    )
    ttl: Annotated[Duration, AfterValidator(_ttl)] = Field(
        default=3600.0, description="`cookie`: seconds it is good for after the client was last told."
    )
    cookie_name: Name = Field(default="GATEWAY_SESSION", description="`cookie`: its name.")
    path: Annotated[str, AfterValidator(_path)] = Field(default="/", description="`cookie`: where clients send it.")
    secure: Literal["auto", True, False] = Field(
        default="auto", description="`cookie`: whether it is sent over TLS alone; `auto` if the client speaks TLS."
    )
    http_only: bool = Field(default=True, description="`cookie`: whether scripts cannot see it.")
    same_site: Annotated[Literal["strict", "lax", "none"], BeforeValidator(lambda value: str(value).lower())] = Field(
        default="lax", description="`cookie`: whether other sites' requests carry it."
    )
    secret: Annotated[SecretStr | None, AfterValidator(_secret)] = Field(
        default=None,
        description="`cookie`: what it is signed with; the same for all gateways of a service. Without it a new one "
        "with each start of the gateway.",
    )
    header_name: Name = Field(default="X-Session-Id", description="`header`: its name.")
    query_param: str = Field(default="session_id", min_length=1, description="`query`: the name of the parameter.")

    @model_validator(mode="after")
    def _can_be_kept(self) -> Self:
        if self.same_site == "none" and self.secure is False:
            msg = "sameSite 'none' needs secure: browsers drop such a cookie otherwise"
            raise ValueError(msg)
        return self
