"""What the configuration is made of, one over the other: plugins' proposals or a file, the environment, flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config.claims import registrations_of
from gateway.config.environment import override, override_from_environment
from gateway.config.merge import merge
from gateway.config.model import GatewayConfig
from gateway.config.places import Block, Items, Place, block_of, find_entry, value_of
from gateway.config.report import Report
from gateway.config.shape import Shape
from gateway.config.source import read_file
from gateway.config.suggest import closest
from gateway.config.validation import unknown_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.config.missing import Missing
    from gateway.config.places import Value
    from gateway.pluginhost import PluginHost

__all__ = ["Layers", "named_values", "read_gateway", "zero_configuration"]


class Layers:
    """What lies over the file.

    Args:
        environ: The environment.
        flags: Values by dotted path below ``gateway``; ``None`` does not count.
        report: Takes the problems.
    """

    def __init__(self, environ: Mapping[str, str], flags: Mapping[str, Any], report: Report) -> None:
        self._environ = environ
        self._flags = {path: value for path, value in flags.items() if value is not None}
        self._report = report

    def over(self, gateway: Block, shape: Shape, missing: Missing) -> Block:
        """Return the configuration with everything that lies over it.

        Args:
            gateway: What the file says below ``gateway``.
            shape: What may stand there.
            missing: Explains what is missing.
        """
        gateway = override_from_environment(gateway, self._environ, shape, self._report, missing)
        return self._with_flags(gateway)

    def before_plugins(self, gateway: Block) -> Block:
        """Return the configuration as far as it can be told before plugins are loaded: which these are."""
        gateway = override_from_environment(gateway, self._environ, Shape(GatewayConfig), Report(), None)
        return self._with_flags(gateway)

    def _with_flags(self, gateway: Block) -> Block:
        for path, value in self._flags.items():
            keys = path.split(".")
            place = gateway.place.below(*keys, source="command line")
            gateway = override(gateway, keys, value_of(value, place), place)
        return gateway


def read_gateway(path: Path, environ: Mapping[str, str], report: Report, text: str | None = None) -> Block | None:
    """Read a file and return what it says below ``gateway``, or ``None`` after reporting why that is impossible.

    Args:
        path: The file.
        environ: What ``${VAR}`` refers to.
        report: Takes the problems.
        text: What the file holds, as it was read before; ``None`` reads it now.
    """
    root = read_file(path, environ, report, text)
    if root is None:
        return None
    for key in root:
        if key != "gateway" and not key.startswith("x-"):
            report.error(_stray(key), key=root.places[key])
    if "gateway" not in root:
        report.error("there is no block 'gateway:'; everything stands below it", where=str(path))
        return None
    place = root.places["gateway"]
    gateway = Block(place) if root["gateway"] is None else root["gateway"]
    if not isinstance(gateway, Block):
        report.error("is not a block; write the configuration below it, indented", key=place)
        return None
    return gateway


def zero_configuration(host: PluginHost, place: Place) -> Block:
    """Return what the plugins propose for a gateway without a file.

    Args:
        host: The plugins.
        place: Where ``gateway`` would stand.
    """
    gateway = Block(place)
    for registration, plugin in registrations_of(host):
        source = Place(f"zero configuration of {plugin.distribution}").below("gateway")
        gateway = merge(gateway, block_of(registration.zero_config, source))
    gateway.place = place
    return gateway


def named_values(gateway: Block, *keys: str) -> list[tuple[str, Place]]:
    """Return the texts in a list of the configuration with their places; none if it is no list of texts.

    Args:
        gateway: Where to begin.
        keys: What leads to the list; a single text counts as a list of one.
    """
    entry: tuple[Value, Place] | None = (gateway, gateway.place)
    for key in keys:
        entry = find_entry(entry[0], key) if entry is not None else None
    value, place = entry if entry is not None else (None, gateway.place)
    if isinstance(value, str):
        return [(value, place)]
    if not isinstance(value, Items):
        return []
    return [(name, at) for name, at in zip(value, value.places, strict=True) if isinstance(name, str)]


def _stray(key: str) -> str:
    known = [*Shape(GatewayConfig).keys, "frontend", "backend", "middleware"]
    if key in known:
        return "stands beside 'gateway:'; move it below, indented"
    if closest(key, ["gateway"]) is None and closest(key, known) is not None:
        return f"unknown key; did you mean {closest(key, known)!r} below 'gateway:'?"
    return unknown_key(key, ["gateway"])
