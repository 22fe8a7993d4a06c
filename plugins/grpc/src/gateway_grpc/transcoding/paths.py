"""The mission's ``pathMappings``: beginnings of paths, and what stands in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PathMappings"]


class PathMappings:
    """Puts the beginning of a service's methods in the place of another, by whole segments; the longest goes first.

    Args:
        mappings: ``/api/users`` to ``/users.v1.UserService``.
    """

    def __init__(self, mappings: Mapping[str, str]) -> None:
        cleaned = [(f"/{old.strip('/')}", f"/{new.strip('/')}") for old, new in mappings.items()]
        self._mappings = sorted(cleaned, key=lambda pair: -len(pair[0]))

    def apply(self, path: str) -> str:
        """Return the path that ``path`` stands for."""
        for old, new in self._mappings:
            if path == old:
                return new
            if path.startswith(f"{old}/") or old == "/":
                return f"{new}/{path[len(old) :].lstrip('/')}"
        return path
