"""``latencyBudget`` and ``quarantine``: what a policy takes is measured, and one that keeps failing is left out.

Only a policy with one of the two is wrapped; the others cost nothing. Each worker measures for itself, and decides for
itself whom it puts aside; a reload begins anew.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Policy, Route
    from gateway.messages import Response
    from gateway.metrics import Metrics, Series

__all__ = ["Budgets", "Quarantine", "WatchedPolicy"]

logger = logging.getLogger("gateway.pipeline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """When a policy is put aside.

    Attributes:
        failures: How many failures and overruns are too many.
        within_s: In which time they are.
        rest_s: For how long it is left out then.
    """

    failures: int
    within_s: float
    rest_s: float


class Budgets:
    """What policies with a budget have in common: where it is counted what became of them.

    Args:
        metrics: Where it is counted.
        clock: Monotonic seconds; tests pass a manual one.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._overruns = metrics.counter(
            "gateway_policy_overruns_total", "Exchanges for which a policy took longer than its budget.", ("policy",)
        )
        self._failures = metrics.counter(
            "gateway_policy_failures_total", "Exchanges that a policy with a budget failed.", ("policy",)
        )
        self._aside = metrics.gauge(
            "gateway_policy_quarantined",
            "Configurations of a policy that are put aside, over all workers.",
            ("policy",),
        )
        self._fresh: set[str] = set()

    def watched(
        self, name: str, policy: Policy, *, budget_s: float | None = None, quarantine: Quarantine | None = None
    ) -> WatchedPolicy:
        """Return the policy with its budget.

        Args:
            name: The registration's name.
            policy: The component.
            budget_s: What it may take for an exchange; ``None`` is any time.
            quarantine: When it is put aside; ``None`` is never.
        """
        aside = self._aside.labels(name)
        if name not in self._fresh:
            self._fresh.add(name)
            aside.set(0)  # what another configuration put aside is back
        record = _Record(name, self._overruns.labels(name), self._failures.labels(name), aside, quarantine)
        return WatchedPolicy(policy, record, budget_s, self.clock)


class _Record:
    """What a policy did lately, and whether it is put aside."""

    def __init__(
        self, name: str, overruns: Series, failures: Series, aside: Series, quarantine: Quarantine | None
    ) -> None:
        self.key = f"gateway.budget.{name}"
        self._name = name
        self._overruns = overruns
        self._failures = failures
        self._aside = aside
        self._quarantine = quarantine
        self._until_s = 0.0
        self._lately: deque[float] = deque(maxlen=quarantine.failures if quarantine is not None else 1)

    def is_aside(self, now_s: float) -> bool:
        """Say whether it is left out now; the first who asks after its time brings it back."""
        if not self._until_s:
            return False
        if now_s < self._until_s:
            return True
        self._until_s = 0.0
        self._aside.add(-1)
        logger.info("policy %r is tried again", self._name, extra={"plugin": self._name})
        return False

    def overran(self, now_s: float) -> None:
        """Note that it took too long."""
        self._overruns.add()
        self._note(now_s)

    def failed(self, now_s: float) -> None:
        """Note that it raised what is no refusal."""
        self._failures.add()
        self._note(now_s)

    def _note(self, now_s: float) -> None:
        quarantine = self._quarantine
        if quarantine is None or self._until_s:
            return
        self._lately.append(now_s)
        if len(self._lately) < quarantine.failures or now_s - self._lately[0] > quarantine.within_s:
            return
        self._lately.clear()
        self._until_s = now_s + quarantine.rest_s
        self._aside.add(1)
        logger.error(
            "policy %r failed or overran its budget %d times within %g s and is left out for %g s",
            self._name,
            quarantine.failures,
            quarantine.within_s,
            quarantine.rest_s,
            extra={"plugin": self._name},
        )


class _Run:
    """One run of a policy: what was spent further in, and what was raised there."""

    __slots__ = ("error", "inner_s")

    def __init__(self) -> None:
        self.inner_s = 0.0
        self.error: BaseException | None = None


class WatchedPolicy:
    """A policy whose own time and failures are counted.

    Args:
        policy: The policy.
        record: Where.
        budget_s: What it may take; ``None`` is any time.
        clock: Monotonic seconds.

    Attributes:
        waits: As the policy says.
    """

    def __init__(self, policy: Policy, record: _Record, budget_s: float | None, clock: Callable[[], float]) -> None:
        self.waits: bool = getattr(policy, "waits", True)
        self._policy = policy
        self._record = record
        self._budget_s = float("inf") if budget_s is None else budget_s
        self._clock = clock

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        """Return the policy's handler with the clock around it; ``call_next`` if the policy does nothing here."""
        record, clock, budget_s = self._record, self._clock, self._budget_s

        async def further_in(exchange: Exchange) -> Response:
            run: _Run = exchange.state[record.key]
            began_s = clock()
            try:
                return await call_next(exchange)
            except BaseException as error:
                run.error = error
                raise
            finally:
                run.inner_s += clock() - began_s

        wrapped = self._policy.wrap(further_in, route)
        if wrapped is further_in:
            return call_next

        async def watched(exchange: Exchange) -> Response:
            began_s = clock()
            if record.is_aside(began_s):
                return await call_next(exchange)
            run = exchange.state[record.key] = _Run()
            try:
                return await wrapped(exchange)
            except GatewayError:
                raise  # a refusal is no failure
            except Exception as error:
                if error is not run.error:
                    record.failed(clock())
                raise
            finally:
                now_s = clock()
                if now_s - began_s - run.inner_s > budget_s:
                    record.overran(now_s)

        return watched


if TYPE_CHECKING:
    from gateway.interfaces import Policy as _Policy

    _: type[_Policy] = WatchedPolicy
