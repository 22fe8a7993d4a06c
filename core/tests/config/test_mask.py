from __future__ import annotations

import pytest
from pydantic import Field, SecretStr

from gateway import Config
from gateway.config.mask import looks_secret, mask
from gateway.config.places import Place, block_of
from gateway.config.shape import Shape


@pytest.mark.parametrize(
    "name",
    [
        "secret",
        "clientSecret",
        "REDIS_PASSWORD",
        "token",
        "authToken",
        "apiKey",
        "x-api-key",
        "privateKey",
        "Authorization",
    ],
)
def test_names_of_secrets(name):
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "keyFile",
        "publicKey",
        "tokenUrl",
        "tokenHeader",
        "privateKeyFile",
        "secretName",
        "passwordMinLength",
        "",
        "--",
    ],
)
def test_names_of_other_things(name):
    assert not looks_secret(name)


class Model(Config):
    hidden: SecretStr | None = None
    many: dict[str, SecretStr] = Field(default_factory=dict)
    listed: list[SecretStr] = Field(default_factory=list)


def masked(data):
    block = block_of(data, Place("f"))
    return mask(block, Shape(Model), block.place)


def test_what_a_model_keeps_secret_is_masked():
    assert masked({"hidden": "a", "many": {"x": "b"}, "listed": ["c", 5]}) == {
        "hidden": "***",
        "many": {"x": "***"},
        "listed": ["***", "***"],
    }


def test_what_is_called_like_a_secret_is_masked():
    assert masked({"tokens": ["a", "b"], "password": 5, "token": {"ttl": 5}, "secret": None, "apiKey": True}) == {
        "tokens": ["***", "***"],
        "password": "***",
        "token": {"ttl": 5},
        "secret": None,
        "apiKey": True,
    }


def test_credentials_in_urls_are_masked():
    assert masked({"url": "redis://user:pw@host:1/0?a=b@c", "mail": "a@b"}) == {
        "url": "redis://***@host:1/0?a=b@c",
        "mail": "a@b",
    }


def test_what_came_from_a_secret_variable_is_masked():
    block = block_of({"value": "a"}, Place("f"))
    block.places["value"].variables = ("DB_PASSWORD",)
    assert mask(block, Shape(), block.place) == {"value": "***"}
