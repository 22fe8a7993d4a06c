"""Writes ``configuration.md`` from the configuration models; ``--check`` only says whether it is up to date.

It covers the core and the plugins of this repository, which have to be installed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import PydanticUndefined
from writing import ROOT, write

from gateway.config.aliases import RULE_ALIASES
from gateway.config.claims import place_of, registrations_of
from gateway.config.model import GatewayConfig, RuleConfig
from gateway.pluginhost import PluginHost
from gateway.pluginhost.check import PER_RULE_KINDS, model_keys
from gateway.units import Duration, Milliseconds, Size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.registrations import Registration

TARGET = Path(__file__).with_name("configuration.md")

HEAD = """\
# Configuration

<!-- Written by docs/reference/generate.py. Change the descriptions in the models and run it again. -->

Every key of `gateway.yaml`, of the core and of the plugins of its repository. How the file is read, what lies over it
and what a block turns on is in [Configure](../how-to/configure.md). `gateway schema` prints the same as JSON Schema,
with every plugin that is installed.

- A **duration** is a number of seconds or a text such as `250ms`, `30s`, `5m`, `1m30s`, `1.5h`, `2d`.
- A **size** is a number of bytes or a text such as `8KB`, `10MB`, `1.5GB`, in powers of 1024.
- A **list** of texts may be written as one text where it has one entry.

Unknown keys are errors. Anything at the top of the file that begins with `x-` is left alone, for YAML anchors.
"""

RULE_NOTES = """
A rule also has the keys that plugins add. A block of a policy, an authenticator or a limiter in a rule is merged over
the gateway's block of the same plugin, for this route; it stands under `plugins.<name>` in the rule unless the plugin
has a key of its own for it. Other spellings of its keys: {aliases}.
"""

RESERVED = """
Every block of a plugin also takes `enabled` (`true` unless it says otherwise), and that of a policy or a limiter takes
`onError`: `deny`, the default, or `allow`, with which its failure does not fail the request, as long as nothing further
in has run. What decides about access cannot be allowed to fail. That of a policy, a limiter or an authenticator takes
`mode`: `enforce`, the default, or `shadow`, which decides and records what it would have done, and lets every request
pass. That of a policy takes `latencyBudget` and `quarantine` with `failures`, `within` and `for`:
[Keep plugins within a budget](../how-to/keep-plugins-within-a-budget.md). A plugin's block stands in one of the core's
(`frontend`, `backend`, `registry`, `auth`, `middleware`, `plugins`) or beside them, as the plugin says.
"""


@dataclass(frozen=True)
class Section:
    """A table of the page.

    Attributes:
        path: What leads to the keys, as the heading has it.
        text: What is said above the table.
        model: The keys.
    """

    path: str
    text: str
    model: type[BaseModel]


def render() -> str:
    """Return the page."""
    parts = [HEAD, "\n## The core\n"]
    parts += map(_section, _sections(Section("gateway", "", GatewayConfig)))
    parts.append("\n## Rules\n")
    notes = RULE_NOTES.format(aliases=_pairs(RULE_ALIASES))
    parts.append(_section(Section("gateway.router.rules[]", f"{_sentence(RuleConfig)}\n{notes}", RuleConfig)))
    parts += map(_section, _blocks(RuleConfig, "gateway.router.rules[]"))
    parts += ["\n## Plugins\n", RESERVED]
    registrations = _registrations()
    for registration, distribution in registrations:
        if registration.config.model_fields:
            parts += map(_section, _sections(_plugin_section(registration, distribution)))
    blocks = ", ".join(f"`{place}`" for place in _places(registrations))
    parts.append(f"\n### Blocks without keys\n\n{blocks}: these have no keys of their own.\n")
    return "".join(parts)


def _places(registrations: list[tuple[Registration, str]]) -> list[str]:
    """Return where the blocks of offers without keys stand, in a rule for balancers."""
    empty = [registration for registration, _ in registrations if not registration.config.model_fields]
    return list(dict.fromkeys("gateway." + ".".join(place_of(registration)) for registration in empty))


def _registrations() -> list[tuple[Registration, str]]:
    """Return the offers of the plugins in this repository, by the place of their blocks."""
    ours = {f"gateway-{manifest.parent.name}" for manifest in ROOT.glob("*/*/pyproject.toml")}
    found = [
        (registration, plugin.distribution)
        for registration, plugin in registrations_of(PluginHost.discover())
        if plugin.distribution in ours
    ]
    return sorted(found, key=lambda each: place_of(each[0]))


def _plugin_section(registration: Registration, distribution: str) -> Section:
    state = "On without a block." if registration.default_on else "On where the block is there."
    text = f"{registration.summary}. From `{distribution}`. {state}\n"
    if registration.kind in PER_RULE_KINDS:
        text += f"In a rule: `{registration.rule_key or f'plugins.{registration.name}'}`.\n"
    for key, config_key in registration.rule_keys.items():
        text += f"A rule's `{key}` sets `{config_key}`.\n"
    if registration.aliases:
        text += f"Other spellings: {_pairs(registration.aliases)}.\n"
    return Section("gateway." + ".".join(place_of(registration)), text, registration.config)


def _pairs(aliases: Mapping[str, str]) -> str:
    return ", ".join(f"`{old}` for `{new}`" for old, new in aliases.items())


def _sections(section: Section) -> Iterator[Section]:
    yield section
    yield from _blocks(section.model, section.path)


def _blocks(model: type[BaseModel], path: str) -> Iterator[Section]:
    """Yield the blocks below a model, with theirs."""
    for key, name in model_keys(model).items():
        field = model.model_fields[name]
        for inner, suffix in _models(field.annotation):
            yield from _sections(Section(f"{path}.{key}{suffix}", _sentence(inner) + "\n", inner))


def _models(annotation: Any, suffix: str = "") -> Iterator[tuple[type[BaseModel], str]]:  # noqa: ANN401 - annotations have no type
    """Yield the models in an annotation, with ``[]`` for those that are in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, suffix
    in_list = suffix + "[]" if getattr(annotation, "__origin__", None) in (tuple, list) else suffix
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument, in_list)


