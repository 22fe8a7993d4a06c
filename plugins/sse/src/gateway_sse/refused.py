"""Keys that other gateways have for event streams and this one has not, each with why, and what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["REFUSED", "REFUSED_BACKEND"]

_SLOW_CLIENT = "a client that takes nothing is cut after writeTimeout of frontend.http; set that"
_DIALLED = "connections to services are made as backend.http says; set dialTimeout there"
_COMMENTS = "comments are for clients; set keepaliveTimeout of frontend.sse, or of a rule's sse"
_RECONNECTED = (
    "a stream that broke off is opened again by its client, which knows the last event; what is tried again before it "
    "begins, a rule's retry says"
)

REFUSED: Mapping[str, str] = {
    "writeTimeout": _SLOW_CLIENT,
    "path": "rules say which paths are for streams; write a rule with 'protocol: sse'",
    "tokenValidation": "auth decides who may open a stream, and it always ends with the credentials; remove it",
    "tokenCheckInterval": "credentials say when they end, and the stream ends then, so nothing is checked in between; "
    "remove it",
}
"""Of ``frontend.sse``, and of ``sse`` in a rule."""

REFUSED_BACKEND: Mapping[str, str] = {
    "connectTimeout": _DIALLED,
    "dialTimeout": _DIALLED,
    "readTimeout": "how long a service may be silent, idleTimeout of frontend.sse says, or of a rule's sse",
    "writeTimeout": _SLOW_CLIENT,
    "bufferSize": "events are passed on as they come and never collected; bufferSize of frontend.sse is for shared "
    "streams",
    "maxEventSize": "events are passed on as they come and never collected, so none is too large; remove it",
    "flushInterval": "events are passed on as they come; remove it",
    **dict.fromkeys(("keepalive", "keepaliveTimeout", "keepaliveInterval"), _COMMENTS),
    **dict.fromkeys(("retryInterval", "maxRetries", "reconnectInterval", "maxReconnectAttempts"), _RECONNECTED),
}
"""Of ``backend.sse``."""
