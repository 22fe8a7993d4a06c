from __future__ import annotations

import pytest
from pydantic import SecretStr

from gateway import Config
from gateway.config.fingerprint import fingerprint


class Model(Config):
    value: object = None


class Other(Model):
    pass


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1),
        ([1, {"a": {2}}], [1, {"a": {2}}]),
        (Model(value=[1]), Model(value=[1])),
        (SecretStr("a"), SecretStr("a")),
        (frozenset({1, 2}), frozenset({2, 1})),
    ],
)
def test_equal_values_have_equal_fingerprints(one, other):
    assert fingerprint(one) == fingerprint(other)
    assert hash(fingerprint(one)) == hash(fingerprint(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (1, "1"),
        ([1], (1,)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (Model(), Other()),
        (Model(value=1), Model(value=True)),
        (SecretStr("a"), SecretStr("b")),
        (bytearray(b"a"), bytearray(b"b")),
    ],
)
def test_different_values_have_different_fingerprints(one, other):
    assert fingerprint(one) != fingerprint(other)


class Unhashable:
    __hash__ = None  # type: ignore[assignment]


def test_what_cannot_be_hashed_is_itself_only():
    thing = Unhashable()
    assert fingerprint(thing) == fingerprint(thing)
    assert hash(fingerprint(thing)) == hash(fingerprint(thing))
    assert fingerprint(thing) != fingerprint(Unhashable())
