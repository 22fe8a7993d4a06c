"""One JSON Schema of the core and everything installed, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from gateway.config.claims import gateway_tree
from gateway.config.effective import MAY_FAIL
from gateway.config.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from gateway.config.claims import Claim, Node
    from gateway.pluginhost import PluginHost

__all__ = ["configuration_schema"]

_ENABLED: dict[str, Any] = {"enabled": {"type": "boolean", "default": True, "description": "Whether this is on."}}
_ON_ERROR: dict[str, Any] = {
    "onError": {
        "enum": ["deny", "allow"],
        "default": "deny",
        "description": "What happens to a request when this fails; `allow` leaves it out, where that is safe.",
    },
    "mode": {
        "enum": ["enforce", "shadow"],
        "default": "enforce",
        "description": "`shadow` decides and records what it would have done, and lets every request pass.",
    },
}
_BUDGET: dict[str, Any] = {
    "latencyBudget": {
        "type": ["number", "string"],
        "description": "Seconds, or `5ms`, that this itself may take for a request; overruns are counted.",
    },
    "quarantine": {
        "type": "object",
        "description": "Leaves this out for a while when it keeps failing or overrunning.",
        "properties": {
            "failures": {"type": "integer", "minimum": 1, "default": 5, "description": "How many are too many."},
            "within": {"type": ["number", "string"], "default": "60s", "description": "In which time."},
            "for": {"type": ["number", "string"], "default": "5m", "description": "How long it is left out."},
        },
        "additionalProperties": False,
    },
}


def configuration_schema(host: PluginHost) -> dict[str, Any]:
    """Return the schema of a configuration file (JSON Schema 2020-12).

    Args:
        host: The plugins; what they offer is part of it.
    """
    gateway = gateway_tree(host, Report())
    models = list(dict.fromkeys(_models(gateway)))
    refs, definitions = models_json_schema([(model, "validation") for model in models], by_alias=True)
    builder = _Builder({model: refs[model, "validation"] for model in models}, definitions.get("$defs", {}))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Gateway configuration",
        "type": "object",
        "properties": {"gateway": _without_titles(builder.block(gateway))},
        "required": ["gateway"],
        "patternProperties": {"^x-": {"description": "Anything, for YAML anchors."}},
        "additionalProperties": False,
        "$defs": _without_titles(definitions.get("$defs", {})),
    }


def _models(node: Node) -> Iterator[type[BaseModel]]:
    if node.core is not None:
        yield node.core
    for claim in node.claims:
        yield claim.registration.config
    for child in (*node.children.values(), *node.lists.values()):
        yield from _models(child)


class _Builder:
    """Makes schemas of blocks.

    Args:
        refs: The reference to each model's schema.
        definitions: The schemas referred to.
    """

    def __init__(self, refs: dict[type[BaseModel], dict[str, Any]], definitions: dict[str, Any]) -> None:
        self._refs = refs
        self._definitions = definitions

    def block(self, node: Node) -> dict[str, Any]:
        """Return the schema of a block: the keys of the core, of the offers that read it, and the blocks in it."""
        properties: dict[str, Any] = {}
        required: list[str] = []
        if node.core is not None:
            model = self._model(node.core)
            properties |= {key: schema for key, schema in model["properties"].items() if key in node.core_keys}
            required += [key for key in model.get("required", ()) if key in node.core_keys]
        described = dict.fromkeys(claim.registration.summary for claim in node.claims if claim.registration.summary)
        for claim in node.claims:
            properties |= self._model(claim.registration.config).get("properties", {}) | _reserved(claim)
        for key, entry in node.lists.items():
            properties[key] = {"type": ["array", "null"], "items": self.block(entry)}
        for key, child in sorted(node.children.items()):
            properties[key] = self._child(child)
        schema: dict[str, Any] = {"type": ["object", "null"], "properties": properties, "additionalProperties": False}
        if required:
            schema["required"] = required
        if described:
            schema["description"] = "; ".join(described)
        return schema

    def _child(self, node: Node) -> dict[str, Any]:
        single = next((claim for claim in node.claims if claim.config_key is not None), None)
        return self._key(single) if single is not None else self.block(node)

    def _key(self, claim: Claim) -> dict[str, Any]:
        """Return the schema of a single key that sets one of an offer's configuration."""
        schema = self._model(claim.registration.config)
        for key in str(claim.config_key).split("."):
            schema = self._resolved(schema).get("properties", {}).get(key, {})
        return schema

    def _model(self, model: type[BaseModel]) -> dict[str, Any]:
        return self._resolved(self._refs[model])

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        ref = schema.get("$ref")
        found: dict[str, Any] = self._definitions[ref.rpartition("/")[2]] if ref is not None else schema
        return found


def _reserved(claim: Claim) -> dict[str, Any]:
    """Return the keys that the core reads of an offer's block."""
    kind = claim.registration.kind
    if kind == "balancer":
        return {}
    if kind == "policy":
        return _ENABLED | _ON_ERROR | _BUDGET
    return _ENABLED | _ON_ERROR if kind in MAY_FAIL else _ENABLED


def _without_titles(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Return the schema without the titles that pydantic makes of names."""
    if isinstance(schema, dict):
        return {
            key: _without_titles(value) for key, value in schema.items() if key != "title" or not isinstance(value, str)
        }
    return [_without_titles(entry) for entry in schema] if isinstance(schema, list) else schema
