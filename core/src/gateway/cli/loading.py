"""From flags to a configuration, or at least to the plugins."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.progress import progress
from gateway.config import DEFAULT_PATHS, load_configuration
from gateway.config.layers import Layers, named_values, read_gateway
from gateway.config.places import Block, Place
from gateway.config.report import Report
from gateway.errors import ConfigurationError, Problem
from gateway.logs import configure_logging
from gateway.pluginhost import PluginHost

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from importlib.metadata import EntryPoint

    from gateway.cli.context import CommandContext
    from gateway.config import Configuration

__all__ = ["discover_plugins", "load"]


def load(args: argparse.Namespace, context: CommandContext) -> Configuration:
    """Load the configuration that ``add_configuration_flags`` is about; logs go to standard error meanwhile.

    Raises:
        ConfigurationError: With everything that is wrong with it.
    """
    configure_logging(getattr(args, "log_level", None) or "warn", stream=sys.stderr)
    with progress(f"loading {args.config or 'the configuration'}"):
        return load_configuration(args.config, plugin_files=args.plugin_files, entry_points=context.entry_points)


def discover_plugins(path: Path | None, files: Sequence[Path], entry_points: Sequence[EntryPoint] | None) -> PluginHost:
    """Return the plugins, also where nothing can be made of the configuration.

    Args:
        path: The configuration file, which may name further plugins and disable some; ``None`` looks in the usual
            places.
        files: Python files that are plugins too.
        entry_points: The installed plugins; ``None`` takes those of the installed distributions.

    Raises:
        ConfigurationError: If one of ``files`` is missing.
    """
    missing = [file for file in files if not file.is_file()]
    if missing:
        text = "there is no plugin file {!r}; check the path"
        raise ConfigurationError([Problem(text.format(str(file)), where="command line") for file in missing])
    path = path or _default_path()
    gateway = _written(path)
    named = [
        file
        for name, _ in named_values(gateway, "plugins", "files")
        if (file := (path.parent if path is not None else Path()) / Path(name).expanduser()).is_file()
    ]
    disabled = [name for name, _ in named_values(gateway, "disabledPlugins")]
    return PluginHost.discover(files=[*named, *files], disabled=disabled, entry_points=entry_points)


def _default_path() -> Path | None:
    return next((path for path in DEFAULT_PATHS if path.is_file()), None)


def _written(path: Path | None) -> Block:
    """Return what can be read of the configuration below ``gateway``, with what the environment says over it."""
    gateway = read_gateway(path, os.environ, Report()) if path is not None else None
    if gateway is None:
        gateway = Block(Place("no configuration file").below("gateway"))
    return Layers(os.environ, {}, Report()).before_plugins(gateway)
