"""What all tests share: the fixtures of gateway.testing, which plugins' tests use as third parties' do."""

import gc
import os
import sys

import pytest
from hypothesis import settings

pytest_plugins = ["gateway.testing"]

# Gateways are started as processes hundreds of times: what one of them compiled is there for all that follow.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long one example takes says nothing on a busy machine. `--hypothesis-profile thorough` tries many more of them.
settings.register_profile("gateway", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("gateway")


_unfreeze = gc.unfreeze
_thawed: list[bool] = []


def _noted_unfreeze() -> None:
    _unfreeze()
    _thawed.append(True)


gc.unfreeze = _noted_unfreeze


def pytest_collection_finish() -> None:
    """Leave what thousands of tests consist of out of every garbage collection."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Freeze it again where a test thawed everything, as a large configuration does: see gateway.config.collector.

    To walk it stands in the way of a later test for a third of a second, which looks as if something had blocked.
    """
    if _thawed:
        _thawed.clear()
        pytest_collection_finish()
