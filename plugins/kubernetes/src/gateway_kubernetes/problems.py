"""What goes wrong: all of it, or a part, which is said once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Outage

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

__all__ = ["MAX_PROBLEMS", "DiscoveryError", "ObjectError", "ProblemLog", "quoted"]

MAX_PROBLEMS = 100
"""How many are kept and logged at a time; a cluster with more has one cause for all of them."""

_MAX_QUOTED = 80


class DiscoveryError(Outage):
    """The API server cannot be asked. What was found last stays in force."""


class ObjectError(Exception):
    """An object of the API cannot be used."""


def quoted(value: object) -> str:
    """Return ``value`` as it may stand in a message: on one line, and not for ever."""
    text = repr(value[:_MAX_QUOTED] if isinstance(value, str | bytes) else value)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}..."


class ProblemLog:
    """Logs problems when they appear, and not again while they last.

    Args:
        logger: Where to.

    Attributes:
        current: Those that last.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self.current: tuple[str, ...] = ()
        self._logger = logger

    def replace(self, problems: Iterable[str]) -> None:
        """Take over the problems there are now."""
        known = set(self.current)
        self.current = tuple(dict.fromkeys(problems))[:MAX_PROBLEMS]
        for problem in self.current:
            if problem not in known:
                self._logger.warning("%s", problem)
