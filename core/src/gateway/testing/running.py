"""A gateway that runs for a test."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import TYPE_CHECKING, Any, Protocol

from gateway.testing.client import PATIENCE_S, Answer, AnswerStream, Client
from gateway.testing.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from gateway.embedding import Gateway

__all__ = ["ADMIN_TOKEN", "GatewayFactory", "RunningGateway", "configuration_for"]

ADMIN_TOKEN = "a-token-for-tests"  # noqa: S105 - of gateways that live for a test
_GRACE_S = 0.2


class GatewayFactory(Protocol):
    """Starts gateways; what the fixture ``gateway_factory`` gives."""

    async def __call__(
        self,
        gateway: Mapping[str, Any] | None = None,
        *,
        upstream: Upstream | Sequence[Upstream] | None = None,
        rule: Mapping[str, Any] | None = None,
        plugin_files: Sequence[Path] = (),
    ) -> RunningGateway:
        """Start a gateway on a free port of 127.0.0.1.

        Args:
            gateway: What stands below ``gateway`` in the configuration.
            upstream: The instances of the service ``service``, which then gets every request.
            rule: More keys of that route.
            plugin_files: Python files that are plugins too.
        """


class RunningGateway:
    """A gateway that serves.

    Attributes:
        gateway: The gateway itself.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    @property
    def url(self) -> str:
        """The first address it serves."""
        return self.gateway.url

    def client(self, *, listener: int = 0, **options: Any) -> Client:  # noqa: ANN401 - as Client has them
        """Return a client, to be entered, with a connection of its own.

        Args:
            listener: Which of the addresses it asks.
            options: As ``Client`` has them.
        """
        return Client(*self.gateway.addresses[listener], **options)

    async def ask(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        **options: Any,  # noqa: ANN401 - as client() has them
    ) -> Answer:
        """Send a request over a connection of its own and return the whole answer."""
        async with self.client(**options) as client:
            return await client.ask(method, target, headers=headers, body=body)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> AsyncIterator[AnswerStream]:
        """Send a request and give the answer as soon as its head is there; the connection is closed in the end."""
        async with self.client() as client:
            yield await client.begin(method, target, headers=headers, body=body)

    async def admin(self, path: str, *, method: str = "GET", body: bytes = b"") -> Answer:
        """Ask an endpoint below ``/_gateway``, with the token."""
        headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
        return await self.ask(method, f"/_gateway{path}", headers=headers, body=body)

    async def eventually(self, is_so: Callable[[], object]) -> None:
        """Wait until something is so.

        Args:
            is_so: Asked again and again; what it returns is awaited if it can be, so that it may ask the gateway.

        Raises:
            AssertionError: If it is not so within 5 s.
        """
        limit = asyncio.timeout(PATIENCE_S)
        try:
            async with limit:
                while not await _told(is_so()):  # noqa: ASYNC110 - what it waits for has no event
                    await asyncio.sleep(0.002)
        except TimeoutError as error:
            if not limit.expired():
                raise
            msg = f"it did not become so within {PATIENCE_S:g} s"
            raise AssertionError(msg) from error


async def _told(answer: object) -> object:
    return await answer if inspect.isawaitable(answer) else answer


def configuration_for(
    gateway: Mapping[str, Any] | None,
    upstream: Upstream | Sequence[Upstream] | None,
    rule: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return a configuration: what the test says over what every test needs."""
    given = dict(gateway or {})
    frontend = dict(given.get("frontend", {}))
    frontend["http"] = {"host": "127.0.0.1", "port": 0, **frontend.get("http", {})}
    made = {
        "admin": {"token": ADMIN_TOKEN},
        "shutdownTimeout": f"{int(_GRACE_S * 1000)}ms",
        **given,
        "frontend": frontend,
    }
    if upstream is not None:
        upstreams = [upstream] if isinstance(upstream, Upstream) else upstream
        service = {"name": "service", "instances": [each.instance for each in upstreams]}
        made.setdefault("registry", {"static": {"services": [service]}})
        made.setdefault("router", {"rules": [{"path": "/*", "serviceName": "service", **(rule or {})}]})
    return made
