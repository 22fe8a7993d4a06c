"""Gateways beside the test, for tests that know them only by their bytes: in a thread, or in a process of their own."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from gateway.embedding import Gateway
from gateway.testing import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

START_TIMEOUT_S = 15
STOP_TIMEOUT_S = 10


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
def _in_thread(folder: Path, settings: dict[str, Any]) -> Iterator[int]:
    frontend = {"host": "127.0.0.1", "port": 0, **settings.pop("http", {})}
    gateway = Gateway.from_mapping({"frontend": {"http": frontend}, "shutdownTimeout": 1, **settings}, folder=folder)
    with (
        _no_traceback(),
        start_blocking_portal("asyncio", {"use_uvloop": True}) as portal,
        portal.wrap_async_context_manager(gateway),
    ):
        yield gateway.addresses[0][1]


@contextmanager
def _no_traceback() -> Iterator[None]:
    """Fail if anything is logged with a traceback."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.setFormatter(logging.Formatter())
    handler.emit = lambda record: said.append(handler.format(record))  # type: ignore[method-assign]  # a list is enough
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    assert "Traceback" not in "\n".join(said), "\n".join(said)


@contextmanager
def _in_process(folder: Path, settings: dict[str, Any]) -> Iterator[int]:
    port = free_port()
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
    return lambda **settings: _in_thread(folder, settings)


@pytest.fixture(scope="module")
def start_gateway_process(tmp_path_factory) -> Callable[..., AbstractContextManager[int]]:
    """Start a gateway as ``start_gateway`` does, in a process of its own: with its own memory and its own processor."""
    folder = tmp_path_factory.mktemp("gateway")
    return lambda **settings: _in_process(folder, settings)
