"""What the processes of the gateway use: the usual ``process_*`` metrics, for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["process_metrics"]


def process_metrics(pids: Iterable[int]) -> list[Metric]:
    """Return CPU time, memory, start and open files of processes, each with its ``pid``; nothing without ``/proc``."""
    found: dict[str, Metric] = {}
    for pid in sorted(pids):
        for family in _of_process(pid):
            labelled = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                labelled.add_sample(sample.name, {"pid": str(pid)}, sample.value)
    return list(found.values())


def _of_process(pid: int) -> Iterable[Metric]:
    return ProcessCollector(pid=lambda: pid, registry=None).collect()
