"""A plugin, as the host knows it after loading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from gateway.registrations import CommandRegistration, Registration

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Offer", "Plugin"]

Offer: TypeAlias = Registration | CommandRegistration
"""Anything a plugin may register."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plugin:
    """An installed distribution's plugin, or a single Python file.

    Attributes:
        name: The name of its entry point, or the file's without ``.py``.
        distribution: The distribution it came with, or the file's name.
        version: The distribution's version; empty for a file.
        module: The module it was loaded from.
        load_s: How long importing it and calling its hooks took, in seconds.
        error: Why it cannot be used; ``None`` if it can.
        registrations: What it offers; empty if it cannot be used.
        file: The file it was loaded from, if it is a single file.
    """

    name: str
    distribution: str
    version: str = ""
    module: str = ""
    load_s: float = 0.0
    error: str | None = None
    registrations: tuple[Offer, ...] = ()
    file: Path | None = None

    @property
    def origin(self) -> str:
        """Where it comes from, for people: distribution and version, or the path of the file."""
        return str(self.file) if self.file is not None else f"{self.distribution} {self.version}".rstrip()

    def answers_to(self, name: str) -> bool:
        """Say whether ``name`` is that of the plugin or of its distribution, however that is spelt."""
        return name == self.name or _normal(name) == _normal(self.distribution)

    def __str__(self) -> str:
        return f"plugin {self.name!r} of {self.origin}"


def _normal(distribution: str) -> str:
    """Return a distribution's name in the one spelling that is compared, much as packaging does."""
    return distribution.lower().replace("_", "-").replace(".", "-")
