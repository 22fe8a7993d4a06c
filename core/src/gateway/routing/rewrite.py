"""Rewriting the path that a service sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.routing.path import comparison_form, normalise_path

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["build_rewrite"]


def build_rewrite(strip_prefix: str | None, add_prefix: str | None) -> Callable[[str], str] | None:
    """Return what rewrites a canonical path into another one, or ``None`` if every path stays as it is.

    Args:
        strip_prefix: Taken off paths that begin with these segments, and only with whole ones: ``/api`` leaves
            ``/apis`` alone. What is left of ``/api`` itself is ``/``.
        add_prefix: Put in front, after stripping; what was stripped to nothing becomes the prefix itself.

    Raises:
        MalformedPath: If a prefix is not a path.
    """
    strip = normalise_path(strip_prefix or "/", encoded_slashes=True).rstrip("/")
    add = normalise_path(add_prefix or "/", encoded_slashes=True).rstrip("/")
    if strip:
        return _build_strip(strip, add)
    if add:
        return lambda path: add + path
    return None


def _build_strip(strip: str, add: str) -> Callable[[str], str]:
    strip = comparison_form(strip)
    slashes = strip.count("/")

    def rewrite(path: str) -> str:
        # As many segments as the prefix has, so that the escapes of what follows are left as they came.
        _, *segments = path.split("/", slashes + 1)
        if comparison_form("/" + "/".join(segments[:slashes])) != strip:
            return add + path
        rest = "".join(f"/{rest}" for rest in segments[slashes:])
        return add + rest or "/"

    return rewrite
