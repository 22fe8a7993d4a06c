"""Blocks → models, and pydantic's errors → messages that point at the file.

Two things are forgiven, because whoever wrote them meant something sensible:

- ``null`` where the model takes none is the key's default, as if the key were not there;
- a number where text is wanted is the text as it is written: ``version: 1.10``, ``password: 0815``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.config.mask import is_secret_place
from gateway.config.messages import describe
from gateway.config.places import Block, assign, dotted, find_entry, plain
from gateway.config.shape import Shape
from gateway.config.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from pydantic_core import ErrorDetails

    from gateway.config.places import Place, Value
    from gateway.config.report import Report

__all__ = ["unknown_key", "validate"]

M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], block: Block, report: Report, *, may_lack: Collection[str] = ()) -> M | None:
    """Return ``block`` as a ``model``, or ``None`` after reporting what is wrong with it.

    Args:
        model: What it is to be.
        block: Its keys and values.
        report: Takes the problems.
        may_lack: Keys of which it is not reported that they are missing.

    Raises:
        Exception: Whatever a validator raises that pydantic does not take for a refusal; a bug of the model's author.
    """
    while True:
        try:
            return model.model_validate(plain(block), by_alias=True, by_name=False)
        except ValidationError as error:
            details = error.errors(include_url=False)
        mended = _mend(block, details)
        if mended is None:
            _Translation(model, block, report).report([each for each in details if not _may_lack(each, may_lack)])
            return None
        block = mended


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the message for a key that nobody reads."""
    close = closest(key, known)
    return f"unknown key; did you mean {close!r}?" if close else "unknown key; remove it"


def _may_lack(detail: ErrorDetails, keys: Collection[str]) -> bool:
    return detail["type"] == "missing" and len(detail["loc"]) == 1 and detail["loc"][0] in keys


# What is forgiven.


def _mend(block: Block, details: Sequence[ErrorDetails]) -> Block | None:
    """Return the block with what can be forgiven put right, or ``None`` if that is nothing."""
    mended = block
    for detail in details:
        spot = _locate(mended, detail["loc"])
        if spot.keys and detail["type"] not in ("missing", "extra_forbidden"):
            mended = _mend_entry(mended, spot, detail["type"])
    return None if mended is block else mended


def _mend_entry(block: Block, spot: _Spot, error_type: str) -> Block:
    if spot.value is None and isinstance(spot.keys[-1], str):
        return _without(block, spot.keys)
    is_number = isinstance(spot.value, int | float) and not isinstance(spot.value, bool)
    if error_type == "string_type" and is_number and spot.place.text is not None:
        return assign(block, spot.keys, spot.place.text, spot.place)
    return block


def _without(block: Block, keys: Sequence[str | int]) -> Block:
    parent = _locate(block, keys[:-1])
    assert isinstance(parent.value, Block)  # noqa: S101 - the last key is text
    smaller = parent.value.copy()
    smaller.drop(str(keys[-1]))
    return assign(block, parent.keys, smaller, parent.place) if parent.keys else smaller


# Where an error is.


@dataclass(frozen=True, slots=True)
class _Spot:
    """The value an error is about, as far as it exists."""

    keys: tuple[str | int, ...]
    value: Value
    place: Place


def _locate(block: Block, loc: Sequence[str | int]) -> _Spot:
    """Follow pydantic's location through the data; what it says of unions and validators has no counterpart there."""
    value: Value = block
    place, keys = block.place, []
    for key in loc:
        entry = find_entry(value, key)
        if entry is not None:
            value, place = entry
            keys.append(key)
    return _Spot(tuple(keys), value, place)


class _Translation:
    """Turns the errors of one block into problems."""

    def __init__(self, model: type[BaseModel], block: Block, report: Report) -> None:
        self._shape = Shape(model)
        self._block = block
        self._report = report

    def report(self, details: Sequence[ErrorDetails]) -> None:
        by_spot: dict[tuple[str | int, ...], list[ErrorDetails]] = {}
        for detail in details:
            if detail["type"] == "missing":
                self._missing(detail)
            elif detail["type"] == "extra_forbidden":
                self._extra(detail)
            else:
                by_spot.setdefault(_locate(self._block, detail["loc"]).keys, []).append(detail)
        for keys, about in by_spot.items():
            # Of a union, the branch that got further into the value is the one that was meant.
            if not any(other[: len(keys)] == keys for other in by_spot if other != keys):
                self._wrong(keys, about)

    def _missing(self, detail: ErrorDetails) -> None:
        *above, key = detail["loc"]
        spot = _locate(self._block, above)
        # What nobody wrote, such as the block of a balancer that only a rule names, stands nowhere.
        where = "here" if spot.place.line else f"in a block {dotted(spot.place.keys)}"
        path = dotted((*spot.place.keys, key))
        self._report.error(f"the key is missing; write '{key}: ...' {where}", key=spot.place, path=path)

    def _extra(self, detail: ErrorDetails) -> None:
        spot = _locate(self._block, detail["loc"])
        known = self._shape.at(spot.keys[:-1]).keys
        self._report.error(unknown_key(str(spot.keys[-1]), known), key=spot.place)

    def _wrong(self, keys: tuple[str | int, ...], about: Sequence[ErrorDetails]) -> None:
        spot = _locate(self._block, keys)
        is_secret = self._shape.at(keys).is_secret or is_secret_place(spot.place)
        self._report.error(describe(about, spot.value, is_secret=is_secret), value=spot.place)
