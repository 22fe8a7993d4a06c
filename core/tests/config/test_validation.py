"""pydantic's errors in our words."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from gateway import Config, Duration, Size
from gateway.config.places import Place, plain
from gateway.config.report import Report
from gateway.config.source import read_text
from gateway.config.validation import validate


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def refuse(value):
    raise ValueError(f"{value} is bad; write another")


class Inner(Config):
    port: int
    host: str = "a"


class Model(Config):
    whole: int = 0
    ratio: float = 0.0
    truth: bool = False
    text: str = ""
    names: list[str] = Field(default_factory=list)
    pair: tuple[int, int] = (0, 0)
    table: dict[str, int] = Field(default_factory=dict)
    inner: Inner | None = None
    inners: list[Inner] = Field(default_factory=list)
    colour: Colour = Colour.RED
    mode: Literal["fast", "safe"] = "safe"
    either: int | Literal["auto"] = 1
    block_or_list: Inner | list[str] | None = None
    low: int = Field(default=5, ge=1, lt=10)
    high: float = Field(default=5, gt=1, le=10)
    short: str = Field(default="aa", min_length=2, max_length=3, pattern="^a+$")
    few: list[int] = Field(default=[1], min_length=1, max_length=2)
    wait_time: Duration = 1.0
    size: Size = 1
    bad: Annotated[str, BeforeValidator(refuse)] = ""
    secret: SecretStr | None = None
    api_token: Annotated[str, BeforeValidator(refuse)] = ""
    day: date | None = None
    several: list[Literal["a"]] | bool | Literal["b"] = False
    choice: Annotated[int, BeforeValidator(refuse)] | Annotated[str, BeforeValidator(refuse)] = 0
    even: int = 0

    @field_validator("even")
    @classmethod
    def _even(cls, value):
        if value % 2:
            msg = "must be even; add one"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _no_both(self):
        if self.whole == 77:
            msg = "whole must not be 77; write another"
            raise ValueError(msg)
        return self


def checked(text, model=Model, **environ):
    report = Report()
    block: Any = read_text(text, Place("f", line=1, column=1), environ, report)
    result = validate(model, block, report)
    return result, [str(problem) for problem in report.errors]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("whole: a", "f:1:8: whole: 'a' is not a whole number; write digits only"),
        ("whole: 1.5", "f:1:8: whole: 1.5 is not a whole number; write digits only"),
        ("whole: [1]", "f:1:8: whole: this list is not a whole number; write digits only"),
        ("ratio: {a: 1}", "f:1:8: ratio: this block is not a number; write digits only"),
        ("truth: 7", "f:1:8: truth: 7 is not true or false; write one of these"),
        ("text: true", "f:1:7: text: True is not text; put it in quotes"),
        ("text: [a]", "f:1:7: text: this list is not text; write a single value"),
        ("names: a", "f:1:8: names: 'a' is not a list; write its items in [ ], or each on its own line after '- '"),
        ("names: [a, true]", "f:1:12: names[1]: True is not text; put it in quotes"),
        ("pair: 1", "f:1:7: pair: 1 is not a list; write its items in [ ], or each on its own line after '- '"),
        ("table: [1]", "f:1:8: table: this list is not a block; write its keys below it, indented"),
        ("table: {a: b}", "f:1:12: table.a: 'b' is not a whole number; write digits only"),
        ("inner: 5", "f:1:8: inner: 5 is not a block; write its keys below it, indented"),
        ("inner: {}", "f:1:1: inner.port: the key is missing; write 'port: ...' here"),
        ("inner: {port: 1, hst: a}", "f:1:18: inner.hst: unknown key; did you mean 'host'?"),
        ("inners: [{port: 1}, {}]", "f:1:21: inners[1].port: the key is missing; write 'port: ...' here"),
        ("colour: rd", "f:1:9: colour: 'rd' is not one of 'red' or 'blue'; did you mean 'red'?"),
        ("mode: quick", "f:1:7: mode: 'quick' is not one of 'fast' or 'safe'; write one of these"),
        ("either: x", "f:1:9: either: 'x' is neither a whole number nor 'auto'; write one of these"),
        ("block_or_list: 5", "f:1:1: block_or_list: unknown key; did you mean 'blockOrList'?"),
        ("blockOrList: 5", "f:1:14: blockOrList: 5 is neither a block nor a list; write one of these"),
        ("blockOrList: {port: a}", "f:1:21: blockOrList.port: 'a' is not a whole number; write digits only"),
        ("low: 0", "f:1:6: low: 0 is too small; write 1 or more"),
        ("low: 10", "f:1:6: low: 10 is too large; write less than 10"),
        ("high: 1", "f:1:7: high: 1 is too small; write more than 1.0"),
        ("high: 11", "f:1:7: high: 11 is too large; write 10.0 or less"),
        ("short: a", "f:1:8: short: 'a' is too short; write 2 characters or more"),
        ("short: aaaa", "f:1:8: short: 'aaaa' is too long; write 3 or fewer characters"),
        ("short: bb", "f:1:8: short: 'bb' does not match '^a+$'; change it so"),
        ("few: []", "f:1:6: few: this list has too few entries; write 1 or more"),
        ("few: [1, 2, 3]", "f:1:6: few: this list has too many entries; write 2 or fewer"),
        (
            "waitTime: soon",
            "f:1:11: waitTime: 'soon' is not a duration; write a number or a text such as '30s', '5m' or '2",
        ),
        ("size: 1XB", "f:1:7: size: '1XB' is not a size; write bytes or a text such as '8KB' or '10MB'"),
        ("bad: worse", "f:1:6: bad: 'worse': worse is bad; write another"),
        ("day: soon", "f:1:6: day: 'soon' cannot be used: it should be a valid date or datetime"),
        ("several: c", "f:1:10: several: 'c' is neither a list nor true or false nor 'b'; write one of these"),
        ("choice: x1", "f:1:9: choice: 'x1': x1 is bad; write another"),
        ("even: 3", "f:1:7: even: 3: must be even; add one"),
        ("whole: 77", "f:1:1: whole must not be 77; write another"),
        ("wole: 1", "f:1:1: wole: unknown key; did you mean 'whole'?"),
        ("zzzzz: 1", "f:1:1: zzzzz: unknown key; remove it"),
        (f"whole: {'x' * 99}", "f:1:8: whole: 'xxxxxxxxxxxx...xxxxxxxxxxxxx' is not a whole number; write digits only"),
    ],
)
def test_every_mistake_is_quoted_with_its_place_and_a_remedy(text, problem):
    result, (found,) = checked(text)
    assert result is None
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("secret: [a, b]", "f:1:9: secret: this list is not text; write a single value"),
        ("secret: true", "f:1:9: secret: '***' is not text; put it in quotes"),
        ("apiToken: hunter2", "f:1:11: apiToken: '***': *** is bad; write another"),
        ("whole: ${DB_PASSWORD}", "f:1:8: whole: '***' is not a whole number; write digits only"),
        ("whole: 'redis://u:hunter2@h'", "f:1:8: whole: 'redis://***@h' is not a whole number; write digits only"),
    ],
)
def test_secrets_are_not_quoted(text, problem):
    result, found = checked(text, DB_PASSWORD="hunter2")
    assert result is None
    assert found == [problem]


def test_null_is_the_default_where_the_model_takes_none():
    result, problems = checked("whole: null\nnames:\ninner: {port: 1, host: null}\nsecret: ~")
    assert problems == []
    assert (result.whole, result.names, result.inner.host, result.secret) == (0, [], "a", None)


def test_null_is_missing_where_there_is_no_default():
    assert checked("inner: {port: null}")[1] == ["f:1:1: inner.port: the key is missing; write 'port: ...' here"]


def test_null_in_a_list_is_no_default():
    assert checked("names: [null]")[1] == ["f:1:9: names[0]: None is not text; put it in quotes"]


def test_a_number_is_text_as_it_is_written_where_text_is_wanted():
    result, problems = checked("text: 1.10\nnames: [007, 0x1F]\ninner: {port: 1, host: 10}")
    assert problems == []
    assert (result.text, result.names, result.inner.host) == ("1.10", ["007", "0x1F"], "10")


def test_a_variable_that_is_missing_is_the_only_thing_said_of_its_value():
    assert checked("whole: ${NOWHERE}")[1] == [
        "f:1:8: whole: the environment variable NOWHERE is not set; set it, or write ${NOWHERE:-default}"
    ]


def test_keys_that_may_be_missing():
    report = Report()
    block: Any = read_text("hst: a", Place("f", line=1, column=1), {}, report)
    assert validate(Inner, block, report, may_lack=["port"]) is None
    assert [str(problem) for problem in report.errors] == ["f:1:1: hst: unknown key; did you mean 'host'?"]


def test_the_block_is_not_changed():
    report = Report()
    block: Any = read_text("whole: null\ntext: 5\ninner: {port: 1, host: 5}", Place("f", line=1, column=1), {}, report)
    validate(Model, block, report)
    assert plain(block) == {"whole": None, "text": 5, "inner": {"port": 1, "host": 5}}
