"""Laying one part of the configuration over another."""

from __future__ import annotations

from gateway.config.places import Block

__all__ = ["merge"]


def merge(base: Block, overlay: Block) -> Block:
    """Return ``base`` with ``overlay`` over it; neither is changed.

    Blocks are merged key by key, at any depth. Everything else in ``overlay`` replaces what stands in ``base`` as a
    whole: a list replaces the list, for what would "the second item" be after somebody inserted one; and ``null``
    replaces the value, which gives the key its default again (see ``gateway.config.validation``).

    The places of the entries come along, and the block itself stands where ``overlay`` stands. The order of keys is
    that of ``base``, then what ``overlay`` adds.
    """
    merged = base.copy()
    merged.place = overlay.place
    for key, value in overlay.items():
        beneath = base.get(key)
        if isinstance(value, Block) and isinstance(beneath, Block):
            value = merge(beneath, value)  # noqa: PLW2901 - the entry, merged
        merged.put(key, value, overlay.places[key])
    return merged
