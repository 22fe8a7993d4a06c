"""Gateways and services for the examples in the documentation: real processes and sockets, all on this machine."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import pytest
import yaml
from anyio.from_thread import start_blocking_portal

from gateway.embedding import Gateway
from gateway.logs import TextFormatter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from gateway.testing import GatewayFactory
    from gateway.testing import RunningGateway as Serving

ROOT = Path(__file__).parents[2]
GATEWAY = Path(sys.executable).with_name("gateway")
START_TIMEOUT_S = 20.0
HTTPS_PORT = 443


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class RunningGateway:
    """A gateway on a free port.

    Attributes:
        lines: What it has written.
    """

    port: int

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._has_ended = False

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def ask(
        self,
        path: str = "/",
        method: str = "GET",
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def wait_for_line(self, pattern: str) -> str:
        """Return the first line in which ``pattern`` is found, as soon as it is there."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        with self._changed:
            while True:
                found = next((line for line in self.lines if re.search(pattern, line)), None)
                if found is not None:
                    return found
                if self._has_ended or not self._changed.wait(deadline_s - time.monotonic()):
                    raise AssertionError(f"no line with {pattern!r}:\n{self.log}")

    def _wrote(self, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()


class GatewayProcess(RunningGateway):
    """A gateway in a process of its own, started as on the command line."""

    def __init__(self, arguments: Sequence[str], folder: Path, path: Sequence[Path]) -> None:
        super().__init__()
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if path:
            environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
        command = [str(GATEWAY), "--host", "127.0.0.1", "--port", "0", *arguments]
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self.port = int(re.findall(r"127\.0\.0\.1:(\d+)", self.wait_for_line(r"listening on "))[0])
        except BaseException:
            self.stop()
            raise

    def reload(self) -> None:
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> int:
        if self._process.poll() is None:
            self._process.terminate()
        code = self._process.wait(10)
        self._reader.join()
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._wrote(line.rstrip("\n"))
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()


class GatewayThread(RunningGateway, contextlib.ExitStack):
    """A gateway in a thread: started in a twentieth of the time that a process takes."""

    def __init__(self, configuration: Path, plugins: Sequence[Path]) -> None:
        RunningGateway.__init__(self)
        contextlib.ExitStack.__init__(self)
        self._gateway = Gateway.from_file(configuration, plugin_files=plugins)

    def __enter__(self) -> Self:
        self._listen_to_the_log()
        self._portal = self.enter_context(start_blocking_portal("asyncio", {"use_uvloop": True}))
        self.enter_context(self._portal.wrap_async_context_manager(self._gateway))
        self.port = self._gateway.addresses[0][1]
        return self

    def reload(self) -> None:
        self._portal.call(self._gateway.reload)

    def _listen_to_the_log(self) -> None:
        logger, handler, formatter = logging.getLogger("gateway"), logging.Handler(), TextFormatter()
        handler.emit = lambda record: self._wrote(formatter.format(record))  # type: ignore[method-assign]  # lines are enough
        self.callback(logger.setLevel, logger.level)
        self.callback(logger.removeHandler, handler)
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)


@pytest.fixture
def start_gateway_process(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    """Start gateways as processes: ``start_gateway_process(yaml, plugins=[...])``; they are stopped in the end."""
    running: list[GatewayProcess] = []

    def start(
        configuration: str | None = None,
        *,
        plugins: Sequence[Path] = (),
        path: Sequence[Path] = (),
        arguments: Sequence[str] = (),
    ) -> GatewayProcess:
        words = [*arguments]
        if configuration is not None:
            file = tmp_path / "gateway.yaml"
            file.write_text(configuration)
            words += ["-c", str(file)]
        for plugin in plugins:
            words += ["--plugin", str(plugin)]
        running.append(GatewayProcess(words, tmp_path, path))
        return running[-1]

    yield start
    for gateway in running:
        gateway.stop()


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., GatewayThread]]:
    """Start gateways: ``start_gateway(yaml, plugins=[...])``; they are stopped when the test is over."""
    with contextlib.ExitStack() as running:

        def start(configuration: str, *, plugins: Sequence[Path] = ()) -> GatewayThread:
            block = yaml.safe_load(configuration)
            frontend = block["gateway"].setdefault("frontend", {})
            frontend["http"] = {**(frontend.get("http") or {}), "host": "127.0.0.1", "port": 0}
            block["gateway"].setdefault("shutdownTimeout", "1s")
            file = tmp_path / "gateway.yaml"
            file.write_text(yaml.safe_dump(block))
            return running.enter_context(GatewayThread(file, plugins))

        yield start


class Service:
    """A service that answers each request with the bytes that ``answer`` returns, or as it pleases with the socket."""

    def __init__(self, answer: Callable[[bytes, socket.socket], bytes | None]) -> None:
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port: int = self._listening.getsockname()[1]
        self.requests: list[bytes] = []
        self._start(self._accept)

    def close(self) -> None:
        for each in (self._listening, *self._connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(5)
        for each in (self._listening, *self._connections):
            each.close()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._connections.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while request := _read_request(connection):
                self.requests.append(request)
                answer = self._answer(request, connection)
                if answer is None:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                connection.sendall(answer)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"content-length: (\d+)", head)
    missing = int(found[1]) - len(body) if found else 0
    while missing > 0:
        piece = connection.recv(missing)
        body, missing = body + piece, missing - len(piece)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def start_service() -> Iterator[Callable[..., Service]]:
    """Start services: ``start_service(answer)``."""
    running: list[Service] = []

    def start(answer: Callable[[bytes, socket.socket], bytes | None]) -> Service:
        running.append(Service(answer))
        return running[-1]

    yield start
    for service in running:
        service.close()


class HasPort(Protocol):
    """A service of a test."""

    port: int


@pytest.fixture
def start_example(gateway_factory: GatewayFactory) -> Callable[..., Awaitable[Serving]]:
    """Give a function that starts a gateway with an example, on free ports, and with services of the test's.

    ``start_example("examples/retry", {"orders": [upstream, upstream]}, change)``: the upstreams take the places of the
    instances that the example names, in order; ``change`` gets what stands below ``gateway``. Services that are not
    given stay where they are.
    """

    async def start(
        name: str,
        services: Mapping[str, Sequence[HasPort]] | None = None,
        change: Callable[[dict[str, Any]], None] = lambda block: None,
    ) -> Serving:
        block = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())["gateway"]
        for protocol in block.setdefault("frontend", {}).values():
            if "port" in protocol:
                protocol |= {"host": "127.0.0.1", "port": 0}
        for service in block.get("registry", {}).get("static", {}).get("services", []):
            given = (services or {}).get(service["name"])
            for instance, upstream in zip(service["instances"], given, strict=True) if given else ():
                plain = {"scheme": "http"} if instance["port"] == HTTPS_PORT else {}  # which means TLS by itself
                instance |= {"address": "127.0.0.1", "port": upstream.port, **plain}
        change(block)
        return await gateway_factory(block)

    return start
