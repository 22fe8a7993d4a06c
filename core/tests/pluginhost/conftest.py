"""Distributions as pip would have installed them."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import EntryPoint, PathDistribution
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from gateway.pluginhost import PluginHost

if TYPE_CHECKING:
    from pathlib import Path


class Site:
    """A folder of installed distributions.

    Attributes:
        entry_points: Those of everything that is installed.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.entry_points: list[EntryPoint] = []
        self._monkeypatch = monkeypatch
        monkeypatch.syspath_prepend(folder)

    def install(
        self,
        distribution: str,
        source: str,
        *,
        name: str = "",
        version: str = "1.0",
        module: str = "",
        attribute: str = "",
    ) -> None:
        """Install a distribution with one plugin of this source."""
        module = module or distribution.replace("-", "_")
        file = self.folder / f"{module.replace('.', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(source))
        self._forget(module)
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        value = f"{module}:{attribute}" if attribute else module
        (info / "entry_points.txt").write_text(f"[gateway]\n{name or distribution} = {value}\n")
        self.entry_points += PathDistribution(info).entry_points
        importlib.invalidate_caches()

    def discover(self, **options: Any) -> PluginHost:
        """Load what is installed."""
        return PluginHost.discover(entry_points=self.entry_points, **options)

    def plugin(self, name: str, **options: Any) -> Any:
        """Load what is installed, and return the plugin of that name."""
        (plugin,) = (plugin for plugin in self.discover(**options).plugins if plugin.name == name)
        return plugin

    def _forget(self, module: str) -> None:
        parts = module.split(".")
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            # So that what the import puts there goes away again, also where nothing was before: another test may need
            # the real one.
            self._monkeypatch.setitem(sys.modules, name, None)
            del sys.modules[name]


@pytest.fixture
def site(tmp_path, monkeypatch):
    return Site(tmp_path, monkeypatch)
