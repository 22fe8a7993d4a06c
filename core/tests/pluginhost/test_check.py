"""What registrations must be like."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field

from gateway import (
    CommandRegistration,
    Config,
    LimitConfig,
    LimiterRegistration,
    NoConfig,
    ObserverRegistration,
    PolicyRegistration,
)
from gateway.pluginhost.check import check_offers, model_keys


class Lenient(BaseModel):
    value: int = 0


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    value: int = 0


class Greedy(Config):
    enabled: bool = True
    on_error: str = ""


class Sneaky(Config):
    value: bool = Field(default=True, alias="enabled")


def policy(**options: Any):
    return PolicyRegistration(**{"name": "p", "build": print, **options})


@pytest.mark.parametrize(
    "offer",
    [
        policy(),
        policy(config=Strict, path="a.b-c.d_1", rule_key="x", rule_keys={"y": "value"}),
        LimiterRegistration(name="l", build=print, config=LimitConfig),
        CommandRegistration(name="new-plugin", run=lambda arguments: 0),
    ],
)
def test_fine_registrations(offer):
    assert list(check_offers([offer])) == []


@pytest.mark.parametrize(
    ("offer", "problem"),
    [
        (policy(name=""), "policy '': a name consists of letters, digits, '_' and '-'"),
        (policy(config=dict), "policy 'p': config is <class 'dict'>; make it a class that extends gateway.Config"),
        (policy(config=NoConfig()), "policy 'p': config is NoConfig(); make it a class that extends gateway.Config"),
        (
            policy(config=Lenient),
            "policy 'p': Lenient lets unknown keys pass; extend gateway.Config, or set extra='forbid'",
        ),
        (
            policy(config=Sneaky),
            "policy 'p': Sneaky has a field 'enabled', which the core reads itself; give it another",
        ),
        (
            LimiterRegistration(name="l", build=print),
            "limiter 'l': NoConfig must extend gateway.LimitConfig, of which the core reads 'key'",
        ),
        (
            policy(path="a..b"),
            "policy 'p': 'a..b' is not a place in the configuration; write keys with dots between them",
        ),
        (
            policy(rule_key=".a"),
            "policy 'p': '.a' is not a place in the configuration; write keys with dots between them",
        ),
        (
            ObserverRegistration(name="o", build=print, rule_key="o"),
            "observer 'o': a rule cannot configure it; remove rule_key and rule_keys",
        ),
        (policy(rule_keys={"a": "b"}), "policy 'p': rule_keys sends 'a' to 'b', which NoConfig does not have"),
    ],
)
def test_registrations_that_cannot_be_used(offer, problem):
    (found,) = check_offers([offer])
    assert found.startswith(problem)


def test_every_reserved_key_is_named():
    assert [problem.split("'")[3] for problem in check_offers([policy(config=Greedy)])] == [
        "enabled",
        "onError",
        "on_error",
    ]


def test_keys_of_models_are_those_of_the_yaml():
    class Model(Config):
        max_age: int = 0
        old: int = Field(default=0, validation_alias=AliasChoices("new", AliasPath("a", "b"), "newer"))
        other: int = Field(default=0, validation_alias="else")
        path: int = Field(default=0, validation_alias=AliasPath("a", "b"))

    assert model_keys(Model) == {
        "maxAge": "max_age",
        "new": "old",
        "newer": "old",
        "else": "other",
        "path": "path",
    }
    assert model_keys(Strict) == {"value": "value"}
