"""The block ``plugins.forward-auth``."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from gateway import Config, Duration, Size

__all__ = ["CacheConfig", "ForwardAuthConfig", "KeyPart", "PrincipalConfig", "TlsConfig"]

KeyPart = Literal["method", "host", "path", "query", "client"]
"""What a remembered decision may depend on, beside the fields that were sent."""

ORIGINAL = "original"
"""The method that stands for the client's own."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 section 5.6.2
_OF_THE_CONNECTION = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer")
) | {"transfer-encoding", "upgrade"}


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url, parts = False, urlsplit("")
    if not is_url or not url.isascii() or re.search(r"[\s#]", url):
        msg = "this is not a URL such as http://auth.internal:9091/verify, in ASCII and without fragment"
        raise ValueError(msg)
    if parts.username is not None or parts.password is not None:
        msg = "credentials do not belong into the URL; send them in addHeaders"
        raise ValueError(msg)
    return url


def _field(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        msg = f"{name!r} is not the name of a header; use letters, digits and hyphens"
        raise ValueError(msg)
    if name.lower() in _OF_THE_CONNECTION:
        msg = f"{name!r} belongs to a connection and cannot be passed on; leave it out"
        raise ValueError(msg)
    return name.lower()


def _method(name: str) -> str:
    if name == ORIGINAL:
        return name
    if not re.fullmatch(r"[A-Z]+", name) or name in ("CONNECT", "TRACE"):
        msg = f"{name!r} is not a method to ask with; write GET, HEAD, POST or 'original'"
        raise ValueError(msg)
    return name


def _value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text.isascii() or any(character in text for character in "\r\n\0"):
        msg = "this cannot be the value of a header: it holds a line break or something that is not ASCII"
        raise ValueError(msg)
    return value


FieldName = Annotated[str, AfterValidator(_field)]


class PrincipalConfig(Config):
    """Which fields of the answer say who is calling."""

    subject: FieldName = Field(description="The header that names who is calling, such as `Remote-User`.")
    scopes: FieldName | None = Field(
        default=None, description="The header that lists what they may do, separated by commas or spaces."
    )


class CacheConfig(Config):
    """How long decisions that let pass are remembered."""

    ttl: Duration = Field(gt=0.0, le=86400.0, description="How long; `Cache-Control` of the answer may shorten it.")
    max_entries: int = Field(default=10_000, ge=1, le=1_000_000, description="How many, in each worker.")
    by: frozenset[KeyPart] = Field(
        default=frozenset({"method", "host", "path", "query", "client"}),
        description="What of a request the decision depends on, beside the fields that are sent.",
    )


class TlsConfig(Config):
    """How the service is trusted, and we by it."""

    ca_file: str | None = Field(default=None, min_length=1, description="Who may have signed its certificate.")
    cert_file: str | None = Field(default=None, min_length=1, description="Our certificate, for mutual TLS.")
    key_file: str | None = Field(default=None, min_length=1, description="Its key.")

    @model_validator(mode="after")
    def _is_a_pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            msg = "certFile and keyFile belong together; give both or none"
            raise ValueError(msg)
        return self


class ForwardAuthConfig(Config):
    """The block ``plugins.forward-auth``."""

    url: Annotated[str, AfterValidator(_url)] = Field(description="What is asked, such as `http://auth:9091/verify`.")
    method: Annotated[str, AfterValidator(_method)] = Field(
        default="GET", description="The method it is asked with; `original` is the client's."
    )
    request_headers: tuple[FieldName, ...] = Field(
        default=("accept", "accept-language", "authorization", "cookie", "origin", "user-agent", "x-requested-with"),
        description="Headers of the client that it is sent; others are not.",
    )
    add_headers: dict[FieldName, Annotated[SecretStr, AfterValidator(_value)]] = Field(
        default_factory=dict, description="Headers that it is sent in addition, such as a shared secret."
    )
    response_headers: tuple[FieldName, ...] = Field(
        default=(), description="Headers of its answer that the service is sent; the client's own are removed."
    )
    client_headers: tuple[FieldName, ...] = Field(
        default=(), description="Headers of its answer that go to the client when it lets pass, such as `Set-Cookie`."
    )
    principal: PrincipalConfig | None = Field(
        default=None, description="Which headers of its answer say who is calling, for limits, scopes and logs."
    )
    max_body_size: Size = Field(
        default=0, le=16 * 1024**2, description="The largest request body it is sent; 0 sends none."
    )
    timeout: Duration = Field(default=5.0, gt=0.0, le=300.0, description="How long it may take to answer, in all.")
    max_connections: int = Field(default=64, ge=1, le=10_000, description="Connections to it, in each worker.")
    max_response_size: Size = Field(
        default=65536, gt=0, le=16 * 1024**2, description="The largest body of a refusal that is passed on."
    )
    cache: CacheConfig | None = Field(default=None, description="Remember what it let pass; not by default.")
    tls: TlsConfig = Field(default=TlsConfig(), description="Certificates, for an `https` URL.")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.max_body_size and self.method in ("GET", "HEAD"):
            msg = f"a {self.method} carries no body; with maxBodySize write method: POST or original"
            raise ValueError(msg)
        if self.max_body_size and self.cache is not None:
            msg = "a decision about a body cannot be remembered for the next one; remove maxBodySize or cache"
            raise ValueError(msg)
        if self.tls != TlsConfig() and not self.url.startswith("https:"):
            msg = "tls has no effect on an http URL; write https, or remove it"
            raise ValueError(msg)
        return self
