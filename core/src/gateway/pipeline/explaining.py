"""What each policy made of one request: for ``gateway explain``, and for live requests that bring a token."""

from __future__ import annotations

import hmac
import json
import time
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Policy, Route
    from gateway.messages import Response
    from gateway.pipeline.compiled import CompiledRoute
    from gateway.pipeline.compose import PlacedPolicy
    from gateway.principal import Principal

__all__ = ["EXPLAIN_FIELD", "Explanation", "Step", "explain_token", "explainable", "explained", "token_is_valid"]

EXPLAIN_FIELD = "x-gateway-explain"
"""The field of a request that brings the token, and of the response that explains."""
MAX_FIELD_BYTES = 6144
"""Most clients and proxies take heads of 8 KiB."""
_STATE = "gateway.explain"
_PURPOSE = b"gateway explain until "


@dataclass(slots=True)
class Step:
    """What one policy did.

    Attributes:
        stage: Its stage.
        name: Its name.
        where: The line of the configuration that turned it on.
        decision: ``passed``, ``refused 401``, ``answered 204``, ``changed the answer to 503``, ``failed``.
        reason: Why, as far as it says so.
        own_s: Seconds that it took by itself.
        runs: How often it asked what is further in.
        further_in_s: Seconds that this took.
        response: What came from there.
        error: What was raised there instead.
    """

    stage: str
    name: str
    where: str
    decision: str = ""
    reason: str = ""
    own_s: float = 0.0
    runs: int = 0
    further_in_s: float = 0.0
    response: Response | None = None
    error: Exception | None = None

    def data(self) -> dict[str, Any]:
        """Return it for JSON."""
        known = {
            "stage": self.stage,
            "policy": self.name,
            "decision": self.decision,
            "reason": self.reason,
            "ms": round(self.own_s * 1000, 3),
            "from": self.where,
        }
        return {key: value for key, value in known.items() if value != ""}

    def settle(self, response: Response | None, error: Exception | None, principal: Principal | None) -> None:
        """Say what it came to.

        Args:
            response: What the policy returned.
            error: What it raised instead.
            principal: Who was found by it.
        """
        if error is not None and error is self.error:
            self.decision = "passed"  # what is further in says why
        elif isinstance(error, GatewayError):
            self.decision, self.reason = f"refused {error.type.status}", error.detail
        elif error is not None:
            self.decision, self.reason = "failed", f"{type(error).__name__}: {error}"
        elif not self.runs and response is not None:
            self.decision = f"answered {response.status}"
        elif response is not self.response and response is not None:
            self.decision = f"changed the answer to {response.status}"
        else:
            self.decision = "passed"
        if principal is not None:
            self.reason = f"{principal.kind} {principal.subject} by {principal.provider or 'a plugin'}"
        if self.runs > 1:
            self.reason = f"{self.reason}; asked {self.runs} times".removeprefix("; ")


@dataclass(slots=True)
class Explanation:
    """What all policies did, outermost first."""

    steps: list[Step] = field(default_factory=list)
    _by_policy: dict[int, Step] = field(default_factory=dict)

    def begin(self, policy: _Explained) -> Step:
        """Return the step of a policy; the same one, if a retry comes by again."""
        step = self._by_policy.get(id(policy))
        if step is None:
            step = self._by_policy[id(policy)] = replace(policy.step)
            self.steps.append(step)
        return step

    def step(self, policy: _Explained) -> Step:
        """Return the step of a policy that has begun."""
        return self._by_policy[id(policy)]

    @classmethod
    def of(cls, exchange: Exchange) -> Explanation:
        """Return that of an exchange, which begins now if there is none."""
        explanation: Explanation = exchange.state.setdefault(_STATE, cls())
        return explanation


def explained(placed: PlacedPolicy) -> PlacedPolicy:
    """Return the policy, watched; it does what it does."""
    return replace(placed, policy=_Explained(placed))


