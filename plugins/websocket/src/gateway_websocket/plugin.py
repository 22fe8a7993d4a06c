"""What gateway-websocket offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AdapterRegistration, BuildContext, ConnectorRegistration, PolicyRegistration, Stage, hookimpl
from gateway_websocket.config import BackendWebSocketConfig, WebSocketConfig
from gateway_websocket.refused import REFUSED, REFUSED_BACKEND, REFUSED_IN_RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Request
    from gateway_websocket.adapter import WebSocketPort
    from gateway_websocket.connector import WebSocketBackend
    from gateway_websocket.policy import WebSocketPolicy

FRONTEND = "frontend.websocket"
ALIASES = {
    "messageLimit": "maxMessageSize",
    "pingInterval": "pingPeriod",
    "pongTimeout": "pongWait",
    "writeDeadline": "writeTimeout",
}
"""The original gateway's examples spell them so."""


@hookimpl
def gateway_register_protocols() -> Sequence[AdapterRegistration | ConnectorRegistration]:
    return [
        AdapterRegistration(
            name="websocket",
            summary="a port for WebSockets alone",
            config=WebSocketConfig,
            build=build_port,
            path=FRONTEND,
            over="http",
            aliases=ALIASES,
            refused=REFUSED,
        ),
        ConnectorRegistration(
            name="websocket",
            summary="WebSockets to services, over the connections of HTTP",
            config=BackendWebSocketConfig,
            build=build_backend,
            path="backend.websocket",
            default_on=True,
            protocol="websocket",
            over="http",
            upgrades=("websocket",),
            pseudo_methods={"WEBSOCKET": asks_for_websocket},
            aliases={"pingPeriod": "pingInterval", "pongWait": "pongTimeout"},
            refused=REFUSED_BACKEND,
        ),
    ]


@hookimpl
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="websocket",
            summary="origin, caps, message size, keep-alive, expiry and closing of WebSockets",
            config=WebSocketConfig,
            build=build_policy,
            path=FRONTEND,
            rule_key="websocket",
            default_on=True,
            # Behind authentication, so that strangers are told 401 and take no place; outside of everything that may
            # ask a service twice.
            stage=Stage.AUTHORIZE,
            aliases=ALIASES,
            refused={**REFUSED, **REFUSED_IN_RULES},
        )
    ]


def asks_for_websocket(request: Request) -> bool:
    """Tell whether a GET asks for a WebSocket."""
    return request.upgrade == "websocket"


def build_port(config: WebSocketConfig, context: BuildContext) -> WebSocketPort:
    from gateway_websocket.adapter import WebSocketPort

    return WebSocketPort(config, context)


def build_backend(config: BackendWebSocketConfig, context: BuildContext) -> WebSocketBackend:
    from gateway_websocket.connector import WebSocketBackend

    return WebSocketBackend(config, context)


def build_policy(config: WebSocketConfig, context: BuildContext) -> WebSocketPolicy:
    from gateway_websocket.policy import WebSocketPolicy

    return WebSocketPolicy(config, context)
