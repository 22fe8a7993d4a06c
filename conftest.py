"""What all tests share: the fixtures of gateway.testing, which plugins' tests use as third parties' do."""

import gc
import os
import sys

from hypothesis import settings

pytest_plugins = ["gateway.testing"]

# Gateways are started as processes hundreds of times: what one of them compiled is there for all that follow.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long one example takes says nothing on a busy machine. `--hypothesis-profile thorough` tries many more of them.
settings.register_profile("gateway", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("gateway")


def pytest_collection_finish() -> None:
    """Leave what thousands of tests consist of out of every garbage collection that they ask for."""
    gc.collect()
    gc.freeze()
