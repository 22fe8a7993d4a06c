"""How each proxy is found, configured and started.

All are set up to do the same work: HTTP/1.1 on both sides, keep-alive to the client and to the service without a
limit on requests, Host passed on, X-Forwarded-For added, no compression, request bodies streamed rather than stored, no
access log or anything else that a scenario does not ask for, one worker (or thread, or GOMAXPROCS) unless it asks for
more. Where a default would only slow a peer down in this set-up, such as a small idle pool, it is raised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import features
import load
import process
import upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_START_WITHIN_S = 45.0
_IDLE_POOL = 2048
_LIVE_FILES = 52_000  # two for each of 25,000 connections, and some


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
        max_body_bytes: The largest request body; matters to the gateway, the others have no limit here.
        wants: What it does besides forwarding, see `features.py`.
        tokens: The tokens that it verifies.
        first: What it is sent first.
    """

    port: int
    service: upstream.Service
    routes: int = 1
    workers: int = 1
    certificate: Certificate | None = None
    max_body_bytes: int = 10 * upstream.MIB
    wants: frozenset[str] = frozenset()
    tokens: features.Tokens | None = None
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
    first = load.Request(path=setup.last_path, tls=setup.certificate is not None, headers=setup.first.headers)
    began = time.perf_counter()
    environment = {**peer.environment(setup), "HOME": str(directory)}
    with process.started(command, cores=cores, log=log, env=environment) as started:
        try:
            answered = load.wait_for_answer(setup.port, first, started, within_s=_START_WITHIN_S)
        except process.StartError as error:
            message = f"{error}: {process.tail(log)}"
            raise process.StartError(message) from error
        yield Running(peer=peer, pid=started.pid, port=setup.port, seconds_to_answer=answered - began)


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


