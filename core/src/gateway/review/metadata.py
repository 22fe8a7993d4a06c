"""Which versions of the core a plugin says it works with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.review.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.review.subject import Subject

__all__ = ["check_metadata"]

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(;.*)?")
_SPECIFIER = re.compile(r"(==|~=|!=|<=|>=|<|>)\s*([0-9][0-9.]*)")
_REMEDY = 'require a range, such as "gateway-core>=0.1,<1": the core keeps its word between major versions'


def check_metadata(subject: Subject) -> Iterator[Finding]:
    """Yield what is wrong with what the distribution requires; a single file has no say."""
    if subject.requires is None:
        return
    file, line = subject.manifest, _line(subject.manifest)
    specifiers = _of_core(subject.requires)
    if specifiers is None:
        problem = f"{subject.plugin.distribution} does not say that it needs gateway-core"
        yield Finding(code="api-version", problem=problem, remedy=_REMEDY, file=file, line=line)
        return
    operators = {operator for operator, _ in specifiers}
    if not operators & {">=", ">", "==", "~="} or not operators & {"<", "<=", "==", "~="}:
        written = ",".join(f"{operator}{version}" for operator, version in specifiers)
        problem = f"it requires gateway-core{written}, which has no {'lower' if '<' in operators else 'upper'} end"
        yield Finding(code="api-version", problem=problem, remedy=_REMEDY, file=file, line=line)


def _of_core(requires: tuple[str, ...]) -> list[tuple[str, str]] | None:
    """Return operators and versions of what is required of the core; ``None`` if it is not required always."""
    for requirement in requires:
        found = _REQUIREMENT.fullmatch(requirement.strip())
        if found is None or (found[3] and "extra" in found[3]):
            continue
        if re.sub(r"[-_.]+", "-", found[1]).lower() == "gateway-core":
            return _SPECIFIER.findall(found[2])
    return None


def _line(manifest: Path | None) -> int:
    """Return the line with the dependencies."""
    if manifest is None:
        return 0
    lines = manifest.read_text(encoding="utf-8").splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.startswith("dependencies")), 0)
