"""What will go, when, and what replaces it.

Every deprecation of the public API stands in ``DEPRECATIONS``, so that documents list it, and so that a test fails when
the version has come in which it was to be gone. Nothing is removed within a minor version, and nothing without having
warned for at least one.
"""

from __future__ import annotations

import functools
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    import pluggy

__all__ = [
    "DEPRECATIONS",
    "Deprecation",
    "GatewayDeprecationWarning",
    "deprecated",
    "deprecated_hook",
    "overdue",
    "since",
]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class GatewayDeprecationWarning(DeprecationWarning):
    """Something of the public API will go. pytest shows it, and so does ``gateway check-plugin``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """Something that will go.

    Attributes:
        name: What, as the documents call it: ``gateway_register_protocols``, ``PolicyRegistration.stage``.
        since: The version that warns first.
        removed_in: The version that does not have it any more.
        instead: What to use.
    """

    name: str
    since: str
    removed_in: str
    instead: str

    def __str__(self) -> str:
        return f"{self.name} is deprecated since {self.since} and goes with {self.removed_in}; use {self.instead}"

    def warn(self, *, stacklevel: int = 1) -> None:
        """Warn who uses it.

        Args:
            stacklevel: How many callers above the caller of this one are to blame.
        """
        warnings.warn(str(self), GatewayDeprecationWarning, stacklevel=stacklevel + 2)


DEPRECATIONS: tuple[Deprecation, ...] = ()
"""Everything that is deprecated now."""


def overdue(version: str, deprecations: tuple[Deprecation, ...] | None = None) -> list[Deprecation]:
    """Return what should be gone in ``version``, and is still there.

    Args:
        version: The version that is about to be published.
        deprecations: What to look at; ``None`` is everything that is deprecated now.
    """
    listed = DEPRECATIONS if deprecations is None else deprecations
    return [each for each in listed if _numbers(each.removed_in) <= _numbers(version)]


def deprecated(deprecation: Deprecation) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Warn whoever calls the function."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def warning(*args: P.args, **kwargs: P.kwargs) -> R:
            deprecation.warn()
            return function(*args, **kwargs)

        return warning

    return decorate


def deprecated_hook(
    marker: pluggy.HookspecMarker, deprecation: Deprecation, *, arguments: tuple[str, ...] = ()
) -> Callable[[T], T]:
    """Make a hookspec that warns whoever implements it.

    Args:
        marker: The marker of hookspecs.
        deprecation: Why.
        arguments: The arguments that will go; none is the whole hook.
    """
    warning = GatewayDeprecationWarning(str(deprecation))
    options: dict[str, Any] = {"warn_on_impl": warning}
    if arguments:
        options = {"warn_on_impl_args": dict.fromkeys(arguments, warning)}
    decorate: Callable[[T], T] = marker(**options)
    return decorate


def since(version: str) -> Callable[[T], T]:
    """Note in which version a hook, an interface or a registration appeared, as ``__since__``."""

    def note(thing: T) -> T:
        thing.__since__ = version  # type: ignore[attr-defined]  # functions and classes take any attribute
        return thing

    return note


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"\d+", version)[:3]]
    return (*numbers, *[0] * (3 - len(numbers)))
