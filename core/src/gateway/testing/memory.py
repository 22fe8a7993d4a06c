"""A gateway in memory: requests go in as objects, services are functions, and no socket is in between.

The routes, policies and balancers are those of a whole gateway; what is left out are the protocols. So a request takes
some ten microseconds instead of a millisecond: for tests of many.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from gateway.body import Body
from gateway.errors import ErrorType, GatewayError
from gateway.exchange import Exchange
from gateway.headers import Headers
from gateway.messages import Request, Response
from gateway.testing.client import PATIENCE_S, Answer
from gateway.testing.contracts.bodies import Sink
from gateway.testing.upstream import Received, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

    from gateway.interfaces import Instance

    Answering = Callable[[Received], "Reply | Response | Awaitable[Reply | Response]"]

__all__ = ["PLUGIN_FILE", "MemoryClient", "MemoryClientFactory", "MemoryConnector", "gateway_in_memory"]

PLUGIN_FILE = Path(__file__).with_name("memory_plugin.py")
MAX_BODY_BYTES = 64 * 1024 * 1024
SERVICE = "service"

_clients: WeakValueDictionary[str, MemoryClient] = WeakValueDictionary()
"""By what their gateways call them: a configuration is text, and cannot hold the client itself."""
_numbers = itertools.count(1)


class MemoryClientFactory(Protocol):
    """Starts gateways in memory; what the fixture ``client_factory`` gives."""

    async def __call__(
        self,
        gateway: Mapping[str, Any] | None = None,
        *,
        rule: Mapping[str, Any] | None = None,
        plugin_files: Sequence[Path] = (),
    ) -> MemoryClient:
        """Start a gateway and return a client of it.

        Args:
            gateway: What stands below ``gateway`` in the configuration.
            rule: More keys of the route that leads to the service.
            plugin_files: Python files that are plugins too.
        """


class MemoryClient:
    """Asks a gateway in memory, and is the service behind it.

    Attributes:
        name: What the gateway calls it.
        answer: Makes the service's answer to a request: a function or coroutine function that returns a ``Reply`` or a
            ``gateway.Response``, or raises. ``Reply()`` until it is set.
        requests: Every request that reached the service, in order of arrival.
        serve: Takes an exchange; the gateway's.
    """

    def __init__(self) -> None:
        self.name = f"memory-{next(_numbers)}"
        self.answer: Answering = lambda request: Reply()
        self.requests: list[Received] = []
        self.serve: Callable[[Exchange], None] | None = None
        _clients[self.name] = self

    @classmethod
    def called(cls, name: str) -> MemoryClient:
        """Return the client that a gateway was started for.

        Raises:
            KeyError: If it is gone.
        """
        return _clients[name]

    async def ask(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: bytes | AsyncIterable[bytes] = b"",
        client: str = "127.0.0.1",
    ) -> Answer:
        """Send a request and return the whole answer.

        Args:
            method: The method.
            target: Path and query.
            headers: The fields; ``host`` is added if it is not among them.
            body: The body; an iterable streams.
            client: The address that it comes from.

        Raises:
            ConnectionError: If the answer is cut short.
        """
        assert self.serve is not None, "the gateway does not run"  # noqa: S101 - a bug of the caller's
        exchange = Exchange(_request(method, target, headers, body, client), recipient := _Recipient())
        self.serve(exchange)
        try:
            async with asyncio.timeout(PATIENCE_S):
                response = await recipient.answered
                sink = Sink(response.body)
                await sink.finished()
        except BaseException as error:
            exchange.cancel()
            exchange.finish(0, error)
            raise
        exchange.finish(len(sink.data), sink.error)
        if sink.error is not None:
            raise ConnectionError("the answer is cut short") from sink.error
        return Answer(response.status, response.headers.items(), bytes(sink.data))

    async def replied(self, exchange: Exchange) -> Response:
        """Answer an exchange, as the service."""
        received = await _received(exchange)
        self.requests.append(received)
        made = self.answer(received)
        reply = await made if inspect.isawaitable(made) else made
        return reply if isinstance(reply, Response) else await _response(reply)


class MemoryConnector:
    """Leads to the service of a client."""

    async def open(self, instance: Instance, exchange: Exchange) -> Response:
        """Ask it."""
        return await MemoryClient.called(instance.endpoint.address).replied(exchange)


class _Recipient:
    """The client's side of an exchange."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

    def respond(self, exchange: Exchange, response: Response) -> None:
        if not self.answered.done():
            self.answered.set_result(response)

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Interim responses are of no interest here."""


def gateway_in_memory(
    client: MemoryClient, gateway: Mapping[str, Any] | None, rule: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a configuration that leads from a client to its service: what the test says over what it needs."""
    given = dict(gateway or {})
    frontend = {"http": {"enabled": False}, **given.get("frontend", {})}
    instance = {"address": client.name, "port": 1, "scheme": "memory"}
    return {
        "registry": {"static": {"services": [{"name": SERVICE, "instances": [instance]}]}},
        "router": {"rules": [{"path": "/*", "serviceName": SERVICE, **(rule or {})}]},
        "shutdownTimeout": "200ms",
        **given,
        "frontend": frontend,
        "plugins": {"memory": {"client": client.name}, **given.get("plugins", {})},
    }


def _request(
    method: str,
    target: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes | AsyncIterable[bytes],
    client: str,
) -> Request:
    fields = [*(headers.items() if hasattr(headers, "items") else headers)]
    host = next((value for name, value in fields if name.lower() == "host"), "gateway.test")
    if not any(name.lower() == "host" for name, _ in fields):
        fields.insert(0, ("host", host))
    path, _, query = target.partition("?")
    return Request(
        method,
        path,
        query=query,
        headers=Headers.of(fields),
        body=body if isinstance(body, bytes) else Body.from_iterable(body),
        host=host.lower(),
        client=client,
        id=f"test-{next(_numbers)}",
    )


async def _received(exchange: Exchange) -> Received:
    request = exchange.request
    body = request.body if isinstance(request.body, bytes) else await request.body.read(MAX_BODY_BYTES)
    target = f"{exchange.upstream_path}?{request.query}" if request.query else exchange.upstream_path
    return Received(request.method, target, request.headers.items(), body)


async def _response(reply: Reply) -> Response:
    if reply.delay_s:
        await asyncio.sleep(reply.delay_s)
    if reply.drop and not reply.body:
        raise GatewayError(ErrorType.BAD_GATEWAY, "the service cannot be reached", detail="the test dropped it")
    body = reply.body if isinstance(reply.body, bytes) and not reply.drop else Body.from_iterable(_pieces(reply))
    return Response(reply.status, headers=Headers.of(reply.headers), body=body)


async def _pieces(reply: Reply) -> AsyncIterator[bytes]:
    """Yield the body, or only half of its first piece if it is to be dropped."""
    pieces: Any = [reply.body] if isinstance(reply.body, bytes) else reply.body
    if not hasattr(pieces, "__aiter__"):
        pieces = _one_by_one(pieces)
    async for piece in pieces:
        yield piece[: len(piece) // 2] if reply.drop else piece
        if reply.drop:
            raise ConnectionResetError("the test dropped it")


async def _one_by_one(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
