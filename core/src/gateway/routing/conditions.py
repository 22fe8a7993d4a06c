r"""Conditions on the header fields and the query of a request.

A condition is written in one of these ways; in a list each item has its ``name`` beside it:

```yaml
headers:
  X-Tenant: acme                           # this value
  User-Agent: Mobile/*                     # '*' stands for any text
  X-Version: [v1, v2]                      # one of these
  X-Build: {match: regex, value: '\d+'}     # the whole value matches
  X-Beta: {present: true}                  # sent at all; false: not sent
```
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypedDict
from urllib.parse import parse_qs

from gateway.routing.glob import Glob

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Condition",
    "Facts",
    "HeaderCondition",
    "HeaderLookup",
    "QueryCondition",
    "build_test",
    "parse_header_conditions",
    "parse_query_conditions",
]


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class HeaderLookup(Protocol):
    """The header fields of a request, as far as routes ask for them; names are given in lower case."""

    def get(self, name: str, /) -> str | None:
        """Return the first value of ``name``, or ``None``."""
        ...

    def get_all(self, name: str, /) -> list[str]:
        """Return every value of ``name``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What one field or parameter must be like; of several values, one that is so is enough.

    Attributes:
        name: Of the field or parameter.
        present: Whether it must have been sent, or must not.
        values: One of these must be the value, in which ``*`` stands for any text; empty means any value.
        regex: The whole value must match; ``None`` means any value.
    """

    name: str
    present: bool = True
    values: tuple[str, ...] = ()
    regex: str | None = None

    def __post_init__(self) -> None:
        if (not self.present) + bool(self.values) + (self.regex is not None) > 1:
            raise ValueError(f"{self.name!r}: one of 'present: false', values and a regex, not several at once")
        if self.regex is not None:
            _compile(self.name, self.regex)

    @property
    def weakness(self) -> int:
        """How little it asks for: 0 a value, 1 a glob, 2 a regex, 3 to be there, 4 not to be."""
        if self.values:
            return int(any("*" in value for value in self.values))
        if self.regex is not None:
            return 2
        return 3 if self.present else 4

    def is_told_apart_from(self, other: Condition) -> bool:
        """Say whether it asks something else of the same name, so that one of the two fails or is the weaker one.

        Two different globs or regexes are taken to mean different values: whether a value matches both cannot always be
        told.
        """
        if self.weakness == other.weakness == 0:
            return not set(self.values) & set(other.values)
        return self != other


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderCondition(Condition):
    """What one header field must be like; names have no case (RFC 9110 section 5.1), values have."""

    def __post_init__(self) -> None:
        Condition.__post_init__(self)  # not super(): the class was made anew for its slots, and its cell is the old one
        if not _TOKEN.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is not the name of a header field (RFC 9110 section 5.1)")
        object.__setattr__(self, "name", self.name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCondition(Condition):
    """What one query parameter must be like, after decoding; names and values have case."""


class Facts:
    """What conditions look at: the header fields, and the query parsed when the first condition asks for it.

    Args:
        query: The query as sent, without ``?``.
        headers: The header fields.
    """

    __slots__ = ("_parameters", "_query", "headers")

    def __init__(self, query: str, headers: HeaderLookup) -> None:
        self.headers = headers
        self._query = query
        self._parameters: dict[str, list[str]] | None = None

    def parameter(self, name: str) -> Sequence[str]:
        """Return every value of a query parameter."""
        if self._parameters is None:
            self._parameters = parse_qs(self._query, keep_blank_values=True)
        return self._parameters.get(name, ())


Test: TypeAlias = "Callable[[Facts], bool]"


def build_test(condition: HeaderCondition | QueryCondition) -> Test:
    """Compile a condition."""
    name, accepts = condition.name, _build_value_test(condition)
    if isinstance(condition, QueryCondition):
        return lambda facts: accepts(facts.parameter(name))
    return lambda facts: accepts(facts.headers.get_all(name))


def _build_value_test(condition: Condition) -> Callable[[Sequence[str]], bool]:
    """Return what says of the values that were sent, perhaps none, whether they will do."""
    if condition.values:
        exact = frozenset(value for value in condition.values if "*" not in value)
        globs = tuple(Glob.parse(value) for value in condition.values if "*" in value)
        return lambda sent: any(value in exact or any(glob.matches(value) for glob in globs) for value in sent)
    if condition.regex is not None:
        fullmatch = _compile(condition.name, condition.regex).fullmatch
        return lambda sent: any(map(fullmatch, sent))
    present = condition.present
    return lambda sent: bool(sent) is present


def _compile(name: str, regex: str) -> re.Pattern[str]:
    try:
        return re.compile(regex)
    except (re.error, OverflowError, RecursionError) as exc:
        raise ValueError(f"{name!r}: {regex!r} is not a regular expression: {exc}") from exc


def parse_header_conditions(raw: object) -> tuple[HeaderCondition, ...]:
    """Make conditions of a rule's ``headers``: a mapping, a list, or ``None`` for no conditions.

    Raises:
        ValueError: If it is not written in one of the ways above.
    """
    return tuple(HeaderCondition(name=name, **_parse_requirement(name, wanted)) for name, wanted in _pairs(raw))


def parse_query_conditions(raw: object) -> tuple[QueryCondition, ...]:
    """Make conditions of a rule's ``queryParams``; otherwise like ``parse_header_conditions``.

    Raises:
        ValueError: If it is not written in one of the ways above.
    """
    return tuple(QueryCondition(name=name, **_parse_requirement(name, wanted)) for name, wanted in _pairs(raw))


class _Requirement(TypedDict, total=False):
    present: bool
    values: tuple[str, ...]
    regex: str


def _pairs(raw: object) -> list[tuple[str, object]]:
    """Return names and what is wanted of each, from a mapping or a list."""
    if raw is None:
        return []
    if isinstance(raw, Mapping):
        return [(_check_name(name), wanted) for name, wanted in raw.items()]
    if isinstance(raw, Sequence) and not isinstance(raw, str):
        return [_pair(item) for item in raw]
    raise ValueError(f"{raw!r} is neither a mapping from names to values nor a list with a name in each item")


def _pair(item: object) -> tuple[str, object]:
    if not isinstance(item, Mapping) or "name" not in item:
        raise ValueError(f"{item!r} has no name; write '- {{name: X-Version, value: v1}}'")
    return _check_name(item["name"]), {key: value for key, value in item.items() if key != "name"}


def _check_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"{name!r} is not a name; write it in quotes")
    return name


def _parse_requirement(name: str, wanted: object) -> _Requirement:
    """Turn what a rule wants of one name into the fields of a condition."""
    if not isinstance(wanted, Mapping):
        return {"values": _texts(name, wanted)}
    if unknown := wanted.keys() - _KEYS:
        raise ValueError(f"{name!r}: unknown key {min(map(str, unknown))!r}; use {', '.join(_KEYS)}")
    if len(wanted.keys() & {"present", "value", "values"}) != 1:
        raise ValueError(f"{name!r}: write one of 'present', 'value' and 'values'")
    if "match" in wanted:
        return {"regex": _regex(name, wanted)}
    if "present" in wanted:
        return {"present": _presence(name, wanted["present"])}
    return {"values": _texts(name, wanted.get("value", wanted.get("values")))}


_KEYS = ("present", "value", "values", "match")


def _regex(name: str, wanted: Mapping[str, object]) -> str:
    if wanted["match"] != "regex":
        raise ValueError(f"{name!r}: match {wanted['match']!r} is unknown; write 'regex', or leave it out")
    value = wanted.get("value")
    if not isinstance(value, str):
        problem = f"{name!r}: 'match: regex' needs the expression as its 'value'"
        raise ValueError(problem)  # noqa: TRY004 - pydantic makes a message of a ValueError, not of a TypeError
    return value


def _presence(name: str, present: object) -> bool:
    if not isinstance(present, bool):
        problem = f"{name!r}: 'present' is true or false, not {present!r}"
        raise ValueError(problem)  # noqa: TRY004 - as above
    return present


def _texts(name: str, wanted: object) -> tuple[str, ...]:
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        if not wanted:
            raise ValueError(f"{name!r}: the list of values is empty; write one, or '{{present: true}}'")
        return tuple(dict.fromkeys(_text(name, value) for value in wanted))
    return (_text(name, wanted),)


def _text(name: str, value: object) -> str:
    """Return a value as it is sent; YAML reads ``true`` and ``2`` as something else than text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    if value is None:
        raise ValueError(f"{name!r}: no value; write one, or '{{present: true}}'")
    raise ValueError(f"{name!r}: {value!r} is not text; write it in quotes")
