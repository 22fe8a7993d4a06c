"""The opening handshake (RFC 6455 section 4), as far as a proxy has to look at it.

The service answers it. What is checked here is that client, gateway and service all agree that it was one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError, Headers, Response
from gateway_websocket.frames import RSV, RSV1

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Request

__all__ = ["VERSION", "accepted_rsv", "check_key", "keep_subprotocols", "needs_upgrade"]

VERSION = "13"
_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 section 1.3."""
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")
"""16 bytes in base64."""
_PLAIN_DEFLATE = frozenset({"permessage-deflate"})


def needs_upgrade(request: Request) -> Response | None:
    """Return the answer to a request that is no WebSocket handshake of this version; ``None`` if it is one."""
    if request.upgrade == "websocket" and request.headers.get_all("sec-websocket-version") == [VERSION]:
        return None
    response = Response.text("a WebSocket handshake is needed", status=426)
    response.headers.pairs += [(b"upgrade", b"websocket"), (b"sec-websocket-version", VERSION.encode())]
    return response


def check_key(request: Request) -> str:
    """Return the key of a handshake.

    Raises:
        GatewayError: If there is not exactly one, or the method is not GET (RFC 6455 section 4.2.1).
    """
    keys = request.headers.get_all("sec-websocket-key")
    if request.method != "GET" or len(keys) != 1 or _KEY.fullmatch(keys[0].strip()) is None:
        raise GatewayError(ErrorType.BAD_REQUEST, "the WebSocket handshake is malformed")
    return keys[0].strip()


def keep_subprotocols(headers: Headers, allowed: Sequence[str]) -> None:
    """Offer a service only these subprotocols of those that the client offers, in the client's order."""
    offered = ",".join(headers.get_all("sec-websocket-protocol")).split(",")
    kept = [name for each in offered if (name := each.strip()) in allowed]
    if kept:
        headers.set("sec-websocket-protocol", ", ".join(kept))
    else:
        headers.remove("sec-websocket-protocol")


def accepted_rsv(key: str, offered: Headers, accepted: Headers) -> int:
    """Check the service's half of a handshake, and return the reserved bits that its extensions use.

    Args:
        key: The client's key.
        offered: The fields of the request, as the service saw them.
        accepted: The fields of the response.

    Raises:
        GatewayError: If the service answered another handshake, or took an extension or a subprotocol that was not
            offered (RFC 6455 section 4.1).
    """
    digest = hashlib.sha1(key.encode() + _ACCEPT_GUID, usedforsecurity=False).digest()
    if not hmac.compare_digest(base64.b64encode(digest), (accepted.get("sec-websocket-accept") or "").strip().encode()):
        raise _bad("the service answered another handshake (Sec-WebSocket-Accept)")
    protocols = accepted.get_all("sec-websocket-protocol")
    if protocols and (len(protocols) > 1 or protocols[0].strip() not in _names(offered, "sec-websocket-protocol")):
        raise _bad("the service took a subprotocol that was not offered")
    extensions = _names(accepted, "sec-websocket-extensions")
    if not extensions:
        return 0
    if not extensions <= _names(offered, "sec-websocket-extensions"):
        raise _bad("the service took an extension that was not offered")
    return RSV1 if extensions <= _PLAIN_DEFLATE else RSV


def _names(headers: Headers, field: str) -> frozenset[str]:
    items = ",".join(headers.get_all(field)).split(",")
    return frozenset(item.partition(";")[0].strip() for item in items) - {""}


def _bad(detail: str) -> GatewayError:
    return GatewayError(ErrorType.BAD_GATEWAY, "the service answered badly", detail=detail)
