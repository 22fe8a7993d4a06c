"""``Cache-Control`` and dates, as they are written."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["MAX_DELTA_S", "parse_directives", "parse_http_date", "seconds_of"]

MAX_DELTA_S = 2**31
"""RFC 9111 section 1.2.2: what is larger counts as this."""

_DIRECTIVE = re.compile(r'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?')


def parse_directives(values: Iterable[str]) -> Mapping[str, str | None]:
    """Return the directives of ``Cache-Control`` fields, names in lower case; of two with one name the first counts.

    What is not written as RFC 9111 section 5.2 has it is skipped.
    """
    found: dict[str, str | None] = {}
    for match in _DIRECTIVE.finditer(",".join(values)):
        name, quoted, plain = match.groups()
        found.setdefault(name.lower(), quoted if quoted is not None else plain)
    return found


def seconds_of(directives: Mapping[str, str | None], name: str) -> float | None:
    """Return the value of a directive in seconds; ``None`` without it, 0 if it is none (RFC 9111 section 4.2.1)."""
    if name not in directives:
        return None
    value = (directives[name] or "").strip()
    if not value.isascii() or not value.isdigit():
        return 0.0
    return float(min(int(value[:12]), MAX_DELTA_S))


def parse_http_date(text: str) -> float | None:
    """Return the Unix time of a date in one of the formats of RFC 9110 section 5.6.7; ``None`` if it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
