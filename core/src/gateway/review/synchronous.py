"""Methods that the gateway calls and does not await, found by reading: a coroutine of theirs would never run."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gateway.review.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.review.source import Source

__all__ = ["check_synchronous"]

_BESIDE = {"conceal": "authenticate", "recall": "authenticate", "refund": "acquire", "acquire_now": "acquire"}
"""The methods that a component may have, each with the one by which a class looks like such a component."""


def check_synchronous(source: Source) -> Iterator[Finding]:
    """Yield every method of a component that is a coroutine function and must not be."""
    for owner in source.classes():
        coroutines = {method.name: method for method in owner.body if isinstance(method, ast.AsyncFunctionDef)}
        for name, method in coroutines.items():
            if _BESIDE.get(name) in coroutines:
                yield Finding(
                    code="synchronous",
                    problem=f"{owner.name}.{name} is a coroutine function, and it is called without await",
                    remedy="write def instead of async def",
                    file=source.path,
                    line=method.lineno,
                    level="warning",
                )
