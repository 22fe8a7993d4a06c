"""Changes of a folder, one at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway import ErrorType, GatewayError
from gateway_grpc.descriptors.turn import turn

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def test_one_changes_a_folder_at_a_time(tmp_path: Path) -> None:
    seen = []

    async def change(name: str) -> None:
        async with turn(tmp_path / "uploads"):
            seen.append(name)
            await asyncio.sleep(0)
            seen.append(name)

    await asyncio.gather(change("a"), change("b"))
    assert seen in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


async def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    async with turn(tmp_path):
        with pytest.raises(GatewayError) as refusal:
            async with turn(tmp_path, patience_s=0.0):
                pass
    assert refusal.value.type is ErrorType.UNAVAILABLE


async def test_a_failed_change_ends_the_turn(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with turn(tmp_path):
            raise ZeroDivisionError
    async with turn(tmp_path, patience_s=0.0):
        pass