def _nginx(setup: Setup, directory: Path, *, buffers: Sequence[str] = ()) -> list[str]:
    tls = setup.certificate
    options = (" reuseport" if setup.workers > 1 else "") + (" ssl" if tls else "")
    locations = (f"        location {prefix} {{ proxy_pass http://up; }}" for prefix in setup.prefixes)
    lines = [
        "user root;" if os.geteuid() == 0 else "",  # root's workers would otherwise not reach the directory
        "daemon off;",
        f"pid {directory}/nginx.pid;",
        f"worker_processes {setup.workers};",
        f"worker_rlimit_nofile {_LIVE_FILES if 'live' in setup.wants else 16384};",
        "error_log stderr error;",
        f"events {{ worker_connections {_LIVE_FILES if 'live' in setup.wants else 12000}; }}",
        "http {",
        *features.nginx_http(setup.wants, directory),
        "    keepalive_requests 1000000000;",
        "    keepalive_timeout 600s;",
        "    client_max_body_size 0;",
        f"    client_body_temp_path {directory}/nginx-body;",
        f"    proxy_temp_path {directory}/nginx-proxy;",
        "    proxy_max_temp_file_size 0;",  # a slow client must not send a body to the disk
        "    proxy_request_buffering off;",
        *buffers,
        "    proxy_http_version 1.1;",
        '    proxy_set_header Connection "";',
        "    proxy_set_header Host $http_host;",
        "    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "    upstream up {",
        *(f"        server {instance};" for instance in setup.instances),
        f"        keepalive {_IDLE_POOL};",
        "        keepalive_requests 1000000000;",
        "        keepalive_timeout 600s;",
        "    }",
        "    server {",
        f"        listen 127.0.0.1:{setup.port} backlog=1024{options};",
        f"        ssl_certificate {tls.certificate}; ssl_certificate_key {tls.key};" if tls else "",
        *features.nginx_server(setup.wants),
        *locations,
        "    }",
        "}",
    ]
    config = directory / "nginx.conf"
    config.write_text("\n".join(lines))
    return ["-p", str(directory), "-e", "stderr", "-c", str(config)]


def _nginx_64k(setup: Setup, directory: Path) -> list[str]:
    buffers = [
        "    proxy_buffer_size 16k;",
        "    proxy_buffers 8 64k;",
        "    proxy_busy_buffers_size 128k;",
        "    client_body_buffer_size 64k;",
    ]
    return _nginx(setup, directory, buffers=buffers)


def _haproxy(setup: Setup, directory: Path) -> list[str]:
    rules = directory / "haproxy.map"
    rules.write_text("".join(f"{prefix} up\n" for prefix in setup.prefixes))
    by_path = f"use_backend %[path,map_beg({rules})]" if setup.routes > 1 else "default_backend up"
    lines = [
        "global",
        "    maxconn 9000",
        f"    nbthread {setup.workers}",
        "defaults",
        "    mode http",
        "    timeout connect 5s",
        "    timeout client 600s",
        "    timeout server 600s",
        "    http-reuse always",
        "    option forwardfor",
        "frontend in",
        f"    bind 127.0.0.1:{setup.port}" + (f" ssl crt {setup.certificate.both}" if setup.certificate else ""),
        f"    {by_path}",
        "backend up",
        *(f"    server s{number} {instance}" for number, instance in enumerate(setup.instances)),
        "",
    ]
    config = directory / "haproxy.cfg"
    config.write_text("\n".join(lines))
    return ["-db", "-f", str(config)]


def _envoy(setup: Setup, directory: Path) -> list[str]:
    type_url = "type.googleapis.com/envoy.extensions"
    router = {"@type": f"{type_url}.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    rules = [{"match": {"prefix": prefix}, "route": {"cluster": "up", "timeout": "0s"}} for prefix in setup.prefixes]
    manager = {
        "@type": f"{type_url}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "HTTP1",
        "use_remote_address": True,  # adds X-Forwarded-For
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": rules}]},
        "access_log": features.envoy_log(setup.wants, directory),
        "upgrade_configs": features.envoy_upgrades(setup.wants),
        "http_filters": [
            *features.envoy_filters(setup.wants, setup.tokens),
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": manager}]}
    if tls := setup.certificate:
        pair = {"certificate_chain": {"filename": str(tls.certificate)}, "private_key": {"filename": str(tls.key)}}
        context = {"common_tls_context": {"tls_certificates": [pair]}}
        context["@type"] = f"{type_url}.transport_sockets.tls.v3.DownstreamTlsContext"  # type: ignore[assignment]  # JSON
        chain["transport_socket"] = {"name": "tls", "typed_config": context}
    many = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    endpoints = [
        {"endpoint": {"address": _envoy_address(address, setup.service.port)}} for address in setup.service.addresses
    ]
    cluster = {
        "name": "up",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    listener = {"name": "in", "address": _envoy_address("127.0.0.1", setup.port), "filter_chains": [chain]}
    config = directory / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    return ["-c", str(config), "--concurrency", str(setup.workers), "-l", "error", "--disable-hot-restart"]


def _envoy_address(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def _traefik(setup: Setup, directory: Path, *, fast: bool = False) -> list[str]:
    static: dict[str, Any] = {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "ERROR"},
        "entryPoints": {
            "web": {
                "address": f"127.0.0.1:{setup.port}",
                "transport": {"respondingTimeouts": {"readTimeout": 0, "idleTimeout": 600}},
                **({"http": {"tls": {}}} if setup.certificate else {}),
            }
        },
        "providers": {"file": {"filename": str(directory / "dynamic.yaml"), "watch": False}},
        "serversTransport": {"maxIdleConnsPerHost": _IDLE_POOL},
        **({"experimental": {"fastProxy": {}}} if fast else {}),
    }
    dynamic: dict[str, Any] = {
        "http": {
            "routers": {
                f"r{number}": {"rule": f"PathPrefix(`{prefix}`)", "service": "up", "entryPoints": ["web"]}
                for number, prefix in enumerate(setup.prefixes)
            },
            "services": {"up": {"loadBalancer": {"servers": [{"url": f"http://{at}"} for at in setup.instances]}}},
        }
    }
    if tls := setup.certificate:
        pair = {"certFile": str(tls.certificate), "keyFile": str(tls.key)}
        dynamic["tls"] = {"stores": {"default": {"defaultCertificate": pair}}}
    (directory / "dynamic.yaml").write_text(json.dumps(dynamic))
    (directory / "traefik.yaml").write_text(json.dumps(static))
    return [f"--configFile={directory / 'traefik.yaml'}"]


def _traefik_fast(setup: Setup, directory: Path) -> list[str]:
    return _traefik(setup, directory, fast=True)


def _caddy(setup: Setup, directory: Path) -> list[str]:
    forward = {
        "handler": "reverse_proxy",
        "transport": {"protocol": "http", "keep_alive": {"max_idle_conns_per_host": _IDLE_POOL}},
        "upstreams": [{"dial": instance} for instance in setup.instances],
        "load_balancing": {"selection_policy": {"policy": "round_robin"}},
    }
    rules = [
        {"match": [{"path": [f"{prefix}*"]}], "handle": [{"handler": "invoke", "name": "forward"}]}
        for prefix in setup.prefixes
    ]
    server: dict[str, Any] = {
        "listen": [f"127.0.0.1:{setup.port}"],
        "protocols": ["h1"],
        "automatic_https": {"disable": True},
        "named_routes": {"forward": {"handle": [forward]}},  # so that 10,000 rules share one pool and one balancer
        "routes": rules if setup.routes > 1 else [{"handle": [forward]}],
    }
    apps: dict[str, Any] = {"http": {"servers": {"in": server}}}
    if tls := setup.certificate:
        server["tls_connection_policies"] = [{}]
        pair = {"certificate": str(tls.certificate), "key": str(tls.key)}
        apps["tls"] = {"certificates": {"load_files": [pair]}}
    config = directory / "caddy.json"
    logging = {"logs": {"default": {"level": "ERROR"}}}
    config.write_text(json.dumps({"admin": {"disabled": True}, "logging": logging, "apps": apps}))
    return ["run", "--config", str(config)]


def _gateway(setup: Setup, directory: Path) -> list[str]:
    lines = [
        "gateway:",
        "  frontend:",
        "    http:",
        "      host: 127.0.0.1",
        f"      port: {setup.port}",
        f"      maxRequestSize: {setup.max_body_bytes}",
    ]
    if "live" in setup.wants:
        lines.append("      maxConnections: 25000")
    if tls := setup.certificate:
        lines.append(f"      tls: {{enabled: true, certFile: {tls.certificate}, keyFile: {tls.key}}}")
    lines += ["  registry:", "    static:", "      services:", "        - name: up", "          instances:"]
    lines += [
        f"            - {{id: i{number}, address: {address}, port: {setup.service.port}}}"
        for number, address in enumerate(setup.service.addresses)
    ]
    lines += ["  router:", "    rules:"]
    lines += [
        f"      - {{id: r{number}, path: {prefix}*, serviceName: up}}" for number, prefix in enumerate(setup.prefixes)
    ]
    lines += features.gateway_rules(setup.wants)
    lines += features.gateway_lines(setup.wants, directory, setup.tokens)
    config = directory / "gateway.yaml"
    config.write_text("\n".join(lines) + "\n")
    workers = ["--workers", str(setup.workers)] if setup.workers > 1 else []
    return ["-c", str(config), *workers]


def _go(setup: Setup) -> dict[str, str]:
    return {"GOMAXPROCS": str(setup.workers)}


def _python(_: Setup) -> dict[str, str]:
    """Lets Python keep its byte code, as it does where nobody forbids it; start-up would not be what users see."""
    return {"PYTHONDONTWRITEBYTECODE": ""}


_WHEEL = ".venv/bin/python tests/benchmarks/run.py --install"

PEERS = {
    peer.name: peer
    for peer in (
        Peer(name="nginx", program="nginx", remedy="apt-get install nginx-light", configure=_nginx, version=("-v",)),
        Peer(
            name="nginx-64k",
            program="nginx",
            remedy="apt-get install nginx-light",
            configure=_nginx_64k,
            version=("-v",),
        ),
        Peer(name="haproxy", program="haproxy", remedy="apt-get install haproxy", configure=_haproxy, version=("-v",)),
        Peer(name="envoy", program="envoy", remedy=_WHEEL, configure=_envoy),
        Peer(
            name="traefik",
            program="traefik",
            remedy=_WHEEL,
            configure=_traefik,
            environment=_go,
            version=("version",),
        ),
        Peer(
            name="traefik-fast",
            program="traefik",
            remedy=_WHEEL,
            configure=_traefik_fast,
            environment=_go,
            version=("version",),
        ),
        Peer(name="caddy", program="caddy", remedy=_WHEEL, configure=_caddy, environment=_go, version=("version",)),
        Peer(name="gateway", program="gateway", remedy="make build", configure=_gateway, environment=_python),
    )
}
