"""What a module imports when it is imported."""

from __future__ import annotations

import builtins
import importlib
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["foreign_imports"]

_FREE = frozenset(
    (*sys.stdlib_module_names, "annotated_types", "gateway", "pydantic", "pydantic_core", "typing_extensions")
)
"""What the gateway itself has imported by then."""


@cache
def foreign_imports(module: str) -> tuple[str, ...]:
    """Return the packages that a module and what it imports of its own package import, other than the gateway's.

    It is imported again for that, and forgotten: whoever has it already keeps what they have.

    Args:
        module: Its dotted name.
    """
    package = module.partition(".")[0]
    own = {name: sys.modules.pop(name) for name in [*sys.modules] if name == package or name.startswith(f"{package}.")}
    asked: set[str] = set()
    genuine = builtins.__import__

    def note(
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - as __import__ has it
        locals: Mapping[str, Any] | None = None,  # noqa: A002 - as __import__ has it
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> Any:  # noqa: ANN401 - a module
        importer = str((globals or {}).get("__name__", ""))
        if level == 0 and (importer == package or importer.startswith(f"{package}.")):
            asked.add(name.partition(".")[0])
        return genuine(name, globals, locals, fromlist, level)

    builtins.__import__ = note  # type: ignore[assignment]  # typeshed wants parameters by names nobody uses
    try:
        importlib.import_module(module)
    finally:
        builtins.__import__ = genuine
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]
        sys.modules.update(own)
    return tuple(sorted(asked - _FREE - {package}))
