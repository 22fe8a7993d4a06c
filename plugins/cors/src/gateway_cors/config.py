"""The block ``cors``, gateway-wide and in rules."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from gateway import Config, Duration
from gateway_cors.origins import ANY_ORIGIN, NULL_ORIGIN, matches_anything, read_origin, read_regex

__all__ = ["CorsConfig"]

ANY = "*"

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _token(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        msg = f"{name!r} is not a name; use letters, digits and hyphens, or '*' for all"
        raise ValueError(msg)
    return name


Token = Annotated[str, AfterValidator(_token)]
Method = Annotated[Token, AfterValidator(str.upper)]


class CorsConfig(Config):
    """Which pages may use the gateway's answers (Fetch standard, section 3.2)."""

    allowed_origins: tuple[Annotated[str, AfterValidator(read_origin)], ...] = Field(
        default=(ANY_ORIGIN,),
        description="Origins that may read answers: `https://shop.example`, `https://*.shop.example` (subdomains at "
        "any depth), `http://localhost:*` (any port), `null`, or `*` for all.",
    )
    allowed_origin_regexes: tuple[Annotated[str, AfterValidator(read_regex)], ...] = Field(
        default=(), description="Regular expressions that a whole origin, in lower case, may match instead."
    )
    allowed_methods: tuple[Method, ...] = Field(
        default=("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"),
        description="Methods that pages may use; `*` is any.",
    )
    allowed_headers: tuple[Token, ...] = Field(
        default=(ANY,), description="Request fields that pages may send, in any case; `*` is any."
    )
    exposed_headers: tuple[Token, ...] = Field(
        default=(), description="Response fields that pages may read besides the safe-listed ones; `*` is any."
    )
    allow_credentials: bool = Field(
        default=False,
        description="Whether pages may send cookies and other credentials; needs origins that are named.",
    )
    max_age: Duration = Field(
        default=86400.0, description="Seconds a browser may remember a preflight; 0 leaves that to the browser."
    )
    allow_private_network: bool = Field(
        default=False,
        description="Whether pages of public sites may reach the gateway in a private network "
        "(`Access-Control-Request-Private-Network`).",
    )
    options_passthrough: bool = Field(
        default=False, description="Whether preflights go on to the service; the gateway still sets the fields."
    )
    options_success_status: int = Field(default=204, ge=200, le=299, description="The status of preflights.")

    @model_validator(mode="after")
    def _names_whom_it_trusts(self) -> Self:
        """Refuse credentials for everybody: any page could then act as whoever is logged in."""
        if not self.allow_credentials:
            return self
        for origin in (ANY_ORIGIN, NULL_ORIGIN):
            if origin in self.allowed_origins:
                msg = f"allowCredentials needs origins that are named, and {origin!r} may be any page; list them"
                raise ValueError(msg)
        for regex in self.allowed_origin_regexes:
            if matches_anything(regex):
                msg = f"allowCredentials needs origins that are named, and {regex!r} matches any page; narrow it"
                raise ValueError(msg)
        if ANY in self.exposed_headers:
            msg = "browsers ignore '*' in exposedHeaders with allowCredentials; list the fields"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _has_origins(self) -> Self:
        if not self.allowed_origins and not self.allowed_origin_regexes:
            msg = "no origin is allowed; list some in allowedOrigins, or turn it off with 'enabled: false'"
            raise ValueError(msg)
        return self
