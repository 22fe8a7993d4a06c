"""Frees what a configuration took up, between requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.config.places import Block, Items
from gateway.services.slices import in_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Configuration
    from gateway.config.places import Value

__all__ = ["let_go", "pieces_of"]

AT_ONCE = 128
"""Pieces that are freed in a turn of the event loop: less than a millisecond, if they are rules with policies."""


async def let_go(pieces: list[object]) -> None:
    """Empty a list, from its end, a little in each turn of the event loop.

    The interpreter frees at once whatever only the thing refers to that it frees. Of 10,000 rules that takes 80 ms, in
    which no thread does anything else; so the list holds on to the parts until it is their turn.
    """
    while pieces:
        del pieces[-AT_ONCE:]
        await asyncio.sleep(0)


async def pieces_of(configuration: Configuration) -> list[object]:
    """Return what a configuration is made of, what is inside of something else before it."""
    pieces: list[object] = [*configuration.rules, *configuration.verdicts]
    for piece in in_steps(_blocks(configuration.data)):
        if piece is None:
            await asyncio.sleep(0)
        else:
            pieces.append(piece)
    return pieces


def _blocks(container: Block | Items) -> Iterator[Block | Items]:
    values: list[Value] = [*container.values()] if isinstance(container, Block) else container
    for value in values:
        if isinstance(value, Block | Items):
            yield from _blocks(value)
    yield container
