"""Which sources of instances are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.claims import place_of
from gateway.registrations import DiscoveryRegistration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config.draft import Context
    from gateway.config.places import Block

__all__ = ["choose_providers"]


def choose_providers(context: Context, types: Sequence[str] | None, registry: Block) -> None:
    """Turn the discovery providers on that ``registry.type`` names, and the others under ``registry`` off.

    Args:
        context: What it is worked out in.
        types: What it names; ``None`` leaves every provider on that has a block.
        registry: The block ``gateway.registry``, for the places in messages.
    """
    if types is None:
        return
    providers = [
        offer for offer in context.host.of_kind("discovery provider") if isinstance(offer, DiscoveryRegistration)
    ]
    by_name = {_normal(name): offer for offer in providers for name in (place_of(offer)[-1], offer.name)}
    for name in types:
        if _normal(name) not in by_name:
            message = context.missing.offer("discovery provider", name, [offer.name for offer in providers])
            context.report.error(message, value=registry.places["type"])
    wanted = [by_name.get(_normal(name)) for name in types]
    for offer in providers:
        if offer in wanted:
            context.offers.switch(offer, on=True)
        elif place_of(offer)[0] == "registry":
            _turn_off(context, offer)


def _turn_off(context: Context, offer: DiscoveryRegistration) -> None:
    context.offers.switch(offer, on=False)
    block = context.offers.block_of(offer)
    if block is not None:
        message = f"has no effect, because gateway.registry.type does not name {offer.name!r}"
        context.report.warn(message, key=block.place)


def _normal(name: str) -> str:
    """Return a name as it is compared: ``dockerCompose``, ``docker-compose`` and ``dockercompose`` are one."""
    return name.lower().replace("-", "").replace("_", "")
