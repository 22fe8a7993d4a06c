"""Durations, sizes and statuses as operators write them."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

__all__ = ["Duration", "FilePath", "Milliseconds", "Size", "Statuses", "parse_duration", "parse_size", "parse_statuses"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KIB|MIB|GIB)", re.IGNORECASE)
_STATUS = re.compile(r"([1-5])xx|([1-5]\d\d)(?:-([1-5]\d\d))?", re.IGNORECASE)
_BYTES = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}


def parse_duration(value: Any, *, unit_s: float = 1.0) -> float:  # noqa: ANN401 - what pydantic hands to a validator
    """Return seconds for ``30``, ``"30s"``, ``"1m30s"``, ``"250ms"``, ``"1.5h"`` or ``"2d"``.

    Args:
        value: A number in units of ``unit_s``, or text with units.
        unit_s: What a bare number counts, in seconds.

    Raises:
        ValueError: If it is neither, negative or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        msg = f"{value!r} is not a duration; write a number or a text such as '30s', '5m' or '250ms'"
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a message, TypeError into a crash
    if isinstance(value, str):
        text = value.strip()
        try:
            value = float(text)
        except ValueError:
            return _parse_duration_text(text)
    if not 0 <= value < float("inf"):
        msg = f"{value!r} is not a duration; it must be 0 or more"
        raise ValueError(msg)
    return float(value) * unit_s


def _parse_duration_text(text: str) -> float:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != re.sub(r"\s", "", text):
        msg = f"{text!r} is not a duration; write a number or a text such as '30s', '5m' or '250ms'"
        raise ValueError(msg)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds == float("inf"):
        msg = f"{text!r} is not a duration; it is longer than anything"
        raise ValueError(msg)
    return seconds


def parse_size(value: Any) -> int:  # noqa: ANN401 - what pydantic hands to a validator
    """Return bytes for ``1048576``, ``"8KB"``, ``"1MB"`` or ``"1.5GB"`` (powers of 1024).

    Raises:
        ValueError: If it is none of these, or negative.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        text = value.strip()
        if text.isdecimal():
            return int(text)
        if (match := _SIZE.fullmatch(text)) is not None:
            with contextlib.suppress(OverflowError):
                return int(float(match[1]) * _BYTES[match[2].lower()])
    msg = f"{value!r} is not a size; write bytes or a text such as '8KB' or '10MB'"
    raise ValueError(msg)


def parse_statuses(values: object) -> frozenset[int]:
    """Return the statuses that a list means.

    Args:
        values: Numbers, classes (``5xx``) and ranges (``500-504``); one of them may stand without a list.

    Raises:
        ValueError: If one is none of these.
    """
    if isinstance(values, int | str):
        values = [values]
    if not isinstance(values, list | tuple | set | frozenset):
        msg = f"{values!r} is not a list of statuses; write such as [500, 502-504] or [5xx]"
        raise ValueError(msg)  # noqa: TRY004 - pydantic turns ValueError into a message, TypeError into a crash
    return frozenset(status for value in values for status in _statuses_of(value))


def _statuses_of(value: object) -> range:
    match = _STATUS.fullmatch(str(value).strip())
    if match is not None and match[1]:
        return range(int(match[1]) * 100, int(match[1]) * 100 + 100)
    if match is not None:
        first, last = int(match[2]), int(match[3] or match[2])
        if first <= last:
            return range(first, last + 1)
    msg = f"{value!r} is not a status; write such as 503, 5xx or 500-504"
    raise ValueError(msg)


_PATTERN = r"^\s*(\d+(\.\d+)?|(\d+(\.\d+)?\s*(ms|s|m|h|d)\s*)+)\s*$"
_DURATION_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _PATTERN}],
}

Duration = Annotated[
    float, BeforeValidator(parse_duration), WithJsonSchema(_DURATION_SCHEMA | {"description": "seconds, or '5m'"})
]
"""Seconds; a bare number counts seconds."""

Milliseconds = Annotated[
    float,
    BeforeValidator(lambda value: parse_duration(value, unit_s=0.001)),
    WithJsonSchema(_DURATION_SCHEMA | {"description": "milliseconds, or '5m'"}),
]
"""Seconds; a bare number counts milliseconds, as the mission's ``retry.initialDelay`` does."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "description": "bytes, or '8MB'"}
    ),
]
"""Bytes."""

Statuses = Annotated[
    frozenset[int],
    BeforeValidator(parse_statuses),
    WithJsonSchema({"type": "array", "items": {"type": ["integer", "string"]}}),
]
"""Statuses of HTTP, written as ``503``, ``5xx`` and ``500-504``."""


class FilePath(str):
    """A path in the configuration to a file that its component reads when it is built, such as a certificate.

    A change of the file is a reason to reload, as one of the configuration is. The component says in ``is_current()``
    whether it has to be built anew then.
    """

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Take what is text."""
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(min_length=1), serialization=core_schema.to_string_ser_schema()
        )
