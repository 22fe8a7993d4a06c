"""The scripts that Redis runs: one for each algorithm, each of them one atomic decision."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["Script", "load_script"]


@dataclass(frozen=True, slots=True)
class Script:
    """A script.

    Attributes:
        source: Its text.
        sha: What Redis calls it once it knows it.
    """

    source: str
    sha: str


@cache
def load_script(algorithm: str) -> Script:
    """Return the script of an algorithm."""
    folder = files(__package__)
    source = "".join((folder / f"{name}.lua").read_text("utf-8") for name in ("clock", algorithm))
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
