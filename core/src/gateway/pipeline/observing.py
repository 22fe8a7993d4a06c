"""Telling observers what happened. They cannot change it, nor can their failures."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from operator import length_hint
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Any

    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import AttemptRecord, Observer, Route, Stage
    from gateway.messages import Response

__all__ = ["Observers"]

logger = logging.getLogger("gateway.pipeline")

QUIET_S = 10.0
"""How long nothing more is said of an observer that fails: it usually fails for every exchange."""
MAX_UNTOLD = 16
"""Finished exchanges that wait for the end of a turn; then they are told at once.

Each holds some kilobytes: with 64 of them, the next requests find none that is still in the processor's caches.
"""


class Observers:
    """All observers, told one after the other. False if there are none.

    Of finished exchanges they are told at the end of a turn of the event loop, all of one turn together: what an
    observer needs is then in the processor's caches for each but the first.

    Args:
        observers: The observers.
        blame: Names the plugin whose code a traceback ends in; ``None`` if it is nobody's.
        clock: Monotonic seconds; tests pass a manual one.

    Attributes:
        untold: The exchanges that finished in this turn, always the same list. Whoever finds some in it, and fewer than
            ``MAX_UNTOLD``, may append the next in place of a call of ``exchange_finished``.
    """

    def __init__(
        self,
        observers: Iterable[Observer],
        blame: Callable[[TracebackType | None], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observers = tuple(observers)
        self._of_attempts = tuple(each for each in self._observers if hasattr(each, "attempt_finished"))
        self._of_finished = tuple((each, _teller(each)) for each in self._observers)
        self.untold: list[Exchange] = []
        self._blame = blame
        self._clock = clock
        self._quiet_until_s: dict[int, float] = {}

    def __bool__(self) -> bool:
        return bool(self._observers)

    def announced(self, handler: Handler) -> Handler:
        """Return the handler that tells of every exchange before it runs ``handler``; that one if nobody asks."""
        asking = [(each, each.exchange_started) for each in self._observers if hasattr(each, "exchange_started")]
        if not asking:
            return handler
        observer, tell = asking[0]
        if len(self._observers) > 1:
            tell = self._telling_all(asking)

        def announce(exchange: Exchange) -> Coroutine[Any, Any, Response]:
            try:
                exchange.is_unobserved = tell(exchange) is False
            except Exception as error:  # noqa: BLE001 - whatever an observer raises is its own affair
                self._log(observer, error, exchange)
            return handler(exchange)

        return announce

    def _telling_all(
        self, asking: Sequence[tuple[Observer, Callable[[Exchange], bool | None]]]
    ) -> Callable[[Exchange], bool]:
        """Return what tells several that an exchange started, and returns whether any observer wants to know more."""
        has_others = len(asking) < len(self._observers)

        def tell_all(exchange: Exchange) -> bool:
            is_wanted = has_others
            for observer, tell in asking:
                try:
                    if tell(exchange) is not False:
                        is_wanted = True
                except Exception as error:  # noqa: BLE001 - as above
                    is_wanted = True
                    self._log(observer, error, exchange)
            return is_wanted

        return tell_all

    def around(self, name: str, stage: Stage, handler: Handler, route: Route) -> Handler:
        """Return ``handler``, which is a policy with all that is further in, as observers want to see it run."""
        for observer in self._observers:
            around_policy = getattr(observer, "around_policy", None)
            if around_policy is not None:
                handler = around_policy(name, stage, handler, route)
        return handler

    def exchange_finished(self, exchange: Exchange) -> None:
        """Tell that an exchange is finished, at the end of this turn of the event loop."""
        untold = self.untold
        if not untold:
            asyncio.get_running_loop().call_soon(self._tell)
        elif len(untold) >= MAX_UNTOLD:
            self._tell()
        untold.append(exchange)

    def _tell(self) -> None:
        finished = self.untold.copy()
        self.untold.clear()
        for observer, tell in self._of_finished:
            self._tell_all(observer, tell, finished)

    def _tell_all(
        self, observer: Observer, tell: Callable[[Iterator[Exchange]], None], finished: list[Exchange]
    ) -> None:
        """Tell one observer of all of them; where it fails for one, go on with the next."""
        rest, left = iter(finished), len(finished)
        while left:
            try:
                tell(rest)
            except Exception as error:  # noqa: BLE001 - whatever an observer raises is its own affair
                if length_hint(rest) == left:
                    next(rest)  # it failed before it took one, and would do so again
                left = length_hint(rest)
                self._log(observer, error, finished[-1 - left])
            else:
                return

    @property
    def wants_attempts(self) -> bool:
        """Whether somebody wants to be told about attempts."""
        return bool(self._of_attempts)

    def asked_about_attempts(self) -> Callable[[Exchange], bool] | None:
        """Return what says of an exchange whether somebody wants to know of its attempts; ``None`` if always."""
        asked = [(each, wants) for each in self._of_attempts if (wants := getattr(each, "wants_attempts", None))]
        if len(asked) < len(self._of_attempts):
            return None

        def is_wanted(exchange: Exchange) -> bool:
            for observer, wants in asked:
                try:
                    if wants(exchange):
                        return True
                except Exception as error:  # noqa: BLE001 - as above
                    self._log(observer, error, exchange)
            return False

        return is_wanted

    def attempt_finished(self, exchange: Exchange, attempt: AttemptRecord) -> None:
        """Tell about an attempt."""
        for observer in self._of_attempts:
            try:
                observer.attempt_finished(exchange, attempt)
            except Exception as error:  # noqa: BLE001 - as above
                self._log(observer, error, exchange)

    def _log(self, observer: Observer, error: Exception, exchange: Exchange) -> None:
        now_s = self._clock()
        if now_s < self._quiet_until_s.get(id(observer), 0.0):
            return
        self._quiet_until_s[id(observer)] = now_s + QUIET_S
        plugin = self._blame(error.__traceback__)
        logger.error(
            "%s failed in the observer %s: %s: %s",
            f"plugin {plugin!r}" if plugin else "the gateway",
            type(observer).__name__,
            type(error).__name__,
            error,
            exc_info=error,
            extra={"request_id": exchange.request.id, "plugin": plugin},
        )


def _teller(observer: Observer) -> Callable[[Iterator[Exchange]], None]:
    """Return what tells an observer of several finished exchanges."""
    tell: Callable[[Iterator[Exchange]], None] | None = getattr(observer, "exchanges_finished", None)
    return tell if tell is not None else partial(_tell_one_by_one, observer.exchange_finished)


def _tell_one_by_one(tell: Callable[[Exchange], None], exchanges: Iterator[Exchange]) -> None:
    for exchange in exchanges:
        tell(exchange)
