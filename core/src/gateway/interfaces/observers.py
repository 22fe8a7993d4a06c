"""Observers: what is told what happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.deprecation import since

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.interfaces.services import Instance

__all__ = ["AttemptRecord", "Observer"]


@since("0.1")
@dataclass(slots=True, kw_only=True, eq=False)  # not frozen: one is made per request, and that would cost a microsecond
class AttemptRecord:
    """One attempt at one instance. Shared by all observers, so never changed.

    Attributes:
        instance: The instance.
        status: The status it answered, or ``None`` if it did not.
        error: What went wrong, or ``None``.
        duration_s: From the attempt's beginning to the end of the response head.
    """

    instance: Instance
    status: int | None
    error: BaseException | None
    duration_s: float


@since("0.1")
class Observer(Protocol):
    """Is told what happened and cannot change it. Must not block; its errors never reach the exchange.

    It may define five more methods. ``exchanges_finished(exchanges)`` is called in place of ``exchange_finished``, with
    an iterator over all that finished in one turn of the event loop; where it raises, it is called again with those
    that are left. ``exchange_started(exchange)`` is called before any policy runs, when ``exchange.route`` is set; it
    may put the trace context among the request's fields, and may return ``False`` if it wants to know nothing more of
    the exchange: where every observer does, none is told more. ``attempt_finished(exchange, attempt)`` is given the
    ``AttemptRecord`` of each attempt whose response head arrived, or that failed; where ``wants_attempts(exchange)`` of
    every observer says no, none is made. ``around_policy(name, stage, handler, route)`` is called once for each policy
    of a compiled route, and returns ``handler`` or one that awaits nothing but it, to measure it with all that is
    further in.
    """

    def exchange_finished(self, exchange: Exchange, /) -> None:
        """Take note of a finished exchange: ``response``, ``sent_bytes``, ``duration_s`` and ``error`` are final.

        Called at the end of the turn of the event loop in which it finished.
        """
