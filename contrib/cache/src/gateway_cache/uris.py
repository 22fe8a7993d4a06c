"""Which URI a request is for, and which ones an answer names."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Request, Response

__all__ = ["named_by", "uri_of"]


def uri_of(request: Request) -> str:
    """Return the target URI."""
    origin = request.origin
    if request.query:
        return f"{origin.scheme}://{origin.host}{request.path}?{request.query}"
    return f"{origin.scheme}://{origin.host}{request.path}"


def named_by(response: Response, uri: str) -> Sequence[str]:
    """Return the URIs that an answer names, if they are of the same origin (RFC 9111 section 4.4)."""
    named = (response.headers.get(name) for name in ("location", "content-location"))
    origin = urlsplit(uri)[:2]
    found = []
    for target in named:
        if target is not None:
            try:
                other = urljoin(uri, target)
                if urlsplit(other)[:2] == origin:
                    found.append(other.partition("#")[0])
            except ValueError:
                continue  # what is no URI is none of ours
    return found
