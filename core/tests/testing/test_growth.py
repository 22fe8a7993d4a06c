from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING

import pytest

from gateway.testing.contracts.growth import expect_bounded

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio


async def test_a_slow_collection_is_not_taken_for_growth(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A loop in debug mode logs what takes 100 ms, and the captured records were counted."""
    collect: Callable[[], int] = gc.collect

    def collect_slowly() -> int:
        time.sleep(0.15)
        return collect()

    async def use(number: int) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("gateway.testing.contracts.growth.gc.collect", collect_slowly)
    asyncio.get_running_loop().set_debug(True)
    await expect_bounded(use, 50, "nothing")
    assert "Executing" not in caplog.text
