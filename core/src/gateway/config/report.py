"""What is wrong with the configuration, collected while it is read, in the order of the file."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.config.places import Place

__all__ = ["Report"]

_Key = tuple[bool, str, int, int, str]


@dataclass(slots=True)
class _Notes:
    """What was written down."""

    errors: dict[str, tuple[_Key, Problem]] = field(default_factory=dict)
    warnings: dict[str, tuple[_Key, Problem]] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    unset: set[Place] = field(default_factory=set)


class Report:
    """Collects errors and warnings. The same one at the same place counts once.

    Args:
        notes: Where it writes; its own.
    """

    def __init__(self, notes: _Notes | None = None) -> None:
        self._notes = notes or _Notes()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The errors found so far, by place."""
        return _by_place(self._notes.errors.values())

    @property
    def error_count(self) -> int:
        """How many errors were found so far."""
        return len(self._notes.errors)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The warnings found so far, by place."""
        return _by_place(self._notes.warnings.values())

    def has_error_below(self, path: str) -> bool:
        """Say whether an error was found at a key or in the block below it."""
        return any(f"{problem.path}.".startswith(f"{path}.") for _, problem in self._notes.errors.values())

    def error(
        self, message: str, *, key: Place | None = None, value: Place | None = None, path: str = "", where: str = ""
    ) -> None:
        """Write down an error.

        Args:
            message: What is wrong and what to do about it.
            key: Points at the key of this entry.
            value: Points at the value of this entry, unless something was wrong with it already.
            path: The path of the key; empty takes that of the entry.
            where: What the message begins with when it is about no entry.
        """
        if value is not None:
            if value in self._notes.unset:
                return
            if value.variables:
                self._notes.unset.add(value)
        _add(self._notes.errors, message, key, value, path, where)

    def warn(self, message: str, *, key: Place | None = None, where: str = "") -> None:
        """Write down a warning; see ``error``."""
        _add(self._notes.warnings, message, key, None, "", where)

    def error_once(self, message: str, *, value: Place) -> None:
        """Write down an error that is the same for many entries at the first of them; see ``error``."""
        if message not in self._notes.said:
            self._notes.said.add(message)
            self.error(message, value=value)

    @contextmanager
    def apart(self) -> Iterator[Report]:
        """Keep what is written down meanwhile apart; it is in the report that this yields.

        For parts that must not make the whole unusable: rules that somebody else than the operator wrote.
        """
        kept, self._notes = self._notes, _Notes()
        try:
            yield Report(self._notes)
        finally:
            self._notes = kept

    def extend(self, problems: Iterable[Problem], *, are_warnings: bool = False) -> None:
        """Take over problems that somebody else wrote down."""
        for problem in problems:
            found = self._notes.warnings if are_warnings else self._notes.errors
            found.setdefault(str(problem), ((True, problem.where, 0, 0, problem.path), problem))

    def raise_errors(self) -> None:
        """Raise all errors, if there are any.

        Raises:
            ConfigurationError: With every error, by place.
        """
        if self._notes.errors:
            raise ConfigurationError(self.errors)


def _add(
    found: dict[str, tuple[_Key, Problem]], message: str, key: Place | None, value: Place | None, path: str, where: str
) -> None:
    place = key or value
    order: _Key = (True, where, 0, 0, path)
    if place is not None:
        where = place.at_value if key is None else place.at_key
        path = path or place.path
        line, column = (place.line, place.column) if key is None else (place.key_line, place.key_column)
        order = (line == 0, place.source, line, column, path)
    problem = Problem(message, path=path, where=where)
    found.setdefault(str(problem), (order, problem))


def _by_place(found: Iterable[tuple[_Key, Problem]]) -> tuple[Problem, ...]:
    return tuple(problem for _, problem in sorted(found, key=lambda item: item[0]))
