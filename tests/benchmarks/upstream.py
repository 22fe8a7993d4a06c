"""The service behind every proxy: one nginx with the same answers for all of them.

| request | answer |
|---|---|
| `GET` of any other path | 200 with `SMALL_BODY`, 65 bytes |
| `GET /1mb` | 200 with a file of 1 MiB |
| `POST /upload` | reads the whole body, then answers 200 with `<Content-Length>/<bytes received, head included>` |

nginx answers `return 200` before it has read a request's body, so `/upload` goes the long way round: nginx buffers
the body in memory and asks a second server of its own, through a Unix socket and without the body, what to say.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TYPE_CHECKING

import process

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MIB = 1024 * 1024
SMALL_BODY = b"The quick brown fox jumps over the lazy dog, then does so again.\n"
_START_WITHIN_S = 10.0

_CONFIG = """\
{user}
daemon off;
pid {directory}/upstream.pid;
worker_processes {workers};
worker_rlimit_nofile 16384;
error_log stderr error;
events {{ worker_connections 12000; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path {directory}/upstream-temp;
    default_type text/plain;
    sendfile on;
    tcp_nopush on;
    upstream answer {{
        server unix:{directory}/answer.sock;
        keepalive 128;
        keepalive_requests 1000000000;
    }}
    server {{
{listens}
        location / {{ return 200 "{small}"; }}
        location = /1mb {{ alias {directory}/1mb; }}
        location = /upload {{
            client_max_body_size 0;
            client_body_buffer_size 2m;
            proxy_pass http://answer;
            proxy_http_version 1.1;
            proxy_pass_request_body off;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            proxy_set_header X-Received "$content_length/$request_length";
        }}
    }}
    server {{
        listen unix:{directory}/answer.sock;
        location / {{ return 200 "$http_x_received\\n"; }}
    }}
}}
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where the service listens.

    Attributes:
        addresses: Loopback addresses; each is one instance.
        port: The port, the same on all of them.
        descriptors: The descriptors of a service that speaks gRPC; `None` if it speaks HTTP/1.1.
    """

    addresses: Sequence[str]
    port: int
    descriptors: Path | None = None


@contextlib.contextmanager
def serving(
    directory: Path, port: int, *, cores: Sequence[int], instances: int = 1, workers: int = 1
) -> Iterator[Service]:
    """Runs the service for as long as the block lasts.

    Args:
        directory: Where its files go; it exists and is its own.
        port: A free port.
        cores: Where it runs.
        instances: The number of loopback addresses it listens on: 127.0.0.1 first, then 127.1.0.1 and up.
        workers: The number of nginx workers.

    Yields:
        Where it listens.

    Raises:
        StartError: If nginx is not installed or does not start.
    """
    nginx = process.find_program("nginx")
    if nginx is None:
        message = "nginx is not installed, and every scenario needs it as the service; try: apt-get install nginx-light"
        raise process.StartError(message)
    service = Service(addresses=_addresses(instances), port=port)
    (directory / "1mb").write_bytes(os.urandom(MIB))
    config = directory / "upstream.conf"
    config.write_text(_config(directory, service, workers))
    log = directory / "upstream.log"
    command = [str(nginx), "-p", str(directory), "-e", "stderr", "-c", str(config)]
    with process.started(command, cores=cores, log=log) as running:
        process.wait_for_port(port, running, log=log, within_s=_START_WITHIN_S)
        yield service


def _addresses(count: int) -> list[str]:
    return ["127.0.0.1", *(f"127.1.{number // 200}.{number % 200 + 1}" for number in range(count - 1))]


def _config(directory: Path, service: Service, workers: int) -> str:
    listens = (f"        listen {address}:{service.port} backlog=1024;" for address in service.addresses)
    return _CONFIG.format(
        user="user root;" if os.geteuid() == 0 else "",  # root's workers would otherwise not reach the directory
        directory=directory,
        workers=workers,
        listens="\n".join(listens),
        small=SMALL_BODY.decode().replace("\n", "\\n"),
    )
