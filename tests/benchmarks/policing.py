"""Scenarios with what proxies do besides forwarding: they authenticate, limit, log, count; see `features.py`."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import cells
import features
import load
import peers
import process

if TYPE_CHECKING:
    from collections.abc import Sequence

    import results

_KEY = f"X-API-Key: {features.API_KEY}"
_ALONE = (
    *("", "apikey", "jwt", "ratelimit", "cors", "circuitbreaker", "retry", "cache", "affinity"),
    *("metrics", "accesslog", "tracing"),
)
_START_WITHIN_S = 5.0

_SHOWING = """\
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    http-reuse always
listen in
    bind 127.0.0.1:{entrance}
    server one 127.0.0.1:{port} ssl verify none crt {certificate} alpn http/1.1
"""


def policies(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """An API key, a limit for each client, metrics and an access log, all at once."""
    wanted = frozenset({"apikey", "ratelimit", "metrics", "accesslog"})
    request = load.Request(headers=(_KEY,))
    return cells.full_load(bench, "policies", [cells.Cell(peer=name, request=request, wants=wanted) for name in names])


def jwt(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """RS256 tokens of 2,000 users in turn."""
    tokens = features.make_tokens(bench.new_directory("tokens"))
    request = load.Request(headers=(f"Authorization: Bearer {tokens.first}",), tokens=tokens.file)
    wanted = [
        cells.Cell(peer=name, variant=variant, request=request, wants=frozenset(wants), tokens=tokens)
        for name in names
        for variant, wants in (("", ("jwt",)), ("with a cache", ("jwt", "jwt-cache")))
        if name == "envoy" or not variant
    ]
    return cells.full_load(bench, "jwt", wanted)


def costs(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """What each feature costs by itself; all are sent the same, so that only the feature differs."""
    tokens = features.make_tokens(bench.new_directory("tokens"))
    headers = (
        _KEY,
        f"Authorization: Bearer {tokens.first}",
        f"Origin: {features.ORIGIN}",
        "X-Session-Id: 8d1c6b1e0f7a4d52",
    )
    return cells.full_load(bench, "costs", _variants(names, _ALONE, load.Request(headers=headers), tokens))


def observers(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """What an access log, and traces of which none is recorded, cost of the throughput; twice the rounds of others."""
    wanted = _variants(names, ("", "accesslog", "tracing"), load.SMALL)
    return cells.full_load(bench, "observers", wanted, rounds=2 * bench.rounds)


def budget(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """What it costs to hold a policy to a latency budget; twice the rounds of others."""
    wanted = _variants(names, ("circuitbreaker", "circuitbreaker-budget"), load.SMALL)
    return cells.full_load(bench, "budget", wanted, rounds=2 * bench.rounds)


def mtls(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """What it costs to make a caller of a client certificate, which the listener wants and verifies in either case.

    wrk has no certificate, so a HAProxy on its core shows it.

    Raises:
        MissingError: If HAProxy is not installed.
        StartError: If it does not start.
    """
    haproxy = process.find_program("haproxy")
    if haproxy is None:
        message = "haproxy is not installed; try: apt-get install haproxy"
        raise process.MissingError(message)
    directory = bench.new_directory("mtls")
    server = peers.make_certificate(bench.new_directory("certificate"))
    client = peers.make_certificate(directory)
    request = load.Request(tls=True, client_certificate=client.both)
    wanted = [
        dataclasses.replace(cell, certificate=server, client_certificate=client)
        for cell in _variants(names, ("", "mtls"), request)
    ]
    with contextlib.ExitStack() as stack:

        def show_certificate(port: int) -> int:
            entrance = bench.ports.take()
            config, log = directory / f"{entrance}.cfg", directory / f"{entrance}.log"
            config.write_text(_SHOWING.format(entrance=entrance, port=port, certificate=client.both))
            command = [str(haproxy), "-db", "-f", str(config)]
            running = stack.enter_context(process.started(command, cores=bench.load_cores, log=log))
            process.wait_for_port(entrance, running, log=log, within_s=_START_WITHIN_S)
            return entrance

        return cells.full_load(bench, "mtls", wanted, entrance=show_certificate)


def redis_limits(bench: cells.Bench, names: Sequence[str]) -> list[results.Result]:
    """A limit for each client, counted in a Redis, and the same counted in memory.

    Raises:
        MissingError: If redis-server is not installed.
        StartError: If it does not start.
    """
    server = process.find_program("redis-server")
    if server is None:
        message = "redis-server is not installed; try: apt-get install redis-server"
        raise process.MissingError(message)
    log, port = bench.new_directory("redis") / "redis.log", bench.ports.take()
    command = [str(server), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(process.started(command, cores=bench.load_cores, log=log))
        process.wait_for_port(port, redis, log=log, within_s=_START_WITHIN_S)
        wanted = [
            cells.Cell(peer=name, variant=variant, wants=frozenset({feature}), redis_port=port)
            for name in names
            for variant, feature in (("in memory", "ratelimit"), ("in Redis", "redis"))
        ]
        return cells.full_load(bench, "redis-limits", wanted, store_pid=redis.pid)


def _variants(
    names: Sequence[str], wants: Sequence[str], request: load.Request, tokens: features.Tokens | None = None
) -> list[cells.Cell]:
    """Returns a cell for each feature, named for it."""
    return [
        cells.Cell(
            peer=name, variant=feature or "nothing", request=request, wants=frozenset({feature} - {""}), tokens=tokens
        )
        for name in names
        for feature in wants
    ]
