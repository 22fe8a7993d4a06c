"""What the tests of the core share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def anyio_backend():
    """The core is asyncio's: it implements protocols and futures of its own."""
    return "asyncio", {"debug": True}
