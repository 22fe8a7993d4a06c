"""What the tests of the core share."""

from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def without_slow_turns(caplog):
    """Keep out of the records what asyncio, which is being debugged, says when the machine lets a turn wait."""
    loops = logging.getLogger("asyncio")

    def is_wanted(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Executing %s took")

    loops.addFilter(is_wanted)
    yield
    loops.removeFilter(is_wanted)


@pytest.fixture(scope="session")
def anyio_backend():
    """The core is asyncio's: it implements protocols and futures of its own."""
    return "asyncio", {"debug": True}
