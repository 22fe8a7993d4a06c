from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import pytest
from pydantic import AliasChoices, Field, SecretStr
from typing_extensions import TypeAliasType

from gateway import Config
from gateway.config.shape import NOTHING, Shape


class Inner(Config):
    max_age: int = 0


class Model(Config):
    inner: Annotated[Inner | None, "note"] = None
    inners: list[Inner] = Field(default_factory=list)
    table: Mapping[str, Inner] = Field(default_factory=dict)
    secret: SecretStr | None = None
    names: set[str] = Field(default_factory=set)
    name_or_names: str | list[str] = ""
    old: int = Field(default=0, validation_alias=AliasChoices("new", "older"))


def test_keys_are_those_of_the_yaml():
    assert set(Shape(Model).keys) == {"inner", "inners", "table", "secret", "names", "nameOrNames", "new", "older"}


@pytest.mark.parametrize("keys", [("inner",), ("inners", 3), ("table", "any")])
def test_models_are_found_in_options_lists_and_tables(keys):
    assert set(Shape(Model).at(keys).keys) == {"maxAge"}


def test_what_may_stand_somewhere():
    shape = Shape(Model)
    assert shape.below("secret").is_secret
    assert not shape.below("names").is_secret
    assert shape.below("names").is_list
    assert not shape.below("nameOrNames").is_list
    assert shape.below("table").is_mapping
    assert shape.at(("inner", "maxAge")).types == (int,)
    assert Shape(str).is_text
    assert not Shape(str, list[str]).is_text


def test_aliases_of_types_stand_for_them():
    assert set(Shape(TypeAliasType("Inners", list[Inner])).below(0).keys) == {"maxAge"}


def test_nothing_is_known_of_unknown_keys():
    assert Shape(Model).below("zzz") is NOTHING
    assert NOTHING.below("a") is NOTHING
    assert not NOTHING.is_text


def test_further_keys_and_entries():
    shape = Shape(Model, blocks=lambda: {"extra": Shape(int), "rules": Shape(entries=Shape(Inner))})
    assert shape.below("extra").types == (int,)
    assert set(shape.at(("rules", 0)).keys) == {"maxAge"}
    both = Shape.of_all([Shape(Inner), Shape(Model)])
    assert {"maxAge", "inner"} <= set(both.keys)
