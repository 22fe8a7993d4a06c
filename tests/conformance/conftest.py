"""Gateways as subprocesses, for tests that know them only by their bytes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

START_TIMEOUT_S = 15
STOP_TIMEOUT_S = 10


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/_gateway/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    while not _is_ready(port):
        if process.poll() is not None or time.monotonic() > give_up:
            pytest.fail(f"the gateway did not start:\n{log.read_text()}")
        time.sleep(0.05)


@contextmanager
def _started(folder: Path, settings: dict[str, Any]) -> Iterator[int]:
    port = _free_port()
    frontend = {"host": "127.0.0.1", "port": port, **settings.pop("http", {})}
    config = folder / f"gateway-{port}.yaml"
    # JSON is YAML.
    config.write_text(json.dumps({"gateway": {"frontend": {"http": frontend}, **settings}}))
    log = folder / f"gateway-{port}.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "-c", str(config)], stdout=output, stderr=output, env=environment
        )
    try:
        _wait_ready(process, port, log)
        yield port
        assert process.poll() is None, f"the gateway died:\n{log.read_text()}"
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def start_gateway(tmp_path_factory) -> Callable[..., AbstractContextManager[int]]:
    """Start a gateway with these blocks below ``gateway`` (``http`` is ``frontend.http``); gives its port."""
    folder = tmp_path_factory.mktemp("gateway")
    return lambda **settings: _started(folder, settings)
