"""Autobahn's cases, for the tests of this folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.conformance.autobahn import suite

if TYPE_CHECKING:
    from tests.conformance.autobahn.fuzzer import Case


@pytest.fixture(scope="session")
def cases() -> dict[str, type[Case]]:
    """Give every case by its name."""
    if not suite.is_installed():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(suite.REMEDY)
    return suite.load()
