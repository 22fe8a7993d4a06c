"""The blocks ``frontend.http``, ``backend.http`` and ``plugins.requestlimits``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway import Config, Duration, Size
from gateway.forwarding import Networks
from gateway.tls import TlsToServicesConfig
from gateway_http.tls_config import FrontendTlsConfig

__all__ = ["BackendHttpConfig", "FrontendHttpConfig", "RequestLimitsConfig"]

Port = Annotated[int, Field(ge=0, le=65535)]


class FrontendHttpConfig(Config):
    """HTTP towards clients."""

    host: str = Field(default="0.0.0.0", description="The address to listen on.")  # noqa: S104 - the mission's default
    port: Port = Field(default=8080, description="The port to listen on; 0 takes a free one.")
    tls: FrontendTlsConfig | None = Field(default=None, description="TLS; absent is plain HTTP.")
    read_timeout: Duration = Field(
        default=30.0, description="Seconds for a whole request head, and for the next piece of a body."
    )
    write_timeout: Duration = Field(
        default=30.0, description="Seconds a client may take nothing of a waiting response."
    )
    idle_timeout: Duration = Field(default=75.0, description="Seconds a connection may rest between requests.")
    max_request_size: Size = Field(
        default=10 * 1024 * 1024, description="The largest request body in bytes; 0 is unlimited."
    )
    max_header_bytes: Size = Field(default=32768, description="The largest request head in bytes.", gt=0)
    max_headers: int = Field(default=100, description="The most header fields of a request.", gt=0)
    max_uri_bytes: Size = Field(default=8192, description="The longest request target in bytes.", gt=0)
    max_connections: int = Field(
        default=16384, description="The most open connections of a worker; more are refused with 503.", gt=0
    )
    trusted_proxies: Networks = Field(
        default=(), description="Addresses or networks (CIDR) whose X-Forwarded-* and Forwarded fields are believed."
    )
    via: str = Field(
        default="gateway", description="The pseudonym in Via fields.", pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
    )
    forwarded: bool = Field(
        default=True, description="Whether services are sent `Forwarded` (RFC 7239) beside X-Forwarded-*."
    )

    forward_client_cert: Literal["none", "certificate", "chain"] = Field(
        default="none",
        description="What services are told of a client's verified certificate (RFC 9440): nothing, `Client-Cert`, or "
        "`Client-Cert-Chain` too. Unless `none`, those of `trustedProxies` are believed.",
    )

    @model_validator(mode="after")
    def _ports_differ(self) -> FrontendHttpConfig:
        if self.tls is not None and self.tls.enabled and self.tls.port == self.port != 0:
            msg = f"tls.port {self.port} is also port; leave tls.port out to serve TLS alone, or choose another"
            raise ValueError(msg)
        return self


class BackendHttpConfig(TlsToServicesConfig):
    """HTTP towards services."""

    max_idle_conns: int = Field(
        default=16384, description="The most idle connections of a worker, over all instances.", ge=0
    )
    max_idle_conns_per_host: int = Field(default=256, description="The most idle connections to one instance.", ge=0)
    max_conns_per_host: int = Field(
        default=0, description="The most connections to one instance; 0 is unlimited.", ge=0
    )
    idle_conn_timeout: Duration = Field(default=60.0, description="Seconds an idle connection is kept.")
    keep_alive: bool = Field(default=True, description="Whether connections are kept for the next request.")
    keep_alive_timeout: Duration = Field(
        default=30.0, description="Seconds between TCP keep-alive probes; 0 sends none."
    )
    dial_timeout: Duration = Field(default=10.0, description="Seconds to connect, TLS included.", gt=0)
    response_header_timeout: Duration = Field(
        default=30.0, description="Seconds to a response head where the rule says no `timeout`; 0 is no limit."
    )
    max_response_header_bytes: Size = Field(default=65536, description="The largest response head in bytes.", gt=0)


class RequestLimitsConfig(Config):
    """How large requests of a route may be. What ``frontend.http`` refuses never comes to a route."""

    max_request_size: Size | None = Field(
        default=None, description="The largest request body in bytes; without it, or with 0, that of `frontend.http`."
    )
    max_header_bytes: Size | None = Field(
        default=None, description="The largest sum of the header fields in bytes, likewise.", gt=0
    )
    max_uri_bytes: Size | None = Field(
        default=None, description="The longest path with query in bytes, likewise.", gt=0
    )
