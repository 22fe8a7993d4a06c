"""The effective settings of a component, with secrets masked, each with where it comes from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.config.claims import place_of
from gateway.config.mask import mask
from gateway.config.places import Block, Place, find_entry, value_of
from gateway.config.shape import Shape
from gateway.pluginhost.check import PER_RULE_KINDS, model_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.config import Configuration, Configured, ConfiguredRule
    from gateway.config.places import Value
    from gateway.registrations import Registration

__all__ = ["DEFAULT", "Setting", "block_place", "settings_of"]

DEFAULT = "default"
"""Where a setting comes from that nobody wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A key of an effective configuration.

    Attributes:
        key: As the YAML has it.
        value: In ordinary data, secrets masked.
        where: The file and line, the environment variable or the flag it comes from, or ``default``.
    """

    key: str
    value: Any  # whatever the plugin's model holds
    where: str

    @property
    def text(self) -> str:
        """The value in one line."""
        if isinstance(self.value, str) and self.value:
            return self.value
        return json.dumps(self.value, ensure_ascii=False, default=str)


def settings_of(
    configured: Configured, configuration: Configuration, rule: ConfiguredRule | None = None
) -> list[Setting]:
    """Return the settings of a component, in the order of its model.

    Args:
        configured: The component.
        configuration: All there is, for where a setting comes from. A key that was written in another spelling comes
            from where its block stands.
        rule: The rule for which it is so configured; ``None`` if it is gateway-wide.
    """
    names = model_keys(type(configured.config))
    blocks = list(_blocks(configured, configuration, rule))
    values = _masked(configured)
    return [
        Setting(key=key, value=values[key], where=_where(key, name, blocks, configured))
        for key, name in names.items()
        if key in values
    ]


def block_place(registration: Registration, configuration: Configuration) -> str:
    """Return where the gateway-wide block of an offer stands, or nothing if there is none."""
    *above, last = place_of(registration)
    container = _find(configuration.data, above)
    return container.places[last].at_key if isinstance(container, Block) and last in container else ""


def _masked(configured: Configured) -> dict[str, Any]:
    config = configured.config
    try:
        data = config.model_dump(mode="json", by_alias=True, warnings=False)
    except Exception:  # noqa: BLE001 - a plugin's type that JSON does not know is shown as Python has it
        data = config.model_dump(by_alias=True, warnings=False)
    place = Place("")
    masked: dict[str, Any] = mask(value_of(data, place), Shape(type(config)), place)
    return masked


def _where(key: str, name: str, blocks: Sequence[Block], configured: Configured) -> str:
    for block in blocks:
        if key in block:
            return block.places[key].at_key
    return configured.where if name in configured.config.model_fields_set else DEFAULT


def _blocks(configured: Configured, configuration: Configuration, rule: ConfiguredRule | None) -> Iterator[Block]:
    """Yield what was written, what lies over the others first."""
    registration = configured.registration
    if rule is not None and registration.kind in PER_RULE_KINDS:
        written = _find(configuration.data, ("router", "rules", rule.matches.target))
        yield _single_keys(written, registration.rule_keys)
        path = (registration.rule_key or f"plugins.{registration.name}").split(".")
        yield _as_block(_find(written, path))
    yield _as_block(_find(configuration.data, place_of(registration)))


def _single_keys(rule: Value, rule_keys: dict[str, str]) -> Block:
    """Return what single keys of a rule set, as if they stood in a block."""
    block = Block(Place(""))
    for rule_key, config_key in rule_keys.items():
        *above, last = rule_key.split(".")
        container = _find(rule, above)
        if isinstance(container, Block) and last in container:
            block.put(config_key.partition(".")[0], container[last], container.places[last])
    return block


def _find(value: Value, keys: Sequence[str | int]) -> Value:
    for key in keys:
        entry = find_entry(value, key)
        value = entry[0] if entry is not None else None
    return value


def _as_block(value: Value) -> Block:
    return value if isinstance(value, Block) else Block(Place(""))
