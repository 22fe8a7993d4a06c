"""What ``gateway run`` was told."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Configuration, SourcedRules

__all__ = ["RunOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Where the configuration comes from and how the gateway is run.

    Attributes:
        path: The configuration file; ``None`` looks in the usual places.
        flags: Values by dotted path below ``gateway``; they win over everything.
        plugin_files: Python files that are plugins too.
        workers: How many data planes; ``None`` leaves it to the configuration.
        hot_reload: Whether a change of the file reloads it.
        text: What the file held; ``None`` reads it. Workers are given what the control plane validated, since the file
            may be another by the time they would read it.
        sourced: Rules of route sources, for workers.
        base: The ``id`` of the configuration that they go with; whoever has it already need not load it again.
    """

    path: Path | None = None
    flags: dict[str, Any] = field(default_factory=dict)
    plugin_files: list[Path] = field(default_factory=list)
    workers: int | Literal["auto"] | None = None
    hot_reload: bool = False
    text: str | None = None
    sourced: tuple[SourcedRules, ...] = ()
    base: str = ""

    def load(self) -> Configuration:
        """Load the configuration.

        Raises:
            ConfigurationError: With everything that is wrong with it.
        """
        from gateway.config import load_configuration  # noqa: PLC0415 - workers unpickle options before they need it

        return load_configuration(self.path, text=self.text, flags=self.flags, plugin_files=self.plugin_files)

    def pinned(self, configuration: Configuration) -> RunOptions:
        """Return options that load exactly what ``configuration`` was loaded from, whatever becomes of the file."""
        return dataclasses.replace(
            self,
            path=configuration.path,
            text=configuration.text,
            sourced=configuration.sourced,
            base=configuration.id,
        )
