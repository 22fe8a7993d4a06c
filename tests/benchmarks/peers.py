"""How each proxy is found and started; `configurations.py` has what each is told.

All are set up to do the same work: HTTP/1.1 on both sides, keep-alive to the client and to the service without a
limit on requests, Host passed on, X-Forwarded-For added, no compression, request bodies streamed rather than stored, no
access log or anything else that a scenario does not ask for, one worker (or thread, or GOMAXPROCS) unless it asks for
more. Where a default would only slow a peer down in this set-up, such as a small idle pool, it is raised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import subprocess
import time
from typing import TYPE_CHECKING

import calls
import configurations
import h2
import load
import process
import upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import features

_START_WITHIN_S = 45.0
_ANSWER_WITHIN_S = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its key as PEM files, and both in one file."""

    certificate: Path
    key: Path
    both: Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a scenario wants of a proxy.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        service: What it forwards to; every address is one instance.
        routes: 1 routes everything; more gives that many rules, `/r1/` to `/r<routes>/`, and no other.
        workers: Worker processes or threads.
        certificate: Makes it listen for HTTPS only.
        client_certificate: The only one that it takes from clients; `None` asks for none.
        max_body_bytes: The largest request body; matters to the gateway, the others have no limit here.
        wants: What it does besides forwarding, see `features.py`.
        tokens: The tokens that it verifies.
        redis_port: Where the Redis is that it may use.
        first: What it is sent first.
    """

    port: int
    service: upstream.Service
    routes: int = 1
    workers: int = 1
    certificate: Certificate | None = None
    client_certificate: Certificate | None = None
    max_body_bytes: int = 10 * upstream.MIB
    wants: frozenset[str] = frozenset()
    tokens: features.Tokens | None = None
    redis_port: int | None = None
    first: load.Request = load.SMALL

    @property
    def instances(self) -> list[str]:
        """The instances as `address:port`."""
        return [f"{address}:{self.service.port}" for address in self.service.addresses]

    @property
    def prefixes(self) -> list[str]:
        """The path prefix of every rule."""
        return ["/"] if self.routes == 1 else [f"/r{number}/" for number in range(1, self.routes + 1)]

    @property
    def last_path(self) -> str:
        """A path that only the last rule matches."""
        return self.prefixes[-1] + "item"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A proxy to measure.

    Attributes:
        name: What it is called on the command line and in tables.
        program: The name of its executable.
        remedy: What to do when that is missing.
        configure: Writes its files into a directory and returns its arguments.
        environment: The variables it needs.
        version: The arguments that make it print its version.
    """

    name: str
    program: str
    remedy: str
    configure: Callable[[Setup, Path], list[str]]
    environment: Callable[[Setup], dict[str, str]] = lambda _: {}
    version: Sequence[str] = ("--version",)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A proxy that answers.

    Attributes:
        peer: Which one.
        pid: The first process of its tree.
        port: Where it listens.
        seconds_to_answer: From starting the process to the end of its first right answer.
    """

    peer: Peer
    pid: int
    port: int
    seconds_to_answer: float


@contextlib.contextmanager
def running(peer: Peer, program: Path, setup: Setup, directory: Path, *, cores: Sequence[int]) -> Iterator[Running]:
    """Runs a proxy for as long as the block lasts.

    Args:
        peer: Which one.
        program: Its executable.
        setup: What it has to do.
        directory: Where its files go; it exists and is its own.
        cores: Where it runs.

    Yields:
        The proxy, once it has passed on one right answer.

    Raises:
        StartError: If it does not start, or its first answer is not the service's; the message ends with its log.
    """
    command = [str(program), *peer.configure(setup, directory)]
    log = directory / f"{peer.name}.log"
    ask = _asking(setup)
    began = time.perf_counter()
    environment = {**peer.environment(setup), "HOME": str(directory)}
    with process.started(command, cores=cores, log=log, env=environment) as started:
        try:
            answered = load.wait_for_answer(ask, started, within_s=_START_WITHIN_S)
        except process.StartError as error:
            message = f"{error}: {process.tail(log)}"
            raise process.StartError(message) from error
        yield Running(peer=peer, pid=started.pid, port=setup.port, seconds_to_answer=answered - began)


def _asking(setup: Setup) -> Callable[[], None]:
    """Returns what sends a proxy its first request, a small one, and checks the answer."""
    first = setup.first
    if first.grpc:
        return functools.partial(calls.probe, setup.port, timeout_s=_ANSWER_WITHIN_S)
    if first.http2:
        return functools.partial(h2.probe, setup.port, first, timeout_s=_ANSWER_WITHIN_S)
    if not first.body:
        client = first.client_certificate
        is_tls = setup.certificate is not None
        first = load.Request(path=setup.last_path, tls=is_tls, client_certificate=client, headers=first.headers)
    return functools.partial(load.probe, setup.port, first, expected=first.answer, timeout_s=_ANSWER_WITHIN_S)


def find(peer: Peer, override: Path | None = None) -> Path | None:
    """Finds a peer's executable; `None` if it is missing.

    Envoy's wheel has a script that imports Python before it becomes Envoy, so the executable behind it is preferred.
    """
    if override is not None:
        return override if os.access(override, os.X_OK) else None
    if peer.name == "gateway":
        project = process.REPOSITORY / ".venv/bin/gateway"
        return project if project.exists() else None
    script = process.find_program(peer.program)
    if script is not None and peer.program == "envoy":
        return next(script.parent.parent.glob("lib/python3*/site-packages/envoy/_bin/envoy"), script)
    return script


def version(peer: Peer, program: Path) -> str:
    """Returns the line in which a program says its version, or "unknown"."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run([str(program), *peer.version], capture_output=True, text=True, timeout=20, check=False)
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if any(map(str.isdigit, line))]
        if done.returncode == 0 and lines:
            return lines[0].replace(str(program), "").strip()
    return "unknown"


