"""Turns results into tables for people and into JSON for programs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import results
from targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_UNMEASURED = "-"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of figures: the median of a key over the rounds."""

    key: str
    heading: str
    digits: int = 0

    def cell(self, result: results.Result, _: Sequence[results.Result]) -> str:
        """Returns the text of one row."""
        return _number(result.median(self.key), self.digits)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A column that compares each row with another.

    Attributes:
        key: The figure compared.
        heading: The column's heading.
        inverted: Divides the other row's figure by this one's: what costs half is twice as good.
        to_first: Compares with the same peer's first row instead of another's.
        other: The peer to compare with; its row of the same variant, if there is one, else its first.
    """

    key: str
    heading: str
    inverted: bool = False
    to_first: bool = False
    other: str = "nginx"

    def cell(self, result: results.Result, table: Sequence[results.Result]) -> str:
        """Returns the text of one row."""
        if self.to_first:
            other = results.find(table, result.scenario, result.peer)
        else:
            other = results.find(table, result.scenario, self.other, result.variant)
            other = other or results.find(table, result.scenario, self.other)
        above, below = (other, result) if self.inverted else (result, other)
        return _number(results.ratio(above, below, self.key), 2)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A column that says how much of the rate of the same peer's first row a row has lost, in per cent."""

    heading: str = "rate lost %"

    def cell(self, result: results.Result, table: Sequence[results.Result]) -> str:
        """Returns the text of one row."""
        first = results.find(table, result.scenario, result.peer)
        return _number(results.lost_percent(result, first, "rate"), 1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A column that says how much more of something a row takes than the same peer's first row."""

    key: str
    heading: str

    def cell(self, result: results.Result, table: Sequence[results.Result]) -> str:
        """Returns the text of one row."""
        first = results.find(table, result.scenario, result.peer)
        return _number(results.difference(result, first, self.key), 1)


_RATE = Column(key="rate", heading="req/s")
_CPU = Column(key="cpu_us", heading="CPU µs", digits=1)
_USER = Column(key="user_us", heading="user µs", digits=1)
_P50 = Column(key="p50_ms", heading="p50 ms", digits=2)
_P99 = Column(key="p99_ms", heading="p99 ms", digits=2)
_BUSY = Column(key="busy", heading="core busy", digits=2)
_RSS = Column(key="rss_mib", heading="RSS MiB", digits=1)
_PSS = Column(key="pss_mib", heading="PSS MiB", digits=1)
_OF_NGINX_RATE = Ratio(key="rate", heading="rate / nginx")
_OF_NGINX_CPU = Ratio(key="cpu_us", heading="nginx CPU / own", inverted=True)

_LOADED = (_RATE, _CPU, _USER, _P50, _P99, _BUSY, _RSS, _PSS, _OF_NGINX_RATE, _OF_NGINX_CPU)
_RATE_TO_FIRST = Ratio(key="rate", heading="rate / first", to_first=True)
_CPU_TO_FIRST = Ratio(key="cpu_us", heading="CPU / first", to_first=True)
_PAIRED = (_RATE, _CPU, _USER, _P50, _P99, _BUSY, _RSS, _PSS, _RATE_TO_FIRST, _CPU_TO_FIRST)

_RESTING = (
    Column(key="connections", heading="connections"),
    Column(key="kb_each", heading="KiB each", digits=1),
    Column(key="before_mib", heading="PSS before MiB", digits=1),
    Column(key="after_mib", heading="PSS after MiB", digits=1),
    Ratio(key="kb_each", heading="KiB / nginx"),
)
_LIVE = (Column(key="rate", heading="messages/s"), _CPU, _USER, _P50, _P99, _BUSY, _OF_NGINX_CPU)

_ADDED_CPU = Added(key="cpu_us", heading="own CPU µs")
_ADDED = (_RATE, _CPU, _USER, _BUSY, _CPU_TO_FIRST, _ADDED_CPU)

_COLUMNS: Mapping[str, Sequence[Column | Ratio | Lost | Added]] = {
    "costs": (*_ADDED, Added(key="user_us", heading="own user µs")),
    "observers": (*_ADDED, _RATE_TO_FIRST, Lost()),
    "mtls": (*_ADDED, Added(key="user_us", heading="own user µs")),
    "budget": (*_ADDED, _RATE_TO_FIRST, Lost()),
    "redis-limits": (*_LOADED[:-2], Column(key="store_us", heading="Redis CPU µs", digits=1), _CPU_TO_FIRST),
    "grpc-json": (
        *_LOADED[:-2],
        Ratio(key="rate", heading="rate / grpcio", other="grpcio"),
        Ratio(key="cpu_us", heading="grpcio CPU / own", inverted=True, other="grpcio"),
    ),
    "routes-10000": _PAIRED,
    "instances-1000": _PAIRED,
    "workers-2": _PAIRED,
    "p99-half": (
        Column(key="target_rate", heading="planned req/s"),
        _RATE,
        _P50,
        _P99,
        Column(key="lag_ms", heading="driver lag p99 ms", digits=2),
        _BUSY,
        Ratio(key="p99_ms", heading="p99 / nginx"),
    ),
    "idle-5000": _RESTING,
    "sockets-20000": _RESTING,
    "streams-5000": _RESTING,
    "websocket": _LIVE,
    "sse": _LIVE,
    "start": (Column(key="start_s", heading="seconds", digits=3), Ratio(key="start_s", heading="s / nginx")),
    "body-1gib": (
        Column(key="growth_mib", heading="growth MiB", digits=1),
        Column(key="mib_per_s", heading="MiB/s"),
        Column(key="cpu_ms", heading="CPU ms"),
        Column(key="before_mib", heading="RSS before MiB", digits=1),
    ),
}


def scenario_table(name: str, title: str, measured: Sequence[results.Result], note: str = "") -> str:
    """Returns a scenario's table, and below it whatever went wrong."""
    title = f"\n{name}: {title}" + (f" ({note})" if note else "")
    if not measured:
        return title
    columns = _COLUMNS.get(name, _LOADED)
    heading = ["proxy", *(column.heading for column in columns)]
    rows = [
        [f"{row.peer} {row.variant}".rstrip(), *(column.cell(row, measured) for column in columns)] for row in measured
    ]
    problems = [f"  ! {row.peer} {row.variant}: {row.problem}" for row in measured if row.problem]
    return "\n".join([title, _aligned([heading, *rows]), *problems])


def target_table(measured: Sequence[results.Result]) -> str:
    """Returns the targets with what was measured; what was not is left out."""
    rows = [["target", "bound", "measured", ""]]
    for target in TARGETS:
        value = target.figure(measured)
        if value is not None:
            verdict = "met" if target.is_met(value) else "MISSED"
            rows.append([target.text, target.bound, _number(value, target.digits), verdict])
    return f"\ntargets of the gateway\n{_aligned(rows)}" if len(rows) > 1 else ""


def as_json(environment: Mapping[str, Any], measured: Sequence[results.Result]) -> dict[str, Any]:
    """Returns everything that was measured, round by round."""
    return {
        "environment": dict(environment),
        "results": [
            {
                "scenario": row.scenario,
                "peer": row.peer,
                "variant": row.variant,
                "problem": row.problem,
                "median": {key: row.median(key) for key in (row.samples[0] if row.samples else ())},
                "samples": [dict(sample) for sample in row.samples],
            }
            for row in measured
        ],
        "targets": [
            {"target": target.text, "bound": target.bound, "measured": value, "met": target.is_met(value)}
            for target in TARGETS
            if (value := target.figure(measured)) is not None
        ],
    }


def _number(value: float | None, digits: int) -> str:
    return _UNMEASURED if value is None else f"{value:,.{digits}f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Aligns the first column left and the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligns: list[Callable[[str, int], str]] = [str.ljust, *([str.rjust] * (len(widths) - 1))]
    return "\n".join(
        "  " + "  ".join(align(text, width) for align, text, width in zip(aligns, row, widths, strict=True)).rstrip()
        for row in rows
    )
