"""The configuration files of each proxy: what `peers.Setup` wants, as each of them spells it.

Each function writes its files into a directory and returns the arguments of the program.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import features

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import peers

_IDLE_POOL = 2048
_LIVE_FILES = 52_000  # two for each of 25,000 connections, and some


def nginx(setup: peers.Setup, directory: Path, *, buffers: Sequence[str] = ()) -> list[str]:
    tls = setup.certificate
    options = (" reuseport" if setup.workers > 1 else "") + (" ssl" if tls else "")
    options += " http2" if "http2" in setup.wants else ""
    target = "grpc_pass grpc://up;" if "grpc" in setup.wants else "proxy_pass http://up;"
    locations = (f"        location {prefix} {{ {target} }}" for prefix in setup.prefixes)
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


def nginx_64k(setup: peers.Setup, directory: Path) -> list[str]:
    buffers = [
        "    proxy_buffer_size 16k;",
        "    proxy_buffers 8 64k;",
        "    proxy_busy_buffers_size 128k;",
        "    client_body_buffer_size 64k;",
    ]
    return nginx(setup, directory, buffers=buffers)


def haproxy(setup: peers.Setup, directory: Path) -> list[str]:
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


def envoy(setup: peers.Setup, directory: Path) -> list[str]:
    type_url = "type.googleapis.com/envoy.extensions"
    router = {"@type": f"{type_url}.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    rules = [{"match": {"prefix": prefix}, "route": {"cluster": "up", "timeout": "0s"}} for prefix in setup.prefixes]
    manager = {
        "@type": f"{type_url}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "codec_type": "AUTO" if "http2" in setup.wants else "HTTP1",
        "use_remote_address": True,  # adds X-Forwarded-For
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": rules}]},
        "access_log": features.envoy_log(setup.wants, directory),
        "upgrade_configs": features.envoy_upgrades(setup.wants),
        "http_filters": [
            *features.envoy_filters(setup.wants, setup.tokens, setup.service.descriptors),
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": manager}]}
    if tls := setup.certificate:
        pair = {"certificate_chain": {"filename": str(tls.certificate)}, "private_key": {"filename": str(tls.key)}}
        common: dict[str, Any] = {"tls_certificates": [pair]}
        if "http2" in setup.wants:
            common["alpn_protocols"] = ["h2", "http/1.1"]
        kind = f"{type_url}.transport_sockets.tls.v3.DownstreamTlsContext"
        context = {"@type": kind, "common_tls_context": common}
        chain["transport_socket"] = {"name": "tls", "typed_config": context}
    many = {"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}
    endpoints = [
        {"endpoint": {"address": _envoy_address(address, setup.service.port)}} for address in setup.service.addresses
    ]
    cluster: dict[str, Any] = {
        "name": "up",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    if "grpc" in setup.wants:
        kind = f"{type_url}.upstreams.http.v3.HttpProtocolOptions"
        options = {"@type": kind, "explicit_http_config": {"http2_protocol_options": {}}}
        cluster["typed_extension_protocol_options"] = {kind.partition("/")[2]: options}
    listener = {"name": "in", "address": _envoy_address("127.0.0.1", setup.port), "filter_chains": [chain]}
    config = directory / "envoy.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
    return ["-c", str(config), "--concurrency", str(setup.workers), "-l", "error", "--disable-hot-restart"]


def _envoy_address(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def traefik(setup: peers.Setup, directory: Path, *, fast: bool = False) -> list[str]:
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
    scheme = "h2c" if "grpc" in setup.wants else "http"
    dynamic: dict[str, Any] = {
        "http": {
            "routers": {
                f"r{number}": {"rule": f"PathPrefix(`{prefix}`)", "service": "up", "entryPoints": ["web"]}
                for number, prefix in enumerate(setup.prefixes)
            },
            "services": {"up": {"loadBalancer": {"servers": [{"url": f"{scheme}://{at}"} for at in setup.instances]}}},
        }
    }
    if tls := setup.certificate:
        pair = {"certFile": str(tls.certificate), "keyFile": str(tls.key)}
        dynamic["tls"] = {"stores": {"default": {"defaultCertificate": pair}}}
    (directory / "dynamic.yaml").write_text(json.dumps(dynamic))
    (directory / "traefik.yaml").write_text(json.dumps(static))
    return [f"--configFile={directory / 'traefik.yaml'}"]


def traefik_fast(setup: peers.Setup, directory: Path) -> list[str]:
    return traefik(setup, directory, fast=True)


def caddy(setup: peers.Setup, directory: Path) -> list[str]:
    forward = {
        "handler": "reverse_proxy",
        "transport": {
            "protocol": "http",
            "keep_alive": {"max_idle_conns_per_host": _IDLE_POOL},
            **({"versions": ["h2c"]} if "grpc" in setup.wants else {}),
        },
        "upstreams": [{"dial": instance} for instance in setup.instances],
        "load_balancing": {"selection_policy": {"policy": "round_robin"}},
    }
    rules = [
        {"match": [{"path": [f"{prefix}*"]}], "handle": [{"handler": "invoke", "name": "forward"}]}
        for prefix in setup.prefixes
    ]
    server: dict[str, Any] = {
        "listen": [f"127.0.0.1:{setup.port}"],
        "protocols": ["h1", "h2", "h2c"] if "http2" in setup.wants else ["h1"],
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


def gateway(setup: peers.Setup, directory: Path) -> list[str]:
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
    client = setup.client_certificate
    asking = f", clientAuth: require, clientCAFile: {client.certificate}" if client else ""
    if tls := setup.certificate:
        lines.append(f"      tls: {{enabled: true, certFile: {tls.certificate}, keyFile: {tls.key}{asking}}}")
    if "http2" in setup.wants:
        lines.append("    http2: {}")
    scheme = ", scheme: grpc" if "grpc" in setup.wants else ""
    lines += ["  registry:", "    static:", "      services:", "        - name: up", "          instances:"]
    lines += [
        f"            - {{id: i{number}, address: {address}, port: {setup.service.port}{scheme}}}"
        for number, address in enumerate(setup.service.addresses)
    ]
    lines += ["  router:", "    rules:"]
    more = features.gateway_rule(setup.wants, setup.service.descriptors)
    lines += [
        f"      - {{id: r{number}, path: {prefix}*, serviceName: up{more}}}"
        for number, prefix in enumerate(setup.prefixes)
    ]
    lines += features.gateway_rules(setup.wants)
    lines += features.gateway_lines(setup.wants, directory, setup.tokens, setup.redis_port)
    config = directory / "gateway.yaml"
    config.write_text("\n".join(lines) + "\n")
    workers = ["--workers", str(setup.workers)] if setup.workers > 1 else []
    return ["-c", str(config), *workers]


def go(setup: peers.Setup) -> dict[str, str]:
    """Gives a program in Go as many threads as it is to have workers."""
    return {"GOMAXPROCS": str(setup.workers)}


def python(_: peers.Setup) -> dict[str, str]:
    """Lets Python keep its byte code, as it does where nobody forbids it; start-up would not be what users see."""
    return {"PYTHONDONTWRITEBYTECODE": ""}
