"""The blocks ``frontend.websocket``, a rule's ``websocket`` and ``backend.websocket``."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway import Config, Duration, Size
from gateway.tls import ListenerTlsConfig
from gateway_websocket.origins import parse_allowed_origin

__all__ = ["BackendWebSocketConfig", "WebSocketConfig", "WebSocketTlsConfig"]

PING_SHARE_OF_PONG_WAIT = 0.9
"""As the original gateway has it."""


def _subprotocol(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text):  # RFC 6455 section 4.1: a token
        msg = f"{text!r} is not the name of a subprotocol; write one such as graphql-transport-ws"
        raise ValueError(msg)
    return text


class WebSocketTlsConfig(ListenerTlsConfig):
    """TLS on the port for WebSockets; without a certificate of its own it is that of ``frontend.http``."""

    @model_validator(mode="after")
    def _is_own_or_shared(self) -> Self:
        said = sorted(self.model_fields_set - {"enabled"})
        if said and not self.has_certificates:
            msg = (
                f"{said[0]!r} is for certificates of its own; add certFile and keyFile, or certificates, or set it in "
                "frontend.http.tls"
            )
            raise ValueError(msg)
        return self


class WebSocketConfig(Config):
    """WebSockets of clients."""

    host: str = Field(default="0.0.0.0", description="The address of the port for WebSockets.")  # noqa: S104 - the mission's default
    port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None, description="A port for WebSockets alone, 0 takes a free one; without it they use that of HTTP."
    )
    tls: WebSocketTlsConfig | None = Field(default=None, description="TLS on `port`; absent is plain.")
    check_origin: bool = Field(
        default=True,
        description="Refuse pages of another origin than the host they ask, with 403; `false` lets all in.",
    )
    allowed_origins: tuple[Annotated[str, AfterValidator(parse_allowed_origin)], ...] = Field(
        default=(),
        description="Further origins: `https://example.com`, `https://*.example.com` for all below it, `*` for all.",
    )
    max_message_size: Size = Field(
        default=1024 * 1024,
        description="The largest message of a client in bytes, as it is on the wire; 0 is unlimited.",
    )
    max_connections: int = Field(
        default=0,
        description="The most open sockets of a route in a worker; more are refused with 503. 0 is no limit.",
        ge=0,
    )
    max_connections_per_client: int = Field(
        default=0,
        description="The most open sockets of one client address on a route in a worker; more are refused with 429. "
        "0 is no limit.",
        ge=0,
    )
    enable_compression: bool = Field(
        default=True, description="Whether client and service may agree on extensions such as permessage-deflate."
    )
    subprotocols: tuple[Annotated[str, AfterValidator(_subprotocol)], ...] = Field(
        default=(),
        description="The subprotocols that clients and services may agree on; others that clients offer do not reach "
        "the service. Without any, all may be agreed on.",
    )
    check_text: bool = Field(
        default=False,
        description="Check that texts are UTF-8, which services do as well; not where an extension was agreed on.",
    )
    ping_period: Duration | None = Field(
        default=None, description="Seconds of silence before a client is sent a ping; 0 sends none. 0.9 of `pongWait`."
    )
    pong_wait: Duration = Field(
        default=60.0,
        description="Seconds of silence after which a client that was sent a ping is given up; 0 never. If it is not "
        "longer than `pingPeriod`, it counts from the ping.",
    )
    read_timeout: Duration = Field(
        default=60.0, description="Seconds a client may pause in the middle of a message; 0 is no limit."
    )
    write_timeout: Duration = Field(
        default=60.0, description="Seconds either end may keep what waits for it waiting; 0 is no limit."
    )
    idle_timeout: Duration = Field(
        default=0.0, description="Seconds without a message in either direction before it is closed; 0 is no limit."
    )
    close_grace_period: Duration = Field(
        default=10.0, description="Seconds an end has to answer a close frame before it is cut.", gt=0
    )
    drain_code: Literal[1001, 1012] = Field(
        default=1001,
        description="What clients are closed with when the gateway stops: 1001 (going away) or 1012 (restart).",
    )

    @property
    def effective_ping_period(self) -> float:
        """Seconds of silence before a ping; 0 sends none."""
        return PING_SHARE_OF_PONG_WAIT * self.pong_wait if self.ping_period is None else self.ping_period

    @model_validator(mode="after")
    def _tls_has_a_port(self) -> WebSocketConfig:
        if self.tls is not None and self.tls.enabled and self.port is None:
            msg = "tls is for the port for WebSockets; add 'port', or configure TLS in frontend.http"
            raise ValueError(msg)
        return self


class BackendWebSocketConfig(Config):
    """WebSockets to services, for routes with `protocol: websocket`."""

    # The name by which the core knows the time that a rule without `timeout` gives an instance to answer.
    response_header_timeout: Duration = Field(
        default=10.0,
        alias="handshakeTimeout",
        description="Seconds a service may take to answer the handshake, where the rule says no `timeout`.",
    )
    max_message_size: Size = Field(
        default=0, description="The largest message of a service in bytes, as it is on the wire; 0 is unlimited."
    )
    read_timeout: Duration = Field(
        default=0.0, description="Seconds a service may pause in the middle of a message; 0 is no limit."
    )
    write_timeout: Duration | None = Field(
        default=None,
        description="Seconds a service may keep what waits for it waiting; 0 is no limit. Without it that of "
        "`frontend.websocket`.",
    )
    ping_interval: Duration = Field(
        default=0.0, description="Seconds of silence before a service is sent a ping; 0 sends none."
    )
    pong_timeout: Duration = Field(
        default=10.0,
        description="Seconds of silence after which a service that was sent a ping is given up; 0 never. If it is not "
        "longer than `pingInterval`, it counts from the ping.",
    )
