"""Every offer of every plugin of this repository is put to the contract of its kind."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from gateway.pluginhost.collect import build_manager, collect_offers
from gateway.testing import CommandContract, ComponentContract

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path for path in ROOT.glob("*/*/src/gateway_*/plugin.py") if path.parts[-5] in {"plugins", "contrib"})


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.parts[-4])
def test_every_offer_is_put_to_its_contract(path):
    module = f"{path.parent.name}.plugin"
    folder = path.parents[2] / "tests"
    # Those that take several plugins may stand here.
    tests = [*folder.glob("test_*_contract*.py"), *Path(__file__).parent.glob("test_*_contract_*.py")]
    offers = collect_offers(build_manager(), module, importlib.import_module(module))
    under_contract = {
        f"{each.registration.kind} {each.registration.name}"
        for test in tests
        for each in contracts_in(test)
        if each.plugin == module
    }
    without = {f"{offer.kind} {offer.name}" for offer in offers} - under_contract
    assert not without, f"no test in {folder}/test_*_contract*.py extends a contract for {without}"


def contracts_in(path):
    """Return the contract tests of a file."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    classes = inspect.getmembers(importlib.import_module(name), inspect.isclass)
    kinds = (ComponentContract, CommandContract)
    return [found() for name, found in classes if name.startswith("Test") and issubclass(found, kinds)]
