"""Did you mean …?"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["closest", "did_you_mean"]


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that ``word`` was probably meant to be, or ``None``; case does not matter."""
    by_lower_case = {each.lower(): each for each in known}
    found = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    return by_lower_case[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the remedy for a word that is not among the known ones: the closest, or all of them."""
    known = sorted(known)
    close = closest(word, known)
    if close is not None:
        return f"did you mean {close!r}?"
    return f"known are {', '.join(map(repr, known))}" if known else "there is none"