def make_certificate(directory: Path) -> Certificate:
    """Makes a self-signed certificate (ECDSA P-256) for 127.0.0.1 that is valid for two days.

    Raises:
        StartError: If openssl is missing or fails.
    """
    openssl = process.find_program("openssl")
    if openssl is None:
        message = "openssl is not installed, and the tls scenario needs a certificate; try: apt-get install openssl"
        raise process.StartError(message)
    made = Certificate(certificate=directory / "tls.crt", key=directory / "tls.key", both=directory / "tls.pem")
    command = [str(openssl), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        message = f"openssl ended with {done.returncode}: {done.stderr.strip()[-300:]}"
        raise process.StartError(message)
    made.both.write_text(made.certificate.read_text() + made.key.read_text())
    return made


_WHEEL = ".venv/bin/python tests/benchmarks/run.py --install"

PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            name="nginx",
            program="nginx",
            remedy="apt-get install nginx-light",
            configure=configurations.nginx,
            version=("-v",),
        ),
        Peer(
            name="nginx-64k",
            program="nginx",
            remedy="apt-get install nginx-light",
            configure=configurations.nginx_64k,
            version=("-v",),
        ),
        Peer(
            name="haproxy",
            program="haproxy",
            remedy="apt-get install haproxy",
            configure=configurations.haproxy,
            version=("-v",),
        ),
        Peer(name="envoy", program="envoy", remedy=_WHEEL, configure=configurations.envoy),
        Peer(
            name="traefik",
            program="traefik",
            remedy=_WHEEL,
            configure=configurations.traefik,
            environment=configurations.go,
            version=("version",),
        ),
        Peer(
            name="traefik-fast",
            program="traefik",
            remedy=_WHEEL,
            configure=configurations.traefik_fast,
            environment=configurations.go,
            version=("version",),
        ),
        Peer(
            name="caddy",
            program="caddy",
            remedy=_WHEEL,
            configure=configurations.caddy,
            environment=configurations.go,
            version=("version",),
        ),
        Peer(
            name="gateway",
            program="gateway",
            remedy="make build",
            configure=configurations.gateway,
            environment=configurations.python,
        ),
    )
}


def the_gateway(override: Path | None) -> Path:
    """Returns the gateway's program, or the one that is asked for instead.

    Raises:
        StartError: If there is none.
    """
    gateway = PEERS["gateway"]
    program = find(gateway, override)
    if program is None:
        message = f"{override or '.venv/bin/gateway'} is no program; try: {gateway.remedy}"
        raise process.StartError(message)
    return program
