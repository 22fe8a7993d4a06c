from __future__ import annotations

import dataclasses

import pytest
from pydantic import ValidationError

from gateway import Config, LimitConfig, NoConfig, PolicyRegistration, Stage


class Keys(Config):
    max_idle_conns: int = 1
    http2_port: int = 2
    x1y_z: int = 3


def test_yaml_keys_are_camel_case_and_field_names_work_too():
    assert Keys.model_validate({"maxIdleConns": 5, "http2Port": 6, "x1yZ": 7}) == Keys(
        max_idle_conns=5, http2_port=6, x1y_z=7
    )


def test_a_digit_does_not_begin_a_word():
    class Odd(Config):
        use_tls12only: bool = False

    assert Odd.model_validate({"useTls12only": True}).use_tls12only


def test_unknown_keys_are_refused_and_values_stay():
    with pytest.raises(ValidationError):
        Keys.model_validate({"maxIdleCons": 5})
    with pytest.raises(ValidationError):
        Keys().max_idle_conns = 3


@pytest.mark.parametrize("key", ["client", "principal", "route", "header:X-Api-Key"])
def test_whose_quota_a_limit_is(key):
    assert LimitConfig(key=key).key == key


@pytest.mark.parametrize("key", ["", "ip", "header", "header:", "header:a b", "header:ł", "Client"])
def test_any_other_limit_key_is_refused_with_the_configuration(key):
    with pytest.raises(ValidationError, match="'client', 'principal', 'route' or 'header:<name>'"):
        LimitConfig(key=key)


def test_a_registration_is_frozen_and_costs_nothing():
    registration = PolicyRegistration(name="p", build=lambda config, context: None)
    assert (registration.stage, registration.config, registration.default_on) == (Stage.TRANSFORM, NoConfig, False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        registration.name = "q"  # type: ignore[misc]  # which is what is tested
