from __future__ import annotations

import asyncio
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway.config.places import Place, block_of
from gateway.runtime import letting_go
from gateway.runtime.letting_go import let_go, pieces_of

if TYPE_CHECKING:
    from gateway.config import Configuration

pytestmark = pytest.mark.anyio


class Thing:
    """Something that can be missed."""


@dataclass
class Few:
    """As much of a configuration as it takes."""

    data: Any
    rules: tuple[Any, ...] = ()
    verdicts: tuple[Any, ...] = field(default=())


async def test_a_little_is_freed_in_each_turn_of_the_loop(monkeypatch):
    monkeypatch.setattr(letting_go, "AT_ONCE", 3)
    pieces: list[object] = [Thing() for _ in range(7)]
    alive = [weakref.ref(each) for each in pieces]
    left = []

    async def look() -> None:
        while pieces:
            left.append(sum(each() is not None for each in alive))
            await asyncio.sleep(0)

    looking = asyncio.ensure_future(look())
    await let_go(pieces)
    await looking
    assert left[:2] == [4, 1]
    assert not pieces
    assert not any(each() for each in alive)


async def test_what_is_inside_of_something_comes_before_it():
    """Since freeing begins at the end, nothing drags along what is inside of it."""
    data = block_of({"router": {"rules": [{"path": "/a"}, {"path": "/b"}]}, "name": "x"}, Place("f"))
    rules = data["router"]["rules"]
    pieces = await pieces_of(cast("Configuration", Few(data=data, rules=(1, 2), verdicts=(3,))))
    assert pieces[:3] == [1, 2, 3]
    assert [id(each) for each in pieces[3:]] == [id(rules[0]), id(rules[1]), id(rules), id(data["router"]), id(data)]
