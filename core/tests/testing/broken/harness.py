"""Runs one check of a contract against an implementation that does not keep it."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

from gateway.registrations import Registration

if TYPE_CHECKING:
    from gateway.testing import ComponentContract

__all__ = ["breach"]


def breach(contract: type[ComponentContract], component: Any, check: str) -> str:
    """Return what a check says of a component; empty if it finds nothing.

    Args:
        contract: The contract as the reference implementation is held to it.
        component: A class that is built in place of the reference, a registration or a model of its configuration.
        check: The name of the check.
    """
    registration = contract.plugin
    assert isinstance(registration, Registration)
    if isinstance(component, Registration):
        registration = component
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
