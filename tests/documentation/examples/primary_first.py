"""A balancer: everything to the first instance, the others are for when it is unhealthy or has just failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BalancerRegistration, hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import BuildContext, Exchange, Instance, NoConfig


class PrimaryFirst:
    def select(self, instances: Sequence[Instance], exchange: Exchange) -> Instance:
        if exchange.excluded:
            return next((each for each in instances if each not in exchange.excluded), instances[0])
        return instances[0]


@hookimpl
def gateway_register_balancers() -> list[BalancerRegistration]:
    return [
        BalancerRegistration(name="primary_first", summary="The first healthy instance", build=build),
    ]


def build(config: NoConfig, context: BuildContext) -> PrimaryFirst:
    return PrimaryFirst()
