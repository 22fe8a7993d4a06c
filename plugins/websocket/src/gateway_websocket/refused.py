"""Keys that other gateways have for WebSockets and this one has not, each with why, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["REFUSED", "REFUSED_BACKEND", "REFUSED_IN_RULES"]

_NO_BUFFER = "frames go through as they arrive, so there is no buffer to size; remove it"
_END_TO_END = "client and service agree on compression, and the gateway passes it through; set it in the service"
_DIALLED = "connections to services are made as backend.http says; set dialTimeout there"
_UNSHARED = (
    "each WebSocket has its own connection to the service; limit them by maxConnections of frontend.websocket, or of a "
    "rule's websocket"
)
_ONE_PORT = "the port for WebSockets is the gateway's and not a rule's; write it in frontend.websocket"

REFUSED: Mapping[str, str] = {
    "readBufferSize": _NO_BUFFER,
    "writeBufferSize": _NO_BUFFER,
    "compressionLevel": _END_TO_END,
    "handshakeTimeout": "a handshake is a request like any other: readTimeout of frontend.http is for the client's "
    "half, handshakeTimeout of backend.websocket, or a rule's timeout, for the service's",
    "path": "rules say which paths are for WebSockets; write a rule with 'protocol: websocket'",
    "tokenValidation": "auth decides who may open a WebSocket, and it is always closed when the credentials end; "
    "remove it",
    "tokenCheckInterval": "credentials say when they end, and the WebSocket is closed then, so nothing is checked in "
    "between; remove it",
}
"""Of ``frontend.websocket``, and of ``websocket`` in a rule."""

REFUSED_IN_RULES: Mapping[str, str] = {
    f"gateway.router.rules[].websocket.{key}": _ONE_PORT for key in ("host", "port", "tls")
}

REFUSED_BACKEND: Mapping[str, str] = {
    "readBufferSize": _NO_BUFFER,
    "writeBufferSize": _NO_BUFFER,
    "enableCompression": "client and service agree on compression; forbid it by enableCompression of "
    "frontend.websocket, or of a rule's websocket",
    "compressionLevel": _END_TO_END,
    "maxConnections": _UNSHARED,
    "poolSize": _UNSHARED,
    "connectionTimeout": _DIALLED,
    "dialTimeout": _DIALLED,
    "idleConnectionTimeout": "set idleTimeout of frontend.websocket, or of a rule's websocket",
    "closeTimeout": "closeGracePeriod of frontend.websocket, or of a rule's websocket, is for both ends",
}
"""Of ``backend.websocket``."""
