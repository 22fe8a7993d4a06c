from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import Field, ValidationError

from gateway import Config, FilePath
from gateway.config.files import named_files


class Inner(Config):
    file: FilePath
    title: str = "not a file"


class Block(Config):
    one: FilePath | None = None
    many: tuple[FilePath, ...] = ()
    named: dict[str, Inner] = Field(default_factory=dict)
    deep: list[Inner] = Field(default_factory=list)


def configuration(**offers: Any) -> Any:
    nothing: dict[str, Any] = dict.fromkeys(
        ("adapters", "connectors", "discovery", "health_checkers", "observers", "admin_routes", "edge_policies"), ()
    )
    return SimpleNamespace(folder=Path("/etc/gateway"), **{**nothing, "rules": (), **offers})


def configured(**keys: Any) -> Any:
    return SimpleNamespace(config=Block.model_validate(keys))


def test_files_are_found_wherever_they_stand():
    block = configured(one="a.pem", many=["b.pem", "/c.pem"], named={"x": {"file": "d.pem"}}, deep=[{"file": "e.pem"}])
    found = named_files(configuration(adapters=(block,)))
    assert found == [
        Path("/etc/gateway/a.pem"),
        *map(Path("/etc/gateway").joinpath, ("b.pem", "/c.pem", "d.pem", "e.pem")),
    ]


def test_files_of_rules_count_once():
    shared = configured(one="a.pem")
    rule = SimpleNamespace(policies=(shared,), authenticators=(configured(one="b.pem"),), limiters=(), balancer=shared)
    found = named_files(configuration(connectors=(shared,), rules=(rule, rule)))
    assert found == [Path("/etc/gateway/a.pem"), Path("/etc/gateway/b.pem")]


def test_a_path_is_text_that_is_not_empty():
    for nonsense in ("", 7, ["a.pem"]):
        with pytest.raises(ValidationError):
            Block.model_validate({"one": nonsense})
    assert Block.model_validate({"one": "a.pem"}).model_dump(mode="json")["one"] == "a.pem"
    assert Block.model_json_schema()["properties"]["many"]["items"]["type"] == "string"
