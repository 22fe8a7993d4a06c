"""Runs one check of a contract against an implementation that does not keep it."""

from __future__ import annotations

import asyncio
import atexit
import dataclasses
import importlib
import inspect
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.registrations import CommandRegistration, Registration
from gateway.scaffold import write_plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest

    from gateway.testing import CommandContract, ComponentContract

__all__ = ["breach", "told_in_the_end", "written"]


def written(kind: str, name: str, module: str) -> Any:
    """Return a module of what ``gateway new-plugin`` writes: an implementation that keeps its contract.

    Args:
        kind: The kind of plugin.
        name: What the plugin is called.
        module: Which module, without the package.
    """
    package = f"gateway_{name}"
    if package not in sys.modules:
        folder = Path(tempfile.mkdtemp(prefix="gateway-broken-"))
        atexit.register(shutil.rmtree, folder)
        write_plugin(kind, name, folder)
        sys.path.append(str(folder / "src"))
    return importlib.import_module(f"{package}.{module}")


def breach(contract: type[ComponentContract | CommandContract], component: Any, check: str) -> str:
    """Return what a check says of a component; empty if it finds nothing.

    Args:
        contract: The contract as the reference implementation is held to it.
        component: A class that is built in place of the reference, a registration or a model of its configuration.
        check: The name of the check.
    """
    registration = contract.plugin
    assert isinstance(registration, Registration | CommandRegistration)
    if isinstance(component, Registration | CommandRegistration):
        registration = component
    elif isinstance(registration, CommandRegistration):
        registration = dataclasses.replace(registration, run=component)
    else:
        registration = dataclasses.replace(registration, build=component)
    held: Any = type("Broken", (contract,), {"plugin": registration})()
    try:
        outcome = getattr(held, check)()
        if inspect.iscoroutine(outcome):
            asyncio.run(outcome)
    except AssertionError as error:
        return str(error)
    return ""


def told_in_the_end(
    said: str, tell: Callable[[], str], patience: Mapping[str, float], monkeypatch: pytest.MonkeyPatch
) -> str:
    """Return what a check says, asked with little patience first, since most that is broken is found by waiting.

    On a busy machine what works takes longer than that, and the check stops at it before it comes to what is broken:
    then it is asked again with more.

    Args:
        said: What it should say.
        tell: Asks it.
        patience: How many seconds it waits for things, by the name of the constant in ``gateway.testing.contracts``.
        monkeypatch: Sets that.
    """
    told = ""
    for times in (1, 4, 16):
        for name, seconds in patience.items():
            monkeypatch.setattr(f"gateway.testing.contracts.{name}", seconds * times)
        told = tell()
        if re.search(said, told):
            break
    return told
