"""Scenarios with HTTP/2 to the client: plain requests, calls of gRPC, and JSON that becomes such calls."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import calls
import cells
import h2
import load
import peers
import results

if TYPE_CHECKING:
    from collections.abc import Sequence

    import upstream


def http2(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """GET of 65 bytes over 10 connections, with ten requests at once on each and with one, and over TLS."""
    h2.require()
    certificate = peers.make_certificate(bench.new_directory("certificate"))
    many = load.Request(http2=True, streams=10)
    kinds = (
        ("10 streams", many, None),
        ("1 stream", dataclasses.replace(many, streams=1), None),
        ("10 streams, TLS", dataclasses.replace(many, tls=True), certificate),
    )
    wanted = [
        cells.Cell(peer=name, variant=kind, request=request, certificate=tls, wants=frozenset({"http2"}))
        for kind, request, tls in kinds
        for name in names
    ]
    return cells.full_load(bench, "http2", wanted)


def grpc(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """Unary calls of gRPC over 10 connections with ten streams each, and the same calls without a proxy."""
    h2.require()
    direct = results.Result(scenario="grpc", peer="direct")
    with contextlib.ExitStack() as stack:
        service = _service(stack, bench, "grpc")
        wants = frozenset({"http2", "grpc"})
        wanted = [cells.Cell(peer=name, request=calls.NATIVE, service=service, wants=wants) for name in names]

        def without_proxy() -> None:
            with cells.blame(direct):
                done = h2.full(service.port, calls.NATIVE, seconds=bench.brief_s, cores=bench.load_cores)
                direct.samples.append(_figures(done))

        return [*cells.full_load(bench, "grpc", wanted, before_round=without_proxy), direct]


def grpc_json(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """JSON over HTTP/1.1 that becomes unary calls of gRPC, and a client of grpcio that makes the calls itself.

    The client has the core that the proxies have otherwise; the row `grpcio` is its.
    """
    client = results.Result(scenario="grpc-json", peer="grpcio")
    with contextlib.ExitStack() as stack:
        service = _service(stack, bench, "grpc-json")
        wants = frozenset({"grpc", "transcoding"})
        wanted = [cells.Cell(peer=name, request=calls.TRANSCODED, service=service, wants=wants) for name in names]

        def without_proxy() -> None:
            with cells.blame(client):
                direct = calls.direct(service.port, seconds=bench.brief_s, cores=bench.proxy_cores)
                client.samples.append(_figures(direct.done, cpu_s=direct.cpu_s, user_s=direct.user_s))

        return [*cells.full_load(bench, "grpc-json", wanted, before_round=without_proxy), client]


def _service(stack: contextlib.ExitStack, bench: cells.Bench, name: str) -> upstream.Service:
    service = stack.enter_context(calls.serving(bench.new_directory(name), bench.ports.take(), cores=bench.load_cores))
    calls.probe(service.port)
    return service


def _figures(done: load.Load, *, cpu_s: float | None = None, user_s: float = 0.0) -> dict[str, float]:
    sample = {"rate": done.requests / done.seconds, "p50_ms": done.p50_s * 1e3, "p99_ms": done.p99_s * 1e3}
    if cpu_s is not None:
        sample |= {
            "cpu_us": cpu_s / done.requests * 1e6,
            "user_us": user_s / done.requests * 1e6,
            "busy": cpu_s / done.seconds,
        }
    return sample