class _Explained:
    """A policy, and a watch on it."""

    def __init__(self, placed: PlacedPolicy) -> None:
        self.step = Step(placed.stage.name.lower(), placed.name, placed.where)
        self._policy: Policy = placed.policy
        self.waits = getattr(placed.policy, "waits", True)

    def wrap(self, next: Handler, route: Route) -> Handler:  # noqa: A002 - the interface's name
        """Return the policy's handler, watched; ``next`` itself where the policy does nothing."""

        async def further_in(exchange: Exchange) -> Response:
            step = Explanation.of(exchange).step(self)
            step.runs += 1
            began_s = time.perf_counter()
            try:
                step.response = await next(exchange)
            except Exception as error:
                step.error = error
                raise
            finally:
                step.further_in_s += time.perf_counter() - began_s
            return step.response

        wrapped = self._policy.wrap(further_in, route)
        if wrapped is further_in:
            return next

        async def watched(exchange: Exchange) -> Response:
            step = Explanation.of(exchange).begin(self)
            known, began_s = exchange.principal, time.perf_counter()
            response: Response | None = None
            failure: Exception | None = None
            try:
                response = await wrapped(exchange)
            except Exception as error:
                failure = error
                raise
            finally:
                step.own_s = time.perf_counter() - began_s - step.further_in_s
                step.settle(response, failure, exchange.principal if exchange.principal is not known else None)
            return response

        return watched


# Live requests.


def explain_token(secret: str, until_utc_s: int) -> str:
    """Return a token for ``X-Gateway-Explain``.

    Args:
        secret: ``gateway.admin.token``.
        until_utc_s: Unix time at which it ends.
    """
    return f"{until_utc_s:x}.{_signature(secret, until_utc_s)}"


def token_is_valid(token: str, secret: str, now_utc_s: float) -> bool:
    """Say whether a token was made with ``secret`` and has not ended."""
    until, _, signature = token.partition(".")
    try:
        until_utc_s = int(until[:16], 16)
    except ValueError:
        return False
    return hmac.compare_digest(signature.encode(), _signature(secret, until_utc_s).encode()) and now_utc_s < until_utc_s


def explainable(plain: Handler, watched: CompiledRoute, secret: str, clock: Callable[[], float] = time.time) -> Handler:
    """Return a handler that runs ``watched`` for requests with a valid token, and tells the client what it saw.

    Args:
        plain: The route's handler.
        watched: The same route, its policies watched.
        secret: What tokens are made with.
        clock: Unix seconds.
    """

    async def choose(exchange: Exchange) -> Response:
        headers = exchange.request.headers
        token = headers.get(EXPLAIN_FIELD)
        if token is None:
            return await plain(exchange)
        # No service sees it.
        headers.remove(EXPLAIN_FIELD)
        if not token_is_valid(token, secret, clock()):
            return await plain(exchange)
        began_s = time.perf_counter()
        try:
            response = await watched.handler(exchange)
        except Exception as error:  # noqa: BLE001 - becomes the answer, as it does for everybody else
            response = watched.fail(exchange, error)
        steps = Explanation.of(exchange).steps
        total_s = time.perf_counter() - began_s
        response.headers.pairs.append((EXPLAIN_FIELD.encode(), _as_field(steps)))
        response.headers.pairs.append((b"server-timing", _server_timing(steps, total_s)))
        return response

    return choose


def _signature(secret: str, until_utc_s: int) -> str:
    return hmac.new(secret.encode(), _PURPOSE + b"%d" % until_utc_s, sha256).hexdigest()


def _as_field(steps: Iterable[Step]) -> bytes:
    """Return the steps as JSON; those that do not fit are left out."""
    texts: list[str] = []
    length = 2
    for step in steps:
        text = json.dumps(step.data(), separators=(",", ":"))  # ASCII: it escapes everything else
        length += len(text) + 1
        if length > MAX_FIELD_BYTES:
            break
        texts.append(text)
    return f"[{','.join(texts)}]".encode("ascii")


def _server_timing(steps: Iterable[Step], total_s: float) -> bytes:
    """Return the steps' own times, as browsers show them (Server Timing, W3C)."""
    entries = [f'{_token(step.name)};dur={step.own_s * 1000:.3f};desc="{_token(step.decision)}"' for step in steps]
    return ", ".join([*entries, f"total;dur={total_s * 1000:.3f}"]).encode("ascii")


def _token(text: str) -> str:
    return "".join(character if character.isascii() and character.isalnum() else "-" for character in text)
