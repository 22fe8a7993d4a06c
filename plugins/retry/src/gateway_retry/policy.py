"""The policy ``retry``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gateway_retry.budget import RetryBudget
from gateway_retry.measures import Measures
from gateway_retry.route import RetryingRoute

if TYPE_CHECKING:
    from gateway import BuildContext, Handler, Route
    from gateway_retry.config import RetryConfig

__all__ = ["Retry"]

PROTOCOLS = frozenset({"grpc", "http", "http2"})
"""What can be repeated as a whole. Streams cannot, and end retries by themselves."""


class Retry:
    """Tries requests again.

    Args:
        config: The block ``retry``.
        context: The gateway.
    """

    waits = False  # but for gateway.Waiter

    def __init__(self, config: RetryConfig, context: BuildContext) -> None:
        self._config = config
        self._context = context
        # One for each service, whatever route asks it. The routes hold them, over a reload too.
        self._budgets: WeakValueDictionary[str, RetryBudget] = context.keep("budgets", WeakValueDictionary)

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        """Return the handler that tries again, or ``call_next`` where there is nothing to do."""
        settings = self._config.settings_for(route.id, route.service)
        is_idle = settings.max_attempts <= 1 and settings.timeout is None and settings.per_try_timeout is None
        if is_idle or not route.service or route.protocol not in PROTOCOLS:
            return call_next
        measures = Measures(self._context.metrics, route.service)
        budget = self._budget(route.service, settings.budget.window)
        return RetryingRoute(call_next, route.service, settings, budget, measures, self._context.directory).handle

    def _budget(self, service: str, window_s: float) -> RetryBudget:
        budget = self._budgets.get(service)
        if budget is None:
            budget = self._budgets[service] = RetryBudget(window_s)
        budget.fit(window_s)
        return budget


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = Retry
