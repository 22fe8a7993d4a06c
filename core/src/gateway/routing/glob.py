"""Text with wildcards, matched without a regular expression."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Glob"]


@dataclass(frozen=True, slots=True)
class Glob:
    """Fixed text with a wildcard between each two runs of it.

    Each wildcard but the last takes as little as it can. That loses no match, since a run found earlier leaves more for
    the next; so nothing is tried twice, and the cost is one ``str.find`` for each run, whatever the text.

    Attributes:
        runs: The fixed text, at least two runs; the first and the last may be empty, those between may not.
        minimums: How many characters each wildcard takes at least, one number less than there are runs.
    """

    runs: tuple[str, ...]
    minimums: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Glob:
        """Make a glob of text in which every ``*``, at least one, stands for any characters, also none."""
        first, *others = text.split("*")
        inner = [run for run in others[:-1] if run]
        return cls((first, *inner, others[-1]), (0,) * (len(inner) + 1))

    @property
    def least_length(self) -> int:
        """How short a text may be that matches."""
        return sum(map(len, self.runs)) + sum(self.minimums)

    def matches(self, text: str) -> bool:
        """Say whether the whole text matches."""
        return self.spans(text) is not None

    def spans(self, text: str) -> list[str] | None:
        """Return what each wildcard stands for, or ``None`` if the whole text does not match."""
        first, last = self.runs[0], self.runs[-1]
        at, limit = len(first), len(text) - len(last)
        if at > limit or not (text.startswith(first) and text.endswith(last)):
            return None
        taken = []
        for run, minimum in zip(self.runs[1:-1], self.minimums, strict=False):
            found = text.find(run, at + minimum, limit)
            if found < 0:
                return None
            taken.append(text[at:found])
            at = found + len(run)
        if limit - at < self.minimums[-1]:
            return None
        taken.append(text[at:limit])
        return taken
