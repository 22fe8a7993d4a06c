"""What was measured: samples of each cell, medians over rounds, and ratios between cells."""

from __future__ import annotations

import dataclasses
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclasses.dataclass(slots=True, kw_only=True)
class Result:
    """One proxy in one variant of a scenario.

    Attributes:
        scenario: The scenario's name.
        peer: The proxy's name.
        variant: What distinguishes it from the peer's other results in the scenario; empty if there is only one.
        samples: One mapping of figures for each round; every key carries its unit.
        problem: Why there are no samples, or no more of them; `None` if all went well.
    """

    scenario: str
    peer: str
    variant: str = ""
    samples: list[Mapping[str, float]] = dataclasses.field(default_factory=list)
    problem: str | None = None

    def median(self, key: str) -> float | None:
        """Returns the median over the rounds; `None` if the figure was not measured."""
        values = [sample[key] for sample in self.samples if key in sample]
        return statistics.median(values) if values else None


def find(results: Iterable[Result], scenario: str, peer: str, variant: str | None = None) -> Result | None:
    """Returns the result of a cell that went well; without a variant, the peer's first."""
    for result in results:
        if (result.scenario, result.peer) == (scenario, peer) and variant in {None, result.variant}:
            return None if result.problem or not result.samples else result
    return None


def ratio(above: Result | None, below: Result | None, key: str) -> float | None:
    """Divides one cell's figure by another's: the median of the ratios of each round.

    Rounds of two cells lie next to each other in time, so a disturbance that lasts longer than
    a round cancels out.

    Returns:
        The ratio; `None` if either was not measured.
    """
    if above is None or below is None:
        return None
    pairs = zip(above.samples, below.samples, strict=False)
    quotients = [one[key] / other[key] for one, other in pairs if other.get(key) and key in one]
    return statistics.median(quotients) if quotients else None


def difference(one: Result | None, other: Result | None, key: str) -> float | None:
    """Subtracts another cell's figure from one's: the median over the rounds, as in `ratio`.

    Returns:
        The difference; `None` if either was not measured.
    """
    if one is None or other is None:
        return None
    pairs = zip(one.samples, other.samples, strict=False)
    differences = [first[key] - second[key] for first, second in pairs if key in first and key in second]
    return statistics.median(differences) if differences else None


def lost_percent(one: Result | None, other: Result | None, key: str) -> float | None:
    """Returns how many per cent of another cell's figure one's is short of; `None` if either was not measured."""
    share = ratio(one, other, key)
    return None if share is None else (1 - share) * 100
