"""Statuses as operators write them: ``503``, ``5xx``, ``500-599``."""

from __future__ import annotations

import re

__all__ = ["parse_statuses"]

_STATUS = re.compile(r"([1-5])xx|([1-5]\d\d)(?:-([1-5]\d\d))?", re.IGNORECASE)


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
    return frozenset(status for value in values for status in _range(value))


def _range(value: object) -> range:
    match = _STATUS.fullmatch(str(value).strip())
    if match is not None and match[1]:
        return range(int(match[1]) * 100, int(match[1]) * 100 + 100)
    if match is not None:
        first, last = int(match[2]), int(match[3] or match[2])
        if first <= last:
            return range(first, last + 1)
    msg = f"{value!r} is not a status; write such as 503, 5xx or 500-504"
    raise ValueError(msg)
