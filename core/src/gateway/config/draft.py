"""What the parts of a rule are worked out from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.config.places import find_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.effective import Offers
    from gateway.config.missing import Missing
    from gateway.config.model import RuleConfig
    from gateway.config.places import Block, Place, Value
    from gateway.config.report import Report
    from gateway.pluginhost import PluginHost

__all__ = ["Context", "Draft"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Context:
    """What all parts of a configuration are worked out in.

    Attributes:
        host: The plugins.
        offers: The configurations of what they offer.
        missing: Explains what is missing.
        report: Takes the problems.
    """

    host: PluginHost
    offers: Offers
    missing: Missing
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draft:
    """A rule whose own keys are valid.

    Attributes:
        rule: Its own keys, with its id.
        block: The rule as it is written.
        overrides: The blocks in it that offers read, by ``id`` of the registration.
    """

    rule: RuleConfig
    block: Block
    overrides: Mapping[int, Block]

    def place(self, *paths: str) -> Place:
        """Return the place of the first of some dotted keys that is written; that of the rule if none is."""
        for path in paths:
            entry: tuple[Value, Place] | None = (self.block, self.block.place)
            for key in path.split("."):
                entry = find_entry(entry[0], key) if entry is not None else None
            if entry is not None:
                return entry[1]
        return self.block.place
