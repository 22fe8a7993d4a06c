"""Rules of route sources behind those of the file: each validated like these, and left out alone if it is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.config.admission import Admission, NotAdmitted, clean
from gateway.config.result import Verdict
from gateway.routing import TakenRoutes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config.places import Block
    from gateway.config.result import Configured, ConfiguredRule, SourcedRules
    from gateway.config.rules import RuleBuilder
    from gateway.interfaces import SourcedRule

__all__ = ["Sourced", "add_sourced_rules", "build_admissions"]

MAX_PROBLEMS = 5
"""Of one rule that are reported."""
MAX_PROBLEM_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sourced:
    """What came of the rules of route sources.

    Attributes:
        rules: Those that are served.
        verdicts: What became of each.
    """

    rules: list[ConfiguredRule] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)


def add_sourced_rules(
    builder: RuleBuilder,
    own: Sequence[ConfiguredRule],
    admissions: Mapping[str, Admission],
    sourced: Sequence[SourcedRules],
) -> Sourced:
    """Build the rules of route sources.

    The file comes first: a rule that conflicts with one of the file's is left out, and so is one for the very same path
    and host, whatever its priority and conditions. Then the sources by name, and the rules of each in their order.

    Args:
        builder: Has built the rules of the file.
        own: These.
        admissions: Which rules are let in, by source.
        sourced: What the sources published.
    """
    adding = _Adding(builder, own)
    for each in sorted(sourced, key=lambda rules: rules.source):
        admission = admissions.get(each.source)
        for rule in each.rules if admission is not None else ():
            assert admission is not None  # noqa: S101 - the loop is empty without one
            adding.add(each.source, rule, admission)
    return adding.found


def build_admissions(configured: Sequence[Configured], aliases: Mapping[str, str]) -> dict[str, Admission]:
    """Return what lets rules in, by source."""
    return {each.name: Admission(each, aliases) for each in configured}


class _Adding:
    """Adds rules one by one, each beside those that were added before."""

    def __init__(self, builder: RuleBuilder, own: Sequence[ConfiguredRule]) -> None:
        self.found = Sourced()
        self._builder = builder
        self._first_position = len(own)
        self._taken = TakenRoutes()
        for rule in own:
            self._taken.add(rule.matches, is_firm=True)

    def add(self, source: str, sourced: SourcedRule, admission: Admission) -> None:
        """Add a rule, or note why not."""
        try:
            block = admission.block(sourced)
            name = self._name(block, source)
            block.put("id", name, block.place.below("id"))
            rule = self._build(name, block, admission)
        except NotAdmitted as error:
            problems = tuple(clean(problem, MAX_PROBLEM_LENGTH) for problem in error.problems[:MAX_PROBLEMS])
            self.found.verdicts.append(Verdict(source=source, rule=sourced, problems=problems))
            return
        self._taken.add(rule.matches)
        self.found.rules.append(replace(rule, source=source))
        self.found.verdicts.append(Verdict(source=source, rule=sourced, block=block))

    def _name(self, block: Block, source: str) -> str:
        """Return the id of a rule: its own or made of what it matches, and its source."""
        given = block.get("id")
        if given is not None:
            return f"{given}@{source}"
        methods, hosts = _joined(block.get("methods")), _joined(block.get("host") or block.get("hosts"))
        base = f"{methods} {hosts}{block.get('path', '')}".lstrip()
        name, number = f"{base}@{source}", 1
        while self._builder.has_id(name):
            number += 1
            name = f"{base}#{number}@{source}"
        return name

    def _build(self, name: str, block: Block, admission: Admission) -> ConfiguredRule:
        """Return a rule that can stand beside those before it.

        Raises:
            NotAdmitted: If it cannot.
        """
        rule, report = self._builder.build_apart(block, self._first_position + len(self.found.rules))
        if rule is None:
            raise NotAdmitted(*(": ".join(filter(None, (each.path, each.message))) for each in report.errors))
        try:
            admission.check(rule)
            self._check_conflict(rule)
        except NotAdmitted:
            self._builder.free_id(name)
            raise
        return rule

    def _check_conflict(self, rule: ConfiguredRule) -> None:
        conflict = self._taken.conflict(rule.matches)
        if conflict is not None:
            raise NotAdmitted(str(conflict))


def _joined(value: object) -> str:
    values = value if isinstance(value, list) else [value]
    return ",".join(str(each) for each in values if each)
