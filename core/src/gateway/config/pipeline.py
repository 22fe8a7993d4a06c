"""Which policies and limiters are on for a rule, in pipeline order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.places import Block, Items
from gateway.interfaces import Stage
from gateway.registrations import LimiterRegistration, PolicyRegistration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.config.draft import Context, Draft
    from gateway.config.result import Configured
    from gateway.pluginhost import PluginHost
    from gateway.registrations import Registration

__all__ = ["Pipeline", "check_order", "sorted_policies"]


class Pipeline:
    """Chooses the policies and limiters of each rule.

    Args:
        context: What they are worked out in.
        order: ``pipeline.order``: for each stage the policies that come first in it.
    """

    def __init__(self, context: Context, order: Mapping[str, Sequence[str]]) -> None:
        self._offers = context.offers
        self._policies = sorted_policies(context.host, order)
        self._limiters = [offer for offer in context.host.of_kind("limiter") if isinstance(offer, LimiterRegistration)]
        # What rules without blocks of their own share.
        self._gateway_wide: dict[str, tuple[Configured, ...]] = {}

    def policies(self, draft: Draft) -> tuple[Configured, ...]:
        """Return the policies of a rule, outermost first."""
        return self._on("policy", self._policies, draft)

    def limiters(self, draft: Draft) -> tuple[Configured, ...]:
        """Return the limiters of a rule, by name, each limit that one means by itself."""
        found = self._on("limiter", self._limiters, draft)
        return tuple(limit for configured in found for limit in self._offers.limits_of(configured))

    def edge_policies(self) -> tuple[Configured, ...]:
        """Return the gateway-wide policies of the EDGE stage."""
        found = (self._offers.gateway_wide(offer) for offer in self._policies if offer.stage is Stage.EDGE)
        return tuple(configured for configured in found if configured is not None)

    def _on(self, kind: str, offers: Sequence[Registration], draft: Draft) -> tuple[Configured, ...]:
        if any(id(offer) in draft.overrides for offer in offers):
            return tuple(self._configured(offers, draft))
        if kind not in self._gateway_wide:
            self._gateway_wide[kind] = tuple(self._configured(offers, draft))
        return self._gateway_wide[kind]

    def _configured(self, offers: Iterable[Registration], draft: Draft) -> Iterable[Configured]:
        for offer in offers:
            block = draft.overrides.get(id(offer))
            configured = self._offers.gateway_wide(offer) if block is None else self._offers.for_rule(offer, block)
            if configured is not None:
                yield configured


def sorted_policies(host: PluginHost, order: Mapping[str, Sequence[str]]) -> list[PolicyRegistration]:
    """Return the policies of all plugins in pipeline order: by stage, then as ``order`` says, then by name."""

    def key(policy: PolicyRegistration) -> tuple[Stage, int, str]:
        first = list(order.get(policy.stage.name.lower(), ()))
        position = first.index(policy.name) if policy.name in first else len(first)
        return policy.stage, position, policy.name

    return sorted((offer for offer in host.of_kind("policy") if isinstance(offer, PolicyRegistration)), key=key)


def check_order(context: Context, pipeline: Block) -> None:
    """Report names in ``pipeline.order`` that are of no policy, or of one in another stage."""
    order = pipeline.get("order")
    if not isinstance(order, Block):
        return
    stages = {policy.name: policy.stage.name.lower() for policy in sorted_policies(context.host, {})}
    known_stages = {stage.name.lower() for stage in Stage}
    for stage, names in order.items():
        if stage not in known_stages:
            continue  # the model says so
        for name, place in zip(names, names.places, strict=True) if isinstance(names, Items) else ():
            actual = stages.get(name)
            if actual is None:
                known = [policy for policy, its_stage in stages.items() if its_stage == stage]
                context.report.error(context.missing.offer("policy", name, known), value=place)
            elif actual != stage:
                context.report.error(f"{name!r} is a policy of the stage {actual!r}; list it there", value=place)
