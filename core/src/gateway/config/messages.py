"""What pydantic's errors are called for whoever wrote the configuration."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from gateway.config.mask import MASK, mask_credentials
from gateway.config.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from gateway.config.places import Value

__all__ = ["describe"]


def describe(about: Sequence[ErrorDetails], value: Value, *, is_secret: bool) -> str:
    """Return the message for a value: what it is not, and what to write instead.

    Args:
        about: Its errors; several if it could have been one of several things.
        value: The value.
        is_secret: Whether it must not be shown.
    """
    shown = _shown(value, is_secret=is_secret)
    # Of a union, the branch whose type the value has is the one that was meant.
    meant = [detail for detail in about if not _is_about_type(detail)][:1] or about
    message = _message(meant[0], shown, value) if len(meant) == 1 else _one_of_many(shown, meant)
    # What a model says of a value may quote it.
    return message.replace(str(value), MASK) if is_secret and str(value) else message


_EXPECTED: Mapping[str, tuple[str, str]] = {
    "int_type": ("a whole number", "write digits only"),
    "int_parsing": ("a whole number", "write digits only"),
    "int_from_float": ("a whole number", "write digits only"),
    "float_type": ("a number", "write digits only"),
    "float_parsing": ("a number", "write digits only"),
    "bool_type": ("true or false", "write one of these"),
    "bool_parsing": ("true or false", "write one of these"),
    "string_type": ("text", "put it in quotes"),
    "list_type": ("a list", "write its items in [ ], or each on its own line after '- '"),
    "dict_type": ("a block", "write its keys below it, indented"),
}
_SAME = {
    "tuple_type": "list_type",
    "set_type": "list_type",
    "frozen_set_type": "list_type",
    "iterable_type": "list_type",
    "model_type": "dict_type",
    "model_attributes_type": "dict_type",
    "mapping_type": "dict_type",
    "dataclass_type": "dict_type",
}


def _message(detail: ErrorDetails, shown: str, value: Value) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("value_error", "assertion_error"):
        return _said_by_model(str(context.get("error", detail["msg"])), shown, value)
    if kind in ("literal_error", "enum"):
        return f"{shown} is not one of {context['expected']}; {_choice(str(context['expected']), value)}"
    if (limit := _LIMITS.get(kind)) is not None:
        return limit(shown, context)
    expected = _expected(kind)
    if expected is not None:
        return f"{shown} is not {expected[0]}; {_remedy(expected[1], value)}"
    said = detail["msg"].removeprefix("Input ")
    return f"{shown} cannot be used: it {said}" if said != detail["msg"] else f"{shown} cannot be used: {said}"


def _is_about_type(detail: ErrorDetails) -> bool:
    return _expected(detail["type"]) is not None or detail["type"] in ("literal_error", "enum")


def _expected(kind: str) -> tuple[str, str] | None:
    return _EXPECTED.get(_SAME.get(kind, kind))


def _remedy(remedy: str, value: Value) -> str:
    return "write a single value" if remedy == "put it in quotes" and isinstance(value, dict | list) else remedy


def _one_of_many(shown: str, about: Sequence[ErrorDetails]) -> str:
    """Return what to say of a value that is none of several things."""
    said: dict[str, None] = {}
    for detail in about:
        expected = _expected(detail["type"])
        said[expected[0] if expected is not None else str(detail["ctx"]["expected"])] = None
    return f"{shown} is neither {' nor '.join(said)}; write one of these"


def _said_by_model(said: str, shown: str, value: Value) -> str:
    is_quoted = isinstance(value, dict | list) or shown in said or repr(value) in said
    return said if is_quoted else f"{shown}: {said}"


def _choice(expected: str, value: Value) -> str:
    choices = [choice.strip("' ") for choice in expected.replace(" or ", ", ").split(",")]
    remedy = did_you_mean(str(value), choices)
    return "write one of these" if remedy.startswith("known") else remedy


_LIMITS: Mapping[str, Callable[[str, Mapping[str, Any]], str]] = {
    "greater_than": lambda shown, context: f"{shown} is too small; write more than {context['gt']}",
    "greater_than_equal": lambda shown, context: f"{shown} is too small; write {context['ge']} or more",
    "less_than": lambda shown, context: f"{shown} is too large; write less than {context['lt']}",
    "less_than_equal": lambda shown, context: f"{shown} is too large; write {context['le']} or less",
    "string_too_short": lambda shown, context: (
        f"{shown} is too short; write {context['min_length']} characters or more"
    ),
    "string_too_long": lambda shown, context: f"{shown} is too long; write {context['max_length']} or fewer characters",
    "string_pattern_mismatch": lambda shown, context: f"{shown} does not match {context['pattern']!r}; change it so",
    "too_short": lambda shown, context: f"{shown} has too few entries; write {context['min_length']} or more",
    "too_long": lambda shown, context: f"{shown} has too many entries; write {context['max_length']} or fewer",
}


def _shown(value: Value, *, is_secret: bool) -> str:
    if isinstance(value, dict):
        return "this block"
    if isinstance(value, list):
        return "this list"
    if is_secret:
        return repr(MASK)
    return reprlib.repr(mask_credentials(value)) if isinstance(value, str) else repr(value)
