"""What ``gateway run`` was told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Configuration

__all__ = ["RunOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Where the configuration comes from and how the gateway is run. Handed to workers as it is.

    Attributes:
        path: The configuration file; ``None`` looks in the usual places.
        flags: Values by dotted path below ``gateway``; they win over everything.
        plugin_files: Python files that are plugins too.
        workers: How many data planes; ``None`` leaves it to the configuration.
        hot_reload: Whether a change of the file reloads it.
    """

    path: Path | None = None
    flags: dict[str, Any] = field(default_factory=dict)
    plugin_files: list[Path] = field(default_factory=list)
    workers: int | Literal["auto"] | None = None
    hot_reload: bool = False

    def load(self) -> Configuration:
        """Load the configuration.

        Raises:
            ConfigurationError: With everything that is wrong with it.
        """
        from gateway.config import load_configuration  # noqa: PLC0415 - workers unpickle options before they need it

        return load_configuration(self.path, flags=self.flags, plugin_files=self.plugin_files)
