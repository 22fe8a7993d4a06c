from __future__ import annotations

import json

import pytest

from gateway.config import configuration_schema
from gateway.config.model import GatewayConfig, RuleConfig


@pytest.fixture
def schema(load, index):
    index.add("cors", "ratelimit", "jwt", "affinity", "healthcheck")
    return configuration_schema(load("gateway:\n").host)


def test_it_is_json(schema):
    assert json.loads(json.dumps(schema)) == schema
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_it_knows_the_blocks_of_the_core_and_of_plugins(schema):
    gateway = schema["properties"]["gateway"]["properties"]
    assert gateway["workers"]["description"].startswith("How many processes serve")
    assert gateway["frontend"]["properties"]["http"]["properties"]["port"]["maximum"] == 65535
    assert gateway["auth"]["properties"]["jwt"]["properties"]["secret"]["anyOf"][0]["writeOnly"] is True
    reserved = {"enabled", "latencyBudget", "mode", "onError", "quarantine"}
    assert set(gateway["cors"]["properties"]) == {"allowedOrigins", "maxAge", *reserved}
    assert set(gateway["health"]["properties"]) == {"enabled"}
    assert set(gateway["sessionAffinity"]["properties"]) == {"cookieName"}
    assert gateway["cors"]["additionalProperties"] is False
    assert gateway["frontend"]["properties"]["http"]["description"] == "HTTP/1.1 for clients"


def test_it_knows_the_keys_of_rules(schema):
    rules = schema["properties"]["gateway"]["properties"]["router"]["properties"]["rules"]
    rule = rules["items"]
    assert rule["required"] == ["path"]
    assert rule["properties"]["rateLimit"] == {"minimum": 0, "type": "integer"}
    assert "maxAge" in rule["properties"]["cors"]["properties"]
    assert set(rule["properties"]["auth"]["properties"]) == {"required", "scopes", "type", "jwt"}
    assert "round_robin" in rule["properties"]["plugins"]["properties"]


def test_every_reference_leads_somewhere(schema):
    def references(part):
        if isinstance(part, dict):
            yield from [part["$ref"]] if "$ref" in part else []
            for value in part.values():
                yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    found = set(references(schema))
    assert found
    assert all(reference.removeprefix("#/$defs/") in schema["$defs"] for reference in found)


def test_there_are_no_titles_made_of_names(schema):
    assert '"title": "Workers"' not in json.dumps(schema)


@pytest.mark.parametrize("model", [GatewayConfig, RuleConfig])
def test_every_key_of_the_core_is_described(model):
    for name, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{name}"
        inner = field.annotation
        for inner_name, inner_field in getattr(inner, "model_fields", {}).items():
            assert inner_field.description, f"{inner.__name__}.{inner_name}"
