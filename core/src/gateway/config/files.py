"""Which files a configuration names, so that a change of one is seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from pydantic import BaseModel

from gateway.units import FilePath

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.config.result import Configuration, Configured

__all__ = ["named_files"]


def named_files(configuration: Configuration) -> list[Path]:
    """Return every file that stands in the configuration as a ``FilePath``, once."""
    # Equal ones are identical: ten thousand rules have few different ones.
    configs = {id(configured.config): configured.config for configured in _configured(configuration)}
    return list(dict.fromkeys(configuration.folder / path for path in _paths(tuple(configs.values()))))


def _configured(configuration: Configuration) -> Iterator[Configured]:
    yield from configuration.adapters
    yield from configuration.connectors
    yield from configuration.discovery
    yield from configuration.health_checkers
    yield from configuration.observers
    yield from configuration.admin_routes
    yield from configuration.edge_policies
    for rule in configuration.rules:
        yield from rule.policies
        yield from rule.authenticators
        yield from rule.limiters
        yield rule.balancer


def _paths(value: object) -> Iterator[FilePath]:
    if isinstance(value, FilePath):
        yield value
    elif isinstance(value, BaseModel):
        for entry in vars(value).values():
            yield from _paths(entry)
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _paths(entry)
    elif isinstance(value, Sequence | AbstractSet) and not isinstance(value, str | bytes):
        for entry in value:
            yield from _paths(entry)
