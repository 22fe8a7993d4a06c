"""Which pages may open a WebSocket (RFC 6455 section 10.2).

Browsers send cookies with a handshake from any page and read the answers whatever CORS says, so the origin is the only
thing that keeps another site from acting as the user. Clients that are no browsers send no ``Origin``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OriginCheck", "parse_allowed_origin"]

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ANY_BELOW = "://*."


class OriginCheck:
    """Decides on the ``Origin`` of a handshake.

    Args:
        allowed: Origins beside the host's own, as ``parse_allowed_origin`` returned them.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._is_open = "*" in allowed
        self._exact = frozenset(origin for origin in allowed if _ANY_BELOW not in origin)
        below = (origin.split("*", 1) for origin in allowed if _ANY_BELOW in origin)
        self._below = tuple((beginning, end) for beginning, end in below)

    def allows(self, origins: Sequence[str], host: str) -> bool:
        """Tell whether a handshake may go on.

        Args:
            origins: The values of its ``Origin`` fields.
            host: The authority that it asks, lower-case.
        """
        if self._is_open or not origins:
            return True
        if len(origins) > 1:
            return False  # whoever sends two means to be read in two ways
        origin = origins[0].strip().lower()
        scheme, separator, authority = origin.partition("://")
        if separator and _without_port(authority, scheme) == _without_port(host, scheme):
            return True
        normal = f"{scheme}{separator}{_without_port(authority, scheme)}"
        return normal in self._exact or any(
            normal.startswith(beginning) and normal.endswith(end) and len(normal) > len(beginning) + len(end)
            for beginning, end in self._below
        )


def _without_port(authority: str, scheme: str) -> str:
    return authority.removesuffix(_DEFAULT_PORTS.get(scheme, "\0"))


def parse_allowed_origin(text: str) -> str:
    """Return an allowed origin in the form that is compared.

    Raises:
        ValueError: If it is none.
    """
    origin = text.strip().lower()
    if origin in ("*", "null"):
        return origin
    parts = urlsplit(origin)
    host = parts.netloc.removeprefix("*.")
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not host
        or "*" in host
        or "@" in host
        or origin != f"{parts.scheme}://{parts.netloc}"
    ):
        msg = f"{text!r} is not an origin; write 'https://example.com', 'https://*.example.com' or '*'"
        raise ValueError(msg)
    return f"{parts.scheme}://{_without_port(parts.netloc, parts.scheme)}"