def _sentence(model: type[BaseModel]) -> str:
    first_line = (model.__doc__ or "").strip().partition("\n")[0]
    return first_line.replace("``", "`").partition(". ")[0].rstrip(".") + "."


def _section(section: Section) -> str:
    lines = [f"\n### `{section.path}`\n", *([section.text] if section.text else [])]
    rows = list(_rows(section.model))
    if rows:
        lines += ["| key | type | default | |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _rows(model: type[BaseModel]) -> Iterator[str]:
    schema = model.model_json_schema(by_alias=True)
    for key, name in model_keys(model).items():
        if list(_models(model.model_fields[name].annotation)) and not model.model_fields[name].is_required():
            kind, default = "block", ""
        else:
            kind = _kind(schema["properties"][key])
            default = _default(model, name, kind)
        description = schema["properties"][key].get("description") or model.model_fields[name].description or ""
        yield f"| `{key}` | {kind} | {default} | {description.replace('|', chr(92) + '|')} |"


# Types in words.


def _options(annotation: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - see _models
    options: list[dict[str, Any]] = TypeAdapter(annotation).json_schema()["anyOf"]
    return options


_UNITS = {"duration": _options(Duration), "duration in ms": _options(Milliseconds), "size": _options(Size)}


def _kind(schema: dict[str, Any]) -> str:
    options = schema.get("anyOf")
    for unit, expected in _UNITS.items():
        if options == expected:
            return unit
    if options is not None:
        kinds = dict.fromkeys(_kind(option) for option in options if option.get("type") != "null")
        return "list of texts" if list(kinds) == ["text", "list of texts"] else " or ".join(kinds)
    if "enum" in schema:
        return " or ".join(f"`{_yaml(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{_yaml(schema['const'])}`"
    return _plain_kind(schema)


def _plain_kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type", "")
    if isinstance(kind, list):
        return " or ".join(_plain_kind({**schema, "type": each}) for each in kind if each != "null")
    if kind == "array":
        item = _kind(schema.get("items", {}))
        return {"text": "list of texts", "": "list"}.get(item, f"list of {item}s")
    names = {"string": "text", "boolean": "true or false", "object": "block", "integer": "whole number"}
    return names.get(kind, "block" if "$ref" in schema else kind) + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    least = schema.get("minimum", schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else None)
    most = schema.get("maximum")
    if least is not None and most is not None:
        return f" from {least} to {most}"
    return f", at least {least}" if least is not None else ""


def _default(model: type[BaseModel], name: str, kind: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or value in ("", (), {}, frozenset()):
        return ""
    return f"`{_size(value) if kind == 'size' else _yaml(value)}`"


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset | tuple | list):
        entries = sorted(map(_yaml, value)) if isinstance(value, frozenset) else map(_yaml, value)
        return f"[{', '.join(entries)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _size(value: int) -> str:
    for unit, factor in (("MB", 1024**2), ("KB", 1024)):
        if value and value % factor == 0:
            return f"{value // factor}{unit}"
    return str(value)


if __name__ == "__main__":
    sys.exit(write(TARGET, render, __file__, sys.argv[1:]))
