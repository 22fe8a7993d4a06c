"""Every plugin says which test proves which key, and what its table names is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from gateway.plugin_config import RouteSourceConfig
from gateway.pluginhost.check import model_keys
from gateway.registrations import Registration

ROOT = Path(__file__).parents[2]
PLUGINS = (
    *("apikey", "jwt", "ratelimit", "cors", "circuitbreaker", "retry", "prometheus", "otel", "jsonlog"),
    *("docker", "kubernetes", "dns", "healthcheck", "balancers", "affinity", "static"),
)
ROW = re.compile(r"^\|(?P<keys>.*?`.*?)\|(?P<tests>[^|]*`test_.*)\|$", re.MULTILINE)
COMMON = set(model_keys(RouteSourceConfig))
"""Keys of every route source, which the core's tests prove."""


def table(plugin: str) -> list[tuple[str, str]]:
    """Return the rows of the plugin's table: keys, and tests."""
    text = (ROOT / "plugins" / plugin / "README.md").read_text()
    return [(row["keys"], row["tests"]) for row in ROW.finditer(text)]


def keys_of(plugin: str) -> set[str]:
    """Return the keys of everything that the plugin registers."""
    hooks = vars(importlib.import_module(f"gateway_{plugin}.plugin"))
    offers = [offer for name, hook in hooks.items() if name.startswith("gateway_register_") for offer in hook()]
    found = {key for offer in offers if isinstance(offer, Registration) for key in model_keys(offer.config)}
    return found - COMMON if any(offer.kind == "route source" for offer in offers) else found


def named_in(folder: Path) -> set[str]:
    """Return the names of the tests in a folder, and of its files."""
    files = list(folder.rglob("test_*.py"))
    return {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text())} | {
        file.name for file in files
    }


@pytest.mark.parametrize("readme", sorted(ROOT.glob("*/*/README.md")), ids=lambda readme: readme.parent.name)
def test_every_test_that_a_readme_names_is_there(readme: Path) -> None:
    named = set(re.findall(r"`(test_\w+(?:\.py)?)`", readme.read_text()))
    assert named <= named_in(readme.parent / "tests") | named_in(ROOT / "core" / "tests")


@pytest.mark.parametrize("plugin", PLUGINS)
def test_every_key_of_a_plugin_has_a_test(plugin: str) -> None:
    proven = {word for keys, _ in table(plugin) for word in re.findall(r"\w+", keys)}
    assert keys_of(plugin) <= proven
