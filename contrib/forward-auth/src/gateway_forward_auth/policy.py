"""The policy ``forward-auth``."""

from __future__ import annotations

import time
from itertools import product
from typing import TYPE_CHECKING, Self

from gateway import Body, ErrorType, GatewayError, Headers, Principal, Response
from gateway_forward_auth.client import AuthAnswer, AuthClient, AuthFailed, is_success
from gateway_forward_auth.config import ORIGINAL
from gateway_forward_auth.decisions import Decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway import BuildContext, Exchange, Handler, Request, Route
    from gateway_forward_auth.config import ForwardAuthConfig

__all__ = ["ForwardAuth"]

NAME = "forward-auth"


class ForwardAuth:
    """Asks another service about each request: 2xx lets it pass, other answers below 500 go to the client as they are.

    It stands where authentication does, behind ``auth``. No decision (no answer in time, a broken one, 5xx) refuses
    with 503.

    Args:
        config: The block.
        context: The gateway.
        clock: Monotonic seconds.
    """

    def __init__(
        self, config: ForwardAuthConfig, context: BuildContext, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._client = AuthClient(config, context)
        self._decisions = Decisions(config.cache, clock) if config.cache is not None else None
        self._sent = frozenset(name.encode() for name in config.request_headers)
        self._added = [(name.encode(), value.get_secret_value().encode()) for name, value in config.add_headers.items()]
        self._to_service = frozenset(name.encode() for name in config.response_headers)
        self._to_client = frozenset(name.encode() for name in config.client_headers)
        self._stripped = frozenset(_spellings(config.response_headers))
        self._outcomes = context.metrics.counter(
            "gateway_forward_auth_decisions_total",
            "Requests that another service was asked about, by what came of it.",
            ("route", "outcome"),
        )
        self._durations = context.metrics.histogram(
            "gateway_forward_auth_duration_seconds", "How long the other service took to decide.", ("route",)
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__()

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        """Return the handler that asks."""
        outcomes = {
            outcome: self._outcomes.labels(route.id, outcome)
            for outcome in ("allowed", "cached", "denied", "error", "timeout")
        }
        took = self._durations.labels(route.id)

        async def authorise(exchange: Exchange) -> Response:
            request = exchange.request
            self._strip(request)
            sent = [pair for pair in request.headers.pairs if pair[0] in self._sent]
            key = self._decisions.key(request, sent) if self._decisions is not None else b""
            answer = self._decisions.find(key) if self._decisions is not None else None
            if answer is not None:
                outcomes["cached"].add()
            else:
                began_s = time.monotonic()
                try:
                    answer = await self._ask(request, sent)
                except AuthFailed as error:
                    outcomes[error.outcome].add()
                    raise _unavailable(error) from error
                took.observe(time.monotonic() - began_s)
                is_allowed = is_success(answer.status)
                outcomes["allowed" if is_allowed else "denied"].add()
                if not is_allowed:
                    return _passed_on(answer)
                if self._decisions is not None:
                    self._decisions.remember(key, answer)
            self._take_over(exchange, answer)
            response = await call_next(exchange)
            response.headers.pairs += [pair for pair in answer.pairs if pair[0] in self._to_client]
            return response

        return authorise

    async def _ask(self, request: Request, sent: list[tuple[bytes, bytes]]) -> AuthAnswer:
        body = await self._body_of(request)
        method = request.method if self._config.method == ORIGINAL else self._config.method
        return await self._client.ask(method, [*sent, *self._added, *_described(request)], body)

    async def _body_of(self, request: Request) -> bytes:
        """Return the body for the service that decides, and leave it in the request.

        Raises:
            GatewayError: ``payload_too_large`` if there is more of it than may be sent.
        """
        limit = self._config.max_body_size
        if not limit:
            return b""
        body = request.body
        if isinstance(body, Body):
            content = await body.read(limit)
            request.body = body.replay(content)
            return content
        if len(body) > limit:
            raise GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the body is larger than {limit} bytes", plugin=NAME)
        return body

    def _strip(self, request: Request) -> None:
        """Remove what the client sent under the names by which the service is told: it would be believed."""
        pairs = request.headers.pairs
        if any(name in self._stripped for name, _ in pairs):
            # In place: a protocol plugin may hold the same list.
            pairs[:] = [pair for pair in pairs if pair[0] not in self._stripped]

    def _take_over(self, exchange: Exchange, answer: AuthAnswer) -> None:
        """Tell the service, and the rest of the gateway, what the answer says."""
        exchange.request.headers.pairs += [pair for pair in answer.pairs if pair[0] in self._to_service]
        names = self._config.principal
        if names is None:
            return
        subjects = answer.all(names.subject.encode())
        if len(subjects) != 1 or not subjects[0]:
            # Nobody, or two of them: then there is no saying who it is.
            raise _unavailable(AuthFailed("error", f"its answer has not one {names.subject!r}"))
        scopes = b" ".join(answer.all(names.scopes.encode())) if names.scopes is not None else b""
        exchange.principal = Principal(
            subject=subjects[0].decode("latin-1"),
            provider=NAME,
            scopes=frozenset(scopes.decode("latin-1").replace(",", " ").split()),
        )


def _unavailable(error: AuthFailed) -> GatewayError:
    # The core logs the detail.
    detail = f"the authorisation service gave no decision: {error}"
    return GatewayError(ErrorType.UNAVAILABLE, "authorisation is not available", detail=detail, plugin=NAME)


def _described(request: Request) -> list[tuple[bytes, bytes]]:
    """Return the fields that describe the request, under the names that Traefik and Caddy use."""
    uri = f"{request.path}?{request.query}" if request.query else request.path
    return [
        (b"x-forwarded-method", _encoded(request.method)),
        (b"x-forwarded-proto", _encoded(request.scheme)),
        (b"x-forwarded-host", _encoded(request.host)),
        (b"x-forwarded-uri", _encoded(uri)),
        (b"x-forwarded-for", _encoded(request.client)),
        (b"x-request-id", _encoded(request.id)),
    ]


def _encoded(text: str) -> bytes:
    return text.encode("latin-1", "replace")


def _passed_on(answer: AuthAnswer) -> Response:
    return Response(answer.status, headers=Headers(list(answer.pairs)), body=answer.body)


def _spellings(names: Iterable[str]) -> Iterable[bytes]:
    """Yield every name with each hyphen as it is and as an underscore, which CGI and WSGI read as the same."""
    for name in names:
        first, *others = name.encode().split(b"-")
        for separators in product((b"-", b"_"), repeat=len(others)):
            yield first + b"".join(separator + other for separator, other in zip(separators, others, strict=True))


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = ForwardAuth
