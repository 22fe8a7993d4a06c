"""Who may use a route: what the gateway's ``auth`` and a rule's say together, and which authenticators find it out.

Whatever is contradictory is refused or taken the strict way, never the open one:

- credentials are required where ``gateway.auth.required`` or ``authRequired: true`` says so, and where scopes are
  required or the rule names its authenticators;
- ``authRequired: false`` asks for none, but only where neither ``gateway.auth.required`` nor ``requiredScopes`` does;
- ``skipPaths`` ask for none in any case, so a rule that requires credentials must not lie below one;
- credentials that are required but that no authenticator could check are an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.routing import MalformedPath, normalise_path
from gateway.routing.path import comparison_form

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.routing import Pattern

__all__ = ["AccessError", "RouteAuth", "Wish", "covers", "decide", "parse_skip_path"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteAuth:
    """Who may use a route.

    Attributes:
        required: Whether requests without valid credentials are refused.
        scopes: What the caller needs, all of it.
        skip: Whether nobody is asked for credentials at all, so that even wrong ones do no harm.
        skip_paths: Paths on this route for which nobody is asked for credentials, with everything below them, in the
            form in which paths are compared; empty if the whole route is skipped, or nothing of it.
    """

    required: bool = False
    scopes: frozenset[str] = frozenset()
    skip: bool = False
    skip_paths: tuple[str, ...] = ()

    def skips(self, path: str) -> bool:
        """Say whether a request is exempt.

        Args:
            path: In canonical form, as ``normalise_path`` makes it.
        """
        if not self.skip_paths:
            return self.skip
        path = comparison_form(path)
        return any(path == skipped or path.startswith(f"{skipped}/") for skipped in self.skip_paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a rule says about access.

    Attributes:
        required: Whether it asks for credentials; ``None`` if it does not say.
        scopes: The scopes it asks for.
        types: The authenticators it names.
    """

    required: bool | None = None
    scopes: frozenset[str] = frozenset()
    types: tuple[str, ...] = ()

    @property
    def asks(self) -> bool:
        """Whether it asks for credentials in any way."""
        return bool(self.required or self.scopes or self.types)


class AccessError(ValueError):
    """What a rule says contradicts itself or ``gateway.auth``."""


def decide(
    wish: Wish, *, is_required: bool, scopes: frozenset[str], skip_paths: Iterable[str], pattern: Pattern
) -> RouteAuth:
    """Return who may use a route.

    Args:
        wish: What the rule says.
        is_required: ``gateway.auth.required``.
        scopes: ``gateway.auth.requiredScopes``.
        skip_paths: ``gateway.auth.skipPaths``, as ``parse_skip_path`` returns them.
        pattern: The paths of the rule.

    Raises:
        AccessError: If the rule asks for credentials and says that it does not, or lies below a skipped path.
    """
    if wish.required is False and wish.asks:
        raise AccessError("authRequired is false, but scopes or authenticators are named; remove one or the other")
    is_required = is_required or bool(scopes)
    touched = {path: covers(path, pattern) for path in skip_paths}
    for path, is_whole in touched.items():
        if is_whole and wish.asks:
            raise AccessError(
                f"the rule asks for credentials, but gateway.auth.skipPaths has {path or '/'!r}; remove one of the two"
            )
    if any(touched.values()) or (wish.required is False and not is_required):
        return RouteAuth(skip=True)
    scopes |= wish.scopes
    return RouteAuth(
        required=is_required or wish.asks,
        scopes=scopes,
        skip_paths=tuple(path for path, is_whole in touched.items() if is_whole is not None),
    )


def parse_skip_path(text: str) -> str:
    """Return a path of ``skipPaths`` in the form in which paths are compared, without trailing slash.

    Raises:
        ValueError: If it is not a path, or has a wildcard elsewhere than at its end.
    """
    path = text.removesuffix("*")
    if "*" in path:
        raise ValueError(f"{text!r} has a '*' elsewhere than at its end; name the path that everything is below")
    if not path.startswith("/"):
        raise ValueError(f"{text!r} is not a path; begin it with '/'")
    try:
        return comparison_form(normalise_path(path, encoded_slashes=True)).rstrip("/")
    except MalformedPath as error:
        raise ValueError(f"{text!r} is not a path: {error}; write it as a request would have it") from error


def covers(path: str, pattern: Pattern) -> bool | None:
    """Say whether every path of a pattern is below ``path``, or only some may be; ``None`` if none is."""
    if not path:
        return True
    if pattern.regex is not None:
        return False
    wanted = path[1:].split("/")
    for segment, literal in zip(pattern.segments, wanted, strict=False):
        if isinstance(segment, str) and segment != literal:
            return None
    if len(pattern.segments) < len(wanted):
        return False if pattern.rest is not None else None
    return all(isinstance(segment, str) for segment in pattern.segments[: len(wanted)])
