"""What a module imports when it is imported."""

from __future__ import annotations

import builtins
import importlib
import sys
from functools import cache
from importlib.metadata import entry_points
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

    It is imported again for that, and forgotten: whoever has it already keeps what they have. A plugin may share the
    models of another one's configuration; so what it imports of that is looked at in the same way.

    Args:
        module: Its dotted name.
    """
    packages = _plugin_packages() | {module.partition(".")[0]}
    own = {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in packages}
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
        if level == 0 and importer.partition(".")[0] in packages:
            asked.add(name.partition(".")[0])
        return genuine(name, globals, locals, fromlist, level)

    builtins.__import__ = note  # type: ignore[assignment]  # typeshed wants parameters by names nobody uses
    try:
        importlib.import_module(module)
    finally:
        builtins.__import__ = genuine
        for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
            del sys.modules[name]
        sys.modules.update(own)
    return tuple(sorted(asked - _FREE - packages))


@cache
def _plugin_packages() -> frozenset[str]:
    """Return the packages of the plugins that are installed."""
    return frozenset(each.module.partition(".")[0] for each in entry_points(group="gateway"))
