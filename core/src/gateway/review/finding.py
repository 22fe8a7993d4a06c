"""Something that is wrong with a plugin, and the comment that says that it is not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Finding", "without_allowed"]

_ALLOWED = re.compile(r"#\s*check-plugin:\s*allow\s+([a-z-]+(?:\s*,\s*[a-z-]+)*)\s*:\s*\S")
"""``# check-plugin: allow blocking: read once, at the start``: the kinds of findings, and why, which must be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong.

    Attributes:
        code: The kind of finding: ``blocking``, ``growth``, ``hook``.
        problem: What is wrong.
        remedy: What its author can do.
        file: The file; ``None`` if it is in none.
        line: The line, from 1; 0 is the whole file.
        level: ``error`` fails the check, ``warning`` does not: it may be meant so.
    """

    code: str
    problem: str
    remedy: str
    file: Path | None = None
    line: int = 0
    level: Literal["error", "warning"] = "error"

    @property
    def where(self) -> str:
        """File and line, for people."""
        if self.file is None:
            return ""
        return f"{self.file}:{self.line}" if self.line else str(self.file)


def without_allowed(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings, each once, without those that a comment on their line, or on the one above, allows."""
    files: dict[Path, list[str]] = {}
    return [finding for finding in dict.fromkeys(findings) if not _is_allowed(finding, files)]


def _is_allowed(finding: Finding, files: dict[Path, list[str]]) -> bool:
    if finding.file is None or not finding.line:
        return False
    if finding.file not in files:
        files[finding.file] = finding.file.read_text(encoding="utf-8").splitlines()
    lines = files[finding.file]
    for line in lines[max(finding.line - 2, 0) : finding.line]:
        found = _ALLOWED.search(line)
        if found and finding.code in re.split(r"\s*,\s*", found[1]):
            return True
    return False
