"""``gateway check-plugin``: what is wrong with a plugin, before anybody installs it."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.arguments import UsageError, add_json_flag
from gateway.cli.progress import progress
from gateway.cli.screen import Column
from gateway.config import load_configuration
from gateway.logs import configure_logging
from gateway.pluginhost.discover import ENTRY_POINT_GROUP
from gateway.review import NoSubjectError, find_subjects, measure_imports, review

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gateway.cli.arguments import Parser
    from gateway.cli.context import CommandContext
    from gateway.cli.screen import Screen, Style
    from gateway.config import Configuration
    from gateway.review import Finding, Review, Subject
    from gateway.review.driving import Driven

__all__ = ["add_arguments", "run"]

_STYLES: dict[str, Style] = {"error": "red", "warning": "yellow"}


def add_arguments(parser: Parser) -> None:
    """Declare the flags of ``gateway check-plugin``."""
    parser.add_argument(
        "target",
        nargs="?",
        metavar="DISTRIBUTION|FOLDER|FILE.py",
        help="what to look at; without it the plugin of this folder, or everything that is installed",
    )
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        metavar="FILE",
        help="a configuration that turns the plugin on; its components are built as it says and run",
    )
    add_json_flag(parser)


def run(args: argparse.Namespace, context: CommandContext) -> int:
    """Print what is wrong; 1 if there is an error.

    Raises:
        UsageError: If there is no such plugin.
        ConfigurationError: If the configuration cannot be used.
    """
    configure_logging("error", stream=sys.stderr)
    try:
        subjects = find_subjects(args.target, context.entry_points)
    except NoSubjectError as error:
        raise UsageError(f"gateway check-plugin: {error}") from error
    configuration = _configuration(args.config, subjects, context)
    reviews = []
    with progress("importing what is looked at"):
        costs = measure_imports(subjects)
    for subject, cost in zip(subjects, costs, strict=True):
        with progress(f"looking at {subject.plugin.name}"):
            reviews.append(review(subject, cost, configuration))
    has_errors = any(each.has_errors for each in reviews)
    if args.as_json:
        context.out.json({"passed": not has_errors, "plugins": [_data(each) for each in reviews]})
    else:
        _print(reviews, context.out)
    return 1 if has_errors else 0


def _configuration(path: Path | None, subjects: Sequence[Subject], context: CommandContext) -> Configuration | None:
    """Load the configuration; the plugins that are looked at need not be installed for it."""
    if path is None:
        return None
    points = list(entry_points(group=ENTRY_POINT_GROUP) if context.entry_points is None else context.entry_points)
    own = [subject.entry_point for subject in subjects if subject.entry_point is not None]
    names = {point.name for point in own}
    files = [subject.plugin.file for subject in subjects if subject.plugin.file is not None]
    others = [point for point in points if point.name not in names]
    return load_configuration(path, plugin_files=files, entry_points=[*others, *own])


# JSON.


def _data(review: Review) -> dict[str, Any]:
    plugin = review.subject.plugin
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version or None,
        "passed": not review.has_errors,
        "importSeconds": review.cost.total_s if review.cost is not None else None,
        "driven": review.driven.driven,
        "built": review.driven.built,
        "skipped": review.driven.skipped,
        "findings": [_finding_data(finding) for finding in review.findings],
    }


def _finding_data(finding: Finding) -> dict[str, Any]:
    return {
        "level": finding.level,
        "check": finding.code,
        "file": str(finding.file) if finding.file is not None else None,
        "line": finding.line or None,
        "problem": finding.problem,
        "remedy": finding.remedy,
    }


# For people.


def _print(reviews: Sequence[Review], screen: Screen) -> None:
    columns = (
        Column("PLUGIN", "bold"),
        Column("DISTRIBUTION"),
        Column("VERSION", is_optional=True),
        Column("IMPORT"),
        Column("TRIED"),
        Column("RESULT"),
    )
    screen.table(columns, [_row(each) for each in reviews])
    for each in reviews:
        for finding in each.findings:
            screen.line()
            screen.line(
                f"{_where(finding, each)}: {finding.level}: {finding.problem} [{finding.code}]", _STYLES[finding.level]
            )
            screen.line(f"    {finding.remedy}")
    skipped = [text for each in reviews for text in each.driven.skipped]
    if skipped:
        screen.line()
    for text in skipped:
        screen.line(f"not run: {text}", "dim")


def _row(review: Review) -> tuple[str, ...]:
    plugin = review.subject.plugin
    errors = sum(finding.level == "error" for finding in review.findings)
    warnings = len(review.findings) - errors
    counts = ", ".join(filter(None, (_count(errors, "error"), _count(warnings, "warning"))))
    return (
        plugin.name,
        plugin.distribution,
        plugin.version,
        f"{review.cost.total_s * 1000:.0f} ms" if review.cost is not None else "failed",
        _tried(review.driven),
        f"{'failed' if errors else 'passed'}{f': {counts}' if counts else ''}",
    )


def _tried(driven: Driven) -> str:
    """Return how many components were run, how many only built, and how many were not."""
    counts = ((driven.driven, "run"), (driven.built, "built"), (driven.skipped, "not run"))
    return ", ".join(f"{len(names)} {what}" for names, what in counts if names)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}" if number else ""


def _where(finding: Finding, review: Review) -> str:
    if finding.file is None:
        return review.subject.plugin.origin
    try:
        short = finding.file.relative_to(Path.cwd())
    except ValueError:
        return finding.where
    return f"{short}:{finding.line}" if finding.line else str(short)
