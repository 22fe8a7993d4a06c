"""What a component meets: requests of many strangers, each with an address, a path and credentials of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.exchange import Exchange
from gateway.headers import Headers
from gateway.interfaces import AttemptRecord, Endpoint, Instance, Route
from gateway.messages import Request, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Script", "drivers"]

_ROUTE = Route(id="checked", path="/*", service="service")
_INSTANCES = tuple(Instance("service", Endpoint(address=f"10.9.8.{number}", port=80)) for number in range(3))
_CREDENTIALS = ("", "Bearer {0}", "Basic {0}", "Bearer a.b.{0}", "Unknown {0}")


@dataclass(frozen=True, slots=True)
class Script:
    """What is done with a component.

    Attributes:
        run: Runs it for the stranger with this number; raises what it raises.
        handlers: What the component made, in which it may keep things.
    """

    run: Callable[[int], Awaitable[None]]
    handlers: tuple[object, ...] = ()


def request_of(number: int) -> Request:
    """Return the request of a stranger."""
    pairs = [
        (b"host", b"shop.example"),
        (b"user-agent", f"client/{number}".encode()),
        (b"origin", f"https://{number}.example".encode()),
        (b"cookie", f"session={number:x}".encode()),
        (b"x-request-id", f"request-{number}".encode()),
        (b"x-api-key", f"key-{number}".encode()),
        (b"accept", b"application/json"),
    ]
    credentials = _CREDENTIALS[number % len(_CREDENTIALS)].format(number)
    if credentials:
        pairs.append((b"authorization", credentials.encode()))
    has_body = number % 3 == 1
    return Request(
        "POST" if has_body else "GET",
        f"/things/{number}",
        query=f"page={number}",
        headers=Headers(pairs),
        body=b'{"number": %d}' % number if has_body else b"",
        host="shop.example",
        client=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
        id=f"request-{number}",
    )


def exchange_of(number: int) -> Exchange:
    """Return the exchange of a stranger."""
    exchange = Exchange(request_of(number), _Nobody())
    exchange.route = _ROUTE
    return exchange


class _Nobody:
    """Takes responses and does nothing with them."""

    def respond(self, exchange: Exchange, response: Response) -> None:
        """Take the response."""

    def inform(self, exchange: Exchange, status: int, pairs: object) -> None:
        """Take an interim response."""


async def _service(exchange: Exchange) -> Response:
    exchange.attempts += 1
    exchange.instance = _INSTANCES[0]
    return Response.json({"served": exchange.request.path})


def _policy(policy: Any) -> Script:  # noqa: ANN401 - a component of somebody else
    handler = policy.wrap(_service, _ROUTE)

    async def run(number: int) -> None:
        response = await handler(exchange_of(number))
        response.discard()

    return Script(run, (handler,))


def _authenticator(authenticator: Any) -> Script:  # noqa: ANN401 - as above
    recall = getattr(authenticator, "recall", None)

    async def run(number: int) -> None:
        request = request_of(number)
        if recall is None or recall(request) is None:
            await authenticator.authenticate(request)

    return Script(run)


def _limiter(limiter: Any) -> Script:  # noqa: ANN401 - as above
    acquire_now = getattr(limiter, "acquire_now", None)

    async def run(number: int) -> None:
        key = f"checked:{number}"
        if acquire_now is None:
            await limiter.acquire(key, 1)
        else:
            acquire_now(key, 1)

    return Script(run)


def _balancer(balancer: Any) -> Script:  # noqa: ANN401 - as above
    async def run(number: int) -> None:
        balancer.select(_INSTANCES, exchange_of(number))

    return Script(run)


def _observer(observer: Any) -> Script:  # noqa: ANN401 - as above
    async def run(number: int) -> None:
        exchange = exchange_of(number)
        if hasattr(observer, "exchange_started"):
            observer.exchange_started(exchange)
        exchange.response = await _service(exchange)
        if hasattr(observer, "attempt_finished"):
            attempt = AttemptRecord(instance=_INSTANCES[0], status=200, error=None, duration_s=0.001)
            observer.attempt_finished(exchange, attempt)
        exchange.sent_bytes = 2
        if hasattr(observer, "exchanges_finished"):
            observer.exchanges_finished(iter((exchange,)))
        else:
            observer.exchange_finished(exchange)

    return Script(run)


drivers: dict[str, Callable[[Any], Script]] = {
    "policy": _policy,
    "authenticator": _authenticator,
    "limiter": _limiter,
    "balancer": _balancer,
    "observer": _observer,
}
