"""Finding plugins without importing them: entry points of installed distributions, and single files."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from gateway.pluginhost.plugin import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import ModuleType

__all__ = ["ENTRY_POINT_GROUP", "FILE_PACKAGE", "Candidate", "file_candidate", "installed_candidates"]

ENTRY_POINT_GROUP = "gateway"

FILE_PACKAGE = "gateway_plugin_files"
"""What the module names of single files begin with, so that no file hides an installed module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A plugin that was found and not imported yet.

    Attributes:
        plugin: What is known of it so far.
        load: Imports it; returns the module, or the object in it that the entry point names.
    """

    plugin: Plugin
    load: Callable[[], object]


def installed_candidates(points: Iterable[EntryPoint] | None = None) -> list[Candidate]:
    """Return the plugins of the installed distributions, by name.

    Args:
        points: The entry points to take; ``None`` takes those of the group ``gateway`` on ``sys.path``.
    """
    return _by_name(points) if points is not None else list(_on_search_path(_search_path()))


@lru_cache(maxsize=1)
def _on_search_path(search_path: tuple[tuple[str, int], ...]) -> tuple[Candidate, ...]:
    """Reading the metadata of everything installed is most of what a reload costs, and it seldom changes."""
    return tuple(_by_name(entry_points(group=ENTRY_POINT_GROUP)))


def _search_path() -> tuple[tuple[str, int], ...]:
    """Return where distributions are looked for, and when it changed, which ``importlib.metadata`` goes by as well."""
    return tuple((entry, _changed_ns(entry)) for entry in sys.path)


def _changed_ns(entry: str) -> int:
    try:
        return os.stat(entry or ".").st_mtime_ns
    except OSError:
        return 0


def _by_name(points: Iterable[EntryPoint]) -> list[Candidate]:
    return sorted(map(_installed, points), key=lambda found: (found.plugin.name, found.plugin.distribution))


def _installed(point: EntryPoint) -> Candidate:
    distribution = point.dist
    plugin = Plugin(
        name=point.name,
        distribution=distribution.name if distribution is not None else point.module.partition(".")[0],
        version=distribution.version if distribution is not None else "",
        module=point.module,
    )
    return Candidate(plugin=plugin, load=point.load)


def file_candidate(path: Path) -> Candidate:
    """Return the plugin in a Python file; nothing is read yet."""
    plugin = Plugin(name=path.stem, distribution=path.name, module=f"{FILE_PACKAGE}.{path.stem}", file=path)
    return Candidate(plugin=plugin, load=lambda: _run_file(plugin.module, path))


def _run_file(name: str, path: Path) -> ModuleType:
    """Run the file anew, so that a reload sees what has been changed in it."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{str(path)!r} is not a Python file; its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    previous = sys.modules.get(name)
    sys.modules[name] = module  # dataclasses and annotations look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        _restore(name, previous)
        raise
    return module


def _restore(name: str, previous: ModuleType | None) -> None:
    if previous is None:
        del sys.modules[name]
    else:
        sys.modules[name] = previous
