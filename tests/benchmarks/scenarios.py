"""What is measured: every scenario by its name, and who takes part in it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import forwarding
import multiplexing
import policing
import streaming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import cells
    import results


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A named measurement.

    Attributes:
        name: What it is called on the command line.
        title: What its table is called.
        default_peers: Who takes part unless `--peers` says otherwise.
        run: Measures it for these peers.
        only_peers: Who can take part at all; empty admits everybody.
    """

    name: str
    title: str
    default_peers: tuple[str, ...]
    run: Callable[[cells.Bench, Sequence[str]], list[results.Result]]
    only_peers: tuple[str, ...] = ()


_ALL = ("nginx", "haproxy", "envoy", "traefik", "caddy", "gateway")
_SOME = ("nginx", "haproxy", "gateway")
_LEAN = ("nginx", "envoy", "caddy", "gateway")
_BODIES = ("nginx", "nginx-64k", "haproxy", "gateway")
_TWO = ("nginx", "gateway")
_POLICIES = ("nginx", "envoy", "gateway")
_TOKENS = ("envoy", "gateway")
_OWN = ("gateway",)
_LIVE = ("nginx", "envoy", "traefik", "gateway")
_WITHOUT_HAPROXY = ("nginx", "envoy", "traefik", "caddy", "gateway")


def _forwarding() -> Iterator[Scenario]:
    yield Scenario(name="small", title="GET of 65 bytes, keep-alive", default_peers=_ALL, run=forwarding.small)
    yield Scenario(
        name="headers", title="the same with ten browser headers", default_peers=_TWO, run=forwarding.headers
    )
    yield Scenario(name="stream-1mb", title="download of 1 MiB", default_peers=_BODIES, run=forwarding.stream)
    yield Scenario(name="upload-1mb", title="upload of 1 MiB", default_peers=_BODIES, run=forwarding.upload)
    yield Scenario(name="tls", title="GET of 65 bytes over HTTPS", default_peers=_SOME, run=forwarding.tls)
    yield Scenario(name="routes-10000", title="the last of 10,000 rules", default_peers=_TWO, run=forwarding.routes)
    yield Scenario(name="instances-1000", title="1,000 instances", default_peers=_TWO, run=forwarding.instances)
    yield Scenario(
        name="p99-half", title="latency at half of the own full rate", default_peers=_TWO, run=forwarding.half_load
    )
    yield Scenario(name="idle-5000", title="5,000 idle connections", default_peers=_LEAN, run=forwarding.idle)
    yield Scenario(name="start", title="start to first answer", default_peers=_ALL, run=forwarding.start)


def _policing() -> Iterator[Scenario]:
    yield Scenario(
        name="policies",
        title="API key, limit, metrics and access log",
        default_peers=_POLICIES,
        run=policing.policies,
        only_peers=_POLICIES,
    )
    yield Scenario(
        name="jwt", title="2,000 RS256 tokens in turn", default_peers=_TOKENS, run=policing.jwt, only_peers=_TOKENS
    )
    for name, title, run in (
        ("costs", "each feature alone", policing.costs),
        ("mtls", "client certificates as identities", policing.mtls),
        ("observers", "access log, and traces that are not recorded", policing.observers),
        ("budget", "a policy with a latency budget", policing.budget),
        ("redis-limits", "limits counted in a Redis", policing.redis_limits),
    ):
        yield Scenario(name=name, title=title, default_peers=_OWN, run=run, only_peers=_OWN)


def _multiplexing() -> Iterator[Scenario]:
    yield Scenario(
        name="http2",
        title="GET of 65 bytes over HTTP/2, 10 connections",
        default_peers=_WITHOUT_HAPROXY,
        run=multiplexing.http2,
        only_peers=_WITHOUT_HAPROXY,
    )
    yield Scenario(
        name="grpc",
        title="unary calls of gRPC, 10 connections with 10 streams",
        default_peers=_POLICIES,
        run=multiplexing.grpc,
        only_peers=_WITHOUT_HAPROXY,
    )
    yield Scenario(
        name="grpc-json",
        title="JSON that becomes unary calls of gRPC",
        default_peers=_TOKENS,
        run=multiplexing.grpc_json,
        only_peers=_TOKENS,
    )


def _streaming() -> Iterator[Scenario]:
    for name, title, peers, run in (
        ("websocket", "messages echoed over 64 WebSockets", _LIVE, streaming.websocket),
        ("sse", "10,000 events/s over 1,000 streams", _TWO, streaming.sse),
        ("sockets-20000", "20,000 idle WebSockets", _TWO, streaming.sockets),
        ("streams-5000", "5,000 idle event streams", _TWO, streaming.streams),
    ):
        yield Scenario(name=name, title=title, default_peers=peers, run=run, only_peers=_WITHOUT_HAPROXY)


def _long() -> Iterator[Scenario]:
    yield Scenario(name="workers-2", title="two workers", default_peers=_TWO, run=forwarding.workers)
    yield Scenario(
        name="body-1gib", title="one body of 1 GiB", default_peers=_TWO, run=forwarding.body, only_peers=_TWO
    )


SCENARIOS = {
    scenario.name: scenario for scenario in (*_forwarding(), *_policing(), *_multiplexing(), *_streaming(), *_long())
}
