"""Which balancer a rule uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.aliases import BALANCER_ALIASES
from gateway.registrations import BalancerRegistration

if TYPE_CHECKING:
    from gateway.config.draft import Context, Draft
    from gateway.config.places import Block
    from gateway.config.result import Configured

__all__ = ["Balancers"]


class Balancers:
    """Chooses the balancer of each rule.

    Args:
        context: What they are worked out in.
        default: ``router.defaultLoadBalance``.
        router: The block ``router``, for the places in messages.
    """

    def __init__(self, context: Context, default: str, router: Block) -> None:
        self._context = context
        self._default = default
        self._default_place = router.places.get("defaultLoadBalance")
        self._installed = [
            offer for offer in context.host.of_kind("balancer") if isinstance(offer, BalancerRegistration)
        ]

    def for_rule(self, draft: Draft) -> Configured | None:
        """Return the balancer of a rule, or ``None`` if it is missing or wrong."""
        name = draft.rule.load_balance or self._default
        chosen = self._find(name)
        if chosen is None:
            self._report_missing(name, draft)
            return None
        self._warn_of_others(chosen, draft)
        block = draft.overrides.get(id(chosen))
        offers = self._context.offers
        return offers.chosen(chosen) if block is None else offers.for_rule(chosen, block)

    def _find(self, name: str) -> BalancerRegistration | None:
        host = self._context.host
        found = host.find("balancer", name) or host.find("balancer", BALANCER_ALIASES.get(name, name))
        return found if isinstance(found, BalancerRegistration) else None

    def _report_missing(self, name: str, draft: Draft) -> None:
        place = draft.place("loadBalance")
        installed = [offer.name for offer in self._installed]
        message = self._context.missing.offer("balancer", name, installed)
        if draft.rule.load_balance is None:
            # One rule is enough to say that the default is missing.
            self._context.report.error_once(message, value=self._default_place or place)
        else:
            self._context.report.error(message, value=place)

    def _warn_of_others(self, chosen: BalancerRegistration, draft: Draft) -> None:
        for other in self._installed:
            block = draft.overrides.get(id(other))
            if block is not None and other is not chosen:
                message = f"has no effect, because loadBalance is {chosen.name!r} here and not {other.name!r}"
                self._context.report.warn(message, key=block.place)
