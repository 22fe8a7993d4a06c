"""How a contract says what was not kept."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["PATIENCE_S", "expect", "in_time"]

PATIENCE_S = 5.0
"""How long anything that must happen may take."""


def expect(is_so: object, why: str) -> None:
    """Fail the test unless something is so.

    Args:
        is_so: What must be true.
        why: What was promised and what happened instead.

    Raises:
        AssertionError: If it is not so.
    """
    __tracebackhide__ = True
    if not is_so:
        raise AssertionError(why)


@contextlib.asynccontextmanager
async def in_time(what: str) -> AsyncIterator[None]:
    """Fail the test if something takes longer than ``PATIENCE_S``.

    Args:
        what: What it is, for the message.

    Raises:
        AssertionError: If it does.
    """
    limit = asyncio.timeout(PATIENCE_S)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if limit.expired():
            raise AssertionError(f"{what} did not happen within {PATIENCE_S:g} s") from error
        raise
