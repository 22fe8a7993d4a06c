"""What the gateway has set out to reach, and whether it did: the ratios that the tables are for."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import results

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ENOUGH_CORES = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One bound.

    Attributes:
        text: What is bounded.
        figure: Computes it; `None` if it was not measured.
        least: The lower bound, or `None`.
        most: The upper bound, or `None`.
        digits: Digits after the point when it is shown.
    """

    text: str
    figure: Callable[[Sequence[results.Result]], float | None]
    least: float | None = None
    most: float | None = None
    digits: int = 2

    @property
    def bound(self) -> str:
        """The bound in words."""
        return f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"

    def is_met(self, value: float) -> bool:
        """Tells whether a value lies within the bound."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


def _against(
    scenario: str, key: str, above: str, below: str, variant: str | None = None
) -> Callable[[Sequence[results.Result]], float | None]:
    def figure(measured: Sequence[results.Result]) -> float | None:
        one = results.find(measured, scenario, above, variant)
        return results.ratio(one, results.find(measured, scenario, below, variant), key)

    return figure


def _between(scenario: str, key: str, above: str, below: str) -> Callable[[Sequence[results.Result]], float | None]:
    def figure(measured: Sequence[results.Result]) -> float | None:
        one = results.find(measured, scenario, "gateway", above)
        return results.ratio(one, results.find(measured, scenario, "gateway", below), key)

    return figure


def _lost(scenario: str, variant: str) -> Callable[[Sequence[results.Result]], float | None]:
    """Per cent of the throughput that a variant costs, compared with the first of the scenario."""

    def figure(measured: Sequence[results.Result]) -> float | None:
        one = results.find(measured, scenario, "gateway", variant)
        return results.lost_percent(one, results.find(measured, scenario, "gateway"), "rate")

    return figure


def _own(scenario: str, key: str, variant: str | None = None) -> Callable[[Sequence[results.Result]], float | None]:
    def figure(measured: Sequence[results.Result]) -> float | None:
        result = results.find(measured, scenario, "gateway", variant)
        return result.median(key) if result else None

    return figure


def _two_workers(measured: Sequence[results.Result]) -> float | None:
    """With fewer cores the load generator and the second worker share one, and the ratio says nothing."""
    if (os.cpu_count() or 1) < _ENOUGH_CORES:
        return None
    return _between("workers-2", "rate", "2 workers", "1 worker")(measured)


TARGETS = (
    Target(text="small: nginx's CPU / ours", figure=_against("small", "cpu_us", "nginx", "gateway"), least=0.6),
    Target(text="small: Envoy's CPU / ours", figure=_against("small", "cpu_us", "envoy", "gateway"), least=2),
    Target(text="small: Traefik's CPU / ours", figure=_against("small", "cpu_us", "traefik", "gateway"), least=3),
    Target(text="small: Caddy's CPU / ours", figure=_against("small", "cpu_us", "caddy", "gateway"), least=3),
    Target(
        text="stream-1mb: nginx's CPU / ours", figure=_against("stream-1mb", "cpu_us", "nginx", "gateway"), least=0.6
    ),
    Target(
        text="stream-1mb: CPU of nginx with 64 KiB buffers / ours",
        figure=_against("stream-1mb", "cpu_us", "nginx-64k", "gateway"),
        least=0.6,
    ),
    Target(text="upload-1mb: our rate / nginx's", figure=_against("upload-1mb", "rate", "gateway", "nginx"), least=1),
    Target(
        text="upload-1mb: our rate / that of nginx with 64 KiB buffers",
        figure=_against("upload-1mb", "rate", "gateway", "nginx-64k"),
        least=1,
    ),
    Target(text="tls: nginx's CPU / ours", figure=_against("tls", "cpu_us", "nginx", "gateway"), least=0.6),
    Target(
        text="routes-10000: CPU with 10,000 rules / with 1",
        figure=_between("routes-10000", "cpu_us", "10,000 rules", "1 rule"),
        most=1.1,
    ),
    Target(
        text="instances-1000: CPU with 1,000 instances / with 1",
        figure=_between("instances-1000", "cpu_us", "1,000 instances", "1 instance"),
        most=1.1,
    ),
    Target(text="policies: nginx's CPU / ours", figure=_against("policies", "cpu_us", "nginx", "gateway"), least=0.45),
    Target(text="policies: Envoy's CPU / ours", figure=_against("policies", "cpu_us", "envoy", "gateway"), least=2),
    Target(text="jwt: Envoy's CPU / ours", figure=_against("jwt", "cpu_us", "envoy", "gateway"), least=2),
    Target(
        text="observers: % of the rate that the access log costs",
        figure=_lost("observers", "accesslog"),
        most=5,
        digits=1,
    ),
    Target(
        text="observers: % of the rate that traces cost which are not recorded",
        figure=_lost("observers", "tracing"),
        most=5,
        digits=1,
    ),
    Target(
        text="redis-limits: requests/s of a worker",
        figure=_own("redis-limits", "rate", "in Redis"),
        least=5000,
        digits=0,
    ),
    *(
        Target(
            text=f"http2: Envoy's CPU / ours, {kind}",
            figure=_against("http2", "cpu_us", "envoy", "gateway", kind),
            least=bound,
        )
        for kind, bound in (("10 streams", 1), ("1 stream", 1), ("10 streams, TLS", 1))
    ),
    Target(text="grpc: Envoy's CPU / ours", figure=_against("grpc", "cpu_us", "envoy", "gateway"), least=0.33),
    Target(
        text="grpc-json: our rate / that of a direct client",
        figure=_against("grpc-json", "rate", "gateway", "grpcio"),
        least=0.7,
    ),
    Target(text="p99-half: our p99 / nginx's", figure=_against("p99-half", "p99_ms", "gateway", "nginx"), most=3),
    Target(text="idle-5000: KiB for each connection", figure=_own("idle-5000", "kb_each"), most=15, digits=1),
    Target(text="websocket: nginx's CPU / ours", figure=_against("websocket", "cpu_us", "nginx", "gateway"), least=0.7),
    Target(text="sse: our CPU / nginx's", figure=_against("sse", "cpu_us", "gateway", "nginx"), most=1.5),
    Target(text="sse: p99 of our events in ms", figure=_own("sse", "p99_ms"), most=10, digits=1),
    Target(text="sockets-20000: KiB for each socket", figure=_own("sockets-20000", "kb_each"), most=15, digits=1),
    Target(text="start: seconds to the first answer", figure=_own("start", "start_s"), most=0.7),
    Target(text="workers-2: rate with 2 workers / with 1 (4 cores)", figure=_two_workers, least=1.7),
    Target(text="body-1gib: MiB more for a download", figure=_own("body-1gib", "growth_mib", "download"), most=64),
    Target(text="body-1gib: MiB more for an upload", figure=_own("body-1gib", "growth_mib", "upload"), most=64),
)
