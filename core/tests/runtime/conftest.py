"""A plugin in miniature, with a protocol of lines: ``GET /path`` in, ``200 body`` out."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import types
from importlib.metadata import EntryPoint
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from gateway import (
    AdapterRegistration,
    AdminRouteRegistration,
    BalancerRegistration,
    Config,
    ConnectorRegistration,
    DiscoveryRegistration,
    Endpoint,
    ErrorType,
    Exchange,
    GatewayError,
    HealthCheckerRegistration,
    ObserverRegistration,
    PolicyRegistration,
    Request,
    Response,
    Stage,
)
from gateway.config import load_configuration
from gateway.interfaces import Listener

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Configuration

MODULE = "gateway_kit"


class LineConfig(Config):
    host: str = "127.0.0.1"
    port: int = 0
    greeting: str = ""


class ConnectorConfig(Config):
    suffix: str = ""


class FixedConfig(Config):
    services: dict[str, list[int]] = {}  # noqa: RUF012 - a stand-in, made anew for each test


class NamedConfig(Config):
    name: str = ""


class LineConnection(asyncio.Protocol):
    """One request at a time, as the test that sends them does."""

    def __init__(self, adapter: LineAdapter) -> None:
        self.adapter = adapter
        self.exchange: Exchange | None = None
        self.is_draining = adapter.is_draining

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.adapter.open.add(self)
        if self.adapter.greeting:
            transport.write(f"{self.adapter.greeting}\n".encode())

    def data_received(self, data: bytes) -> None:
        method, _, path = data.decode().strip().partition(" ")
        self.exchange = Exchange(Request(method, path, client="192.0.2.1", id="r"), self)
        if method == "!":
            self.adapter.context.refuse(self.exchange, GatewayError(ErrorType.BAD_REQUEST, "no request"))
        else:
            self.adapter.context.serve(self.exchange)

    def respond(self, exchange: Exchange, response: Response) -> None:
        body = response.body if isinstance(response.body, bytes) else b"?"
        self.transport.write(b"%d %b\n" % (response.status, body))
        self.exchange = None
        exchange.finish(len(body))
        if self.is_draining:
            self.transport.close()

    def inform(self, exchange: Exchange, status: int, pairs: Any) -> None:
        raise AssertionError

    def drain(self) -> None:
        self.is_draining = True
        if self.exchange is None:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.adapter.open.discard(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.cancel()
            exchange.finish(0, error or ConnectionResetError())


class LineAdapter:
    def __init__(self, config: LineConfig, context: Any) -> None:
        self.context = context
        self.greeting = config.greeting
        self.open: set[LineConnection] = set()
        self.is_draining = False
        self._listeners = [Listener(host=config.host, port=config.port)]

    def listeners(self) -> list[Listener]:
        return self._listeners

    def connection(self, listener: Listener) -> LineConnection:
        return LineConnection(self)

    def drain(self) -> None:
        self.is_draining = True
        for connection in list(self.open):
            connection.drain()

    def connections(self) -> int:
        return len(self.open)

    def close(self) -> None:
        for connection in list(self.open):
            connection.transport.abort()


class First:
    def select(self, instances: Any, exchange: Exchange) -> Any:
        return instances[0]


class Kit:
    """What the plugin does, and notes of what is done to it.

    Attributes:
        events: What happened to components, in order.
        answer: Answers exchanges; may wait.
        offers: What the plugin offers, by name; a test may add and replace.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[str] = []
        self.built: list[Any] = []
        self.answer: Callable[[Exchange], Any] = lambda exchange: Response.text(exchange.upstream_path)
        self.offers: dict[str, Any] = {}
        self.add(
            AdapterRegistration(
                name="line", build=self.keeping(LineAdapter), config=LineConfig, path="frontend.line", default_on=True
            ),
            ConnectorRegistration(
                name="kit",
                build=self.component("connector"),
                config=ConnectorConfig,
                path="backend.kit",
                default_on=True,
                protocol="http",
                schemes=("http",),
            ),
            DiscoveryRegistration(name="fixed", build=self._fixed, config=FixedConfig, path="registry.fixed"),
            BalancerRegistration(name="round_robin", build=lambda config, context: First()),
        )

    def add(self, *registrations: Any) -> None:
        self.offers.update((registration.name, registration) for registration in registrations)

    def keeping(self, build: Any) -> Any:
        """Return a ``build`` that notes what it builds."""

        def noted(config: Any, context: Any) -> Any:
            component = build(config, context)
            self.built.append(component)
            return component

        return noted

    def component(self, name: str, **methods: Any) -> Any:
        """Return a ``build`` for something that is entered and exited, and that says so."""
        kit = self

        class Component:
            waits = False

            def __init__(self, config: Any, context: Any) -> None:
                self.config, self.context = config, context
                self.label = f"{name}{getattr(config, 'suffix', '')}{getattr(config, 'name', '')}"
                kit.built.append(self)

            async def __aenter__(self) -> None:
                kit.events.append(f"enter {self.label}")

            async def __aexit__(self, *error: object) -> None:
                kit.events.append(f"exit {self.label}")

            async def open(self, instance: Any, exchange: Exchange) -> Response:
                answer = kit.answer(exchange)
                response: Response = await answer if hasattr(answer, "__await__") else answer
                return response

            def wrap(self, next: Any, route: Any) -> Any:  # noqa: A002 - the interface's name
                return next

            def exchange_finished(self, exchange: Exchange) -> None:
                pass

            def attempt_finished(self, exchange: Exchange, attempt: Any) -> None:
                pass

        for method, function in methods.items():
            setattr(Component, method, function)
        return Component

    def policy(self, name: str, *, stage: Stage = Stage.TRANSFORM, **methods: Any) -> PolicyRegistration:
        return PolicyRegistration(name=name, build=self.component(name, **methods), config=NamedConfig, stage=stage)

    def observer(self, name: str, **methods: Any) -> ObserverRegistration:
        return ObserverRegistration(name=name, build=self.component(name, **methods), config=NamedConfig)

    def checker(self, name: str, **methods: Any) -> HealthCheckerRegistration:
        return HealthCheckerRegistration(name=name, build=self.component(name, **methods), config=NamedConfig)

    def endpoint(self, name: str, path: str, answer: Any, **options: Any) -> AdminRouteRegistration:
        return AdminRouteRegistration(name=name, admin_path=path, build=lambda config, context: answer, **options)

    def load(self, text: str = "") -> Configuration:
        """Load YAML below ``gateway``; without any, one rule for everything."""
        sys.modules[MODULE] = module = types.ModuleType(MODULE)
        for number, registration in enumerate(self.offers.values()):
            setattr(module, f"offer_{number}", registration)
        body = dedent(text) or dedent(SIMPLE)
        whole = "gateway:\n" + "".join(f"  {line}\n" for line in body.splitlines())
        return load_configuration(
            self.folder / "gateway.yaml",
            text=whole,
            environ={},
            entry_points=[EntryPoint(name="kit", value=MODULE, group="gateway")],
        )

    def _fixed(self, config: FixedConfig, context: Any) -> Any:
        kit = self

        class Fixed:
            async def watch(self, publish: Any) -> None:
                kit.events.append("watch")
                publish(
                    {
                        name: [Endpoint(address="192.0.2.1", port=port) for port in ports]
                        for name, ports in config.services.items()
                    }
                )

        return Fixed()


SIMPLE = """\
router: {rules: [{id: all, path: "/*", serviceName: s}]}
registry: {fixed: {services: {s: [1]}}}
"""


class Client:
    """Speaks lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, line: str = "GET /") -> str:
        self.writer.write(f"{line}\n".encode())
        return await self.line()

    async def line(self) -> str:
        return (await asyncio.wait_for(self.reader.readline(), 30)).decode().strip()


@pytest.fixture
def kit(tmp_path):
    yield Kit(tmp_path)
    sys.modules.pop(MODULE, None)


@pytest.fixture
async def connect():
    """Connect to an address that is served."""
    writers = []

    async def connect(address: tuple[str, int]) -> Client:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(*address), 30)
        writers.append(writer)
        return Client(reader, writer)

    yield connect
    for writer in writers:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.fixture(scope="session")
def until():
    """Wait, not for long, until something is so."""

    async def wait(is_so: Callable[[], object], timeout_s: float = 30.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not is_so():  # noqa: ASYNC110 - waits for what other code does, which sets no event
                await asyncio.sleep(0.005)

    return wait
