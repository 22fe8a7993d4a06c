"""Everything that is looked at, in one go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.review.blocking import check_blocking
from gateway.review.driving import Driven, drive, with_configuration, with_defaults
from gateway.review.finding import Finding, without_allowed
from gateway.review.growth import check_growth
from gateway.review.hooks import load_offers
from gateway.review.importing import check_import
from gateway.review.metadata import check_metadata
from gateway.review.offers import check_offers
from gateway.review.source import read_sources
from gateway.review.synchronous import check_synchronous

if TYPE_CHECKING:
    from gateway.config import Configuration
    from gateway.pluginhost.plugin import Offer
    from gateway.review.importing import ImportCost
    from gateway.review.subject import Subject

__all__ = ["Review", "review"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What was found about a plugin.

    Attributes:
        subject: The plugin.
        offers: What it offers.
        findings: What is wrong, errors first, by place.
        cost: What importing it costs; ``None`` if it cannot be imported.
        driven: What was built and run.
    """

    subject: Subject
    offers: tuple[Offer, ...] = ()
    findings: tuple[Finding, ...] = ()
    cost: ImportCost | None = None
    driven: Driven = field(default_factory=Driven)

    @property
    def has_errors(self) -> bool:
        """Whether it fails the check."""
        return any(finding.level == "error" for finding in self.findings)


def review(subject: Subject, cost: ImportCost | None, configuration: Configuration | None = None) -> Review:
    """Look at a plugin: read it, import it, and run it.

    Args:
        subject: The plugin.
        cost: What importing it costs, as ``measure_imports`` says.
        configuration: What turns on what of it is run; ``None`` runs what can be built from defaults.
    """
    files = subject.files()
    sources, unreadable = read_sources(files)
    findings = [*unreadable]
    findings += check_metadata(subject)
    for source in sources:
        findings += [*check_blocking(source), *check_growth(source), *check_synchronous(source)]
    _, offers, problems = load_offers(subject)
    findings += [*([] if unreadable else problems), *check_offers(offers)]
    if cost is not None:
        findings += check_import(subject, cost, sources)
    driven = Driven()
    if configuration is not None:
        ready = with_configuration(configuration, subject.plugin)
    else:
        ready = with_defaults(offers, driven)
    drive(ready, subject.plugin, files, sources, driven)
    found = sorted(without_allowed([*findings, *driven.findings]), key=_place)
    return Review(subject=subject, offers=offers, findings=tuple(found), cost=cost, driven=driven)


def _place(finding: Finding) -> tuple[str, str, int, str]:
    return finding.level, str(finding.file or ""), finding.line, finding.code
