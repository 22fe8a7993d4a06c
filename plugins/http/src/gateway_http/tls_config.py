"""TLS towards clients, as in ``frontend.http.tls``."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from gateway.tls import ListenerTlsConfig

__all__ = ["FrontendTlsConfig"]

Port = Annotated[int, Field(ge=0, le=65535)]


class FrontendTlsConfig(ListenerTlsConfig):
    """TLS towards clients of HTTP."""

    port: Port | None = Field(
        default=None, description="Serve TLS on this port beside plain HTTP on `port`; without it TLS takes `port`."
    )

    @model_validator(mode="after")
    def _has_something_to_show(self) -> Self:
        if self.enabled and not self.has_certificates:
            msg = "there is no certificate; add certFile and keyFile, or certificates, or say 'enabled: false'"
            raise ValueError(msg)
        return self
