"""How large the tables of a component are: everything that its own objects, closures and modules hold."""

from __future__ import annotations

import sys
from collections import deque
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["table_sizes"]

MAX_OBJECTS = 5_000
MAX_ENTRIES = 8
"""Into how many entries of a table is looked for tables inside."""

_TABLES = (dict, list, set, deque)


def table_sizes(roots: Iterable[object], package: str) -> dict[str, int]:
    """Return the number of entries of each table, by the name it is reached by: ``LimitPolicy._seen``.

    Args:
        roots: Where to begin: the component and the handlers it made.
        package: The plugin's package. Objects of other packages are not looked into.
    """
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [(type(root).__name__, root) for root in roots]
    waiting += _variables(package)
    while waiting and len(seen) < MAX_OBJECTS:
        path, thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, _TABLES):
            sizes[path] = max(sizes.get(path, 0), len(thing))
        waiting.extend(_inside(path, thing, package))
    return sizes


def _variables(package: str) -> Iterator[tuple[str, Any]]:
    for name, module in list(sys.modules.items()):
        if name == package or name.startswith(f"{package}."):
            for variable, value in list(vars(module).items()):
                if isinstance(value, _TABLES) and not variable.startswith("__"):
                    yield f"{name}.{variable}", value


def _inside(path: str, thing: Any, package: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any object
    if isinstance(thing, _TABLES):
        entries = thing.values() if isinstance(thing, dict) else thing
        for entry, _ in zip(list(entries)[-MAX_ENTRIES:], range(MAX_ENTRIES), strict=False):
            yield f"{path}[]", entry
    elif isinstance(thing, MethodType):
        yield path, thing.__self__
    elif isinstance(thing, FunctionType):
        names = thing.__code__.co_freevars
        for name, cell in zip(names, thing.__closure__ or (), strict=True):
            try:
                yield f"{thing.__name__}.{name}", cell.cell_contents
            except ValueError:  # nothing has been put there yet
                continue
    elif type(thing).__module__.partition(".")[0] == package.partition(".")[0]:
        for name, value in _attributes(thing):
            yield f"{type(thing).__name__}.{name}", value


def _attributes(thing: object) -> Iterator[tuple[str, Any]]:
    yield from list(getattr(thing, "__dict__", {}).items())
    for owner in type(thing).__mro__:
        slots = vars(owner).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(thing, name):
                yield name, getattr(thing, name)
