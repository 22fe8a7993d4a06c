"""Tables without an end, found by reading: whatever strangers can fill must forget.

A heuristic. A container that is empty in the beginning, that code of the event loop fills under keys which are no
constants, and that nothing ever shrinks, replaces or measures, is one too many. What is filled only ``if`` something is
``in`` another table is as large as that, and the control plane is not reached by strangers.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.review.finding import Finding
from gateway.review.source import dotted_name, own_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.review.source import Source

__all__ = ["bounded_names", "check_growth"]

_CONTAINERS = frozenset(
    (
        *("dict", "list", "set", "collections.defaultdict", "collections.OrderedDict", "collections.Counter"),
        "collections.deque",
    )
)
_ENDS = frozenset(("append", "appendleft", "insert"))
_FILLS = _ENDS | {"add", "setdefault"}
_SHRINKS = frozenset(("pop", "popitem", "popleft", "remove", "discard", "clear", "difference_update", "move_to_end"))
_CONTROL_PLANE = frozenset(("watch", "monitor"))
"""What discovery providers and health checkers have: their tables are as large as the configuration and registries."""
_REMEDY = "forget the oldest above a bound (len(), then popitem()), or let them expire; strangers choose the keys"


@dataclass(slots=True)
class _Table:
    """A container and what is done with it.

    Attributes:
        name: ``self._seen``, or the name of a variable of the module.
        fills: The lines on which code of the event loop fills it.
        is_bounded: Whether something shrinks, replaces or measures it.
    """

    name: str
    fills: list[int] = field(default_factory=list)
    is_bounded: bool = False


def check_growth(source: Source) -> Iterator[Finding]:
    """Yield every table of a file that only grows."""
    for table in _tables(source):
        if table.fills and not table.is_bounded:
            yield Finding(
                code="growth",
                problem=f"{table.name} grows while requests are served, and nothing makes it smaller",
                remedy=_REMEDY,
                file=source.path,
                line=table.fills[0],
                level="warning",
            )


def bounded_names(sources: list[Source]) -> set[str]:
    """Return the names, without ``self.``, of the tables of all files that something keeps small.

    A table that is kept under a second name, as in ``self._known = self._memo.known``, is known by both.
    """
    tables = (table for source in sources for table in _tables(source))
    bounded = {table.name.removeprefix("self.") for table in tables if table.is_bounded}
    aliases = [pair for source in sources for pair in _aliases(source)]
    return bounded | {alias for alias, name in aliases if name in bounded}


def _aliases(source: Source) -> Iterator[tuple[str, str]]:
    """Yield the attributes that are given an attribute of another object, each with the name that it has there."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
            for target in node.targets:
                if isinstance(target, ast.Attribute):
                    yield target.attr, node.value.attr


def _tables(source: Source) -> Iterator[_Table]:
    for node in source.classes():
        if _CONTROL_PLANE & {method.name for method in node.body if isinstance(method, ast.AsyncFunctionDef)}:
            continue
        yield from _tables_in(node, source, {f"self.{name}" for name in _attributes(node, source)})
    yield from _tables_in(source.tree, source, set(_variables(source.tree, source)))


def _attributes(node: ast.ClassDef, source: Source) -> Iterator[str]:
    """Yield the attributes that ``__init__`` makes empty containers."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            for statement in ast.walk(method):
                for target in _emptied(statement, source):
                    if isinstance(target, ast.Attribute) and _text(target) == f"self.{target.attr}":
                        yield target.attr


def _variables(tree: ast.Module, source: Source) -> Iterator[str]:
    for statement in tree.body:
        for target in _emptied(statement, source):
            if isinstance(target, ast.Name):
                yield target.id


def _emptied(statement: ast.AST, source: Source) -> list[ast.expr]:
    """Return what a statement makes an empty container without bound."""
    if isinstance(statement, ast.Assign):
        targets, value = statement.targets, statement.value
    elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets, value = [statement.target], statement.value
    else:
        return []
    return targets if _is_empty_container(value, source) else []


def _is_empty_container(value: ast.expr, source: Source) -> bool:
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List):
        return not value.elts
    if isinstance(value, ast.Call):
        is_bounded = any(keyword.arg == "maxlen" for keyword in value.keywords)
        return dotted_name(value.func, source.imports) in _CONTAINERS and not is_bounded
    return False


def _tables_in(scope: ast.AST, source: Source, names: set[str]) -> Iterator[_Table]:
    if not names:
        return
    tables = {name: _Table(name) for name in names}
    for function in source.functions:
        if function.node.name == "__init__" or not _is_within(function.node, scope):
            continue
        chosen = _chosen(function.node)
        for node in own_nodes(function.node):
            for name, fills in _touched(node):
                if name in tables and fills is None:
                    tables[name].is_bounded = True
                elif name in tables and fills and function.is_on_loop and name in chosen.get(id(node), {name}):
                    tables[name].fills.append(getattr(node, "lineno", 0))
    yield from tables.values()


def _chosen(function: ast.AST) -> dict[int, set[str]]:
    """Return the nodes that run only if something is in a table, each with the names of what is tested there."""
    found: dict[int, set[str]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.If):
            tests = [each for each in ast.walk(node.test) if isinstance(each, ast.Compare)]
            names = {_text(each.comparators[-1]) for each in tests if isinstance(each.ops[-1], ast.In)}
            if names:
                found.update((id(inner), names) for statement in node.body for inner in ast.walk(statement))
    return found


def _is_within(node: ast.AST, scope: ast.AST) -> bool:
    return isinstance(scope, ast.Module) or any(each is node for each in ast.walk(scope))


def _touched(node: ast.AST) -> Iterator[tuple[str, bool | None]]:
    """Yield the names a node does something to: ``True`` fills, ``None`` bounds, ``False`` neither."""
    if isinstance(node, ast.Attribute) and node.attr in _SHRINKS:
        yield _text(node.value), None  # called here, or handed to somebody who calls it
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        method = node.func.attr
        # A list grows by the same thing again and again, a set or a dictionary does not.
        is_variable = method in _ENDS or not (node.args and isinstance(node.args[0], ast.Constant))
        if method in _FILLS:
            yield _text(node.func.value), is_variable
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("len", "iter", "next"):
        # Who measures it does so for a bound; who takes its first key takes the oldest.
        yield from ((_text(argument), None) for argument in node.args)
    elif isinstance(node, ast.Delete):
        for target in node.targets:
            yield _text(target.value if isinstance(target, ast.Subscript) else target), None
    elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            yield from _assigned(target)


def _assigned(target: ast.expr) -> Iterator[tuple[str, bool | None]]:
    if isinstance(target, ast.Tuple | ast.List):
        for each in target.elts:
            yield from _assigned(each)
    elif isinstance(target, ast.Subscript):
        yield _text(target.value), not isinstance(target.slice, ast.Constant | ast.Slice)
    else:
        yield _text(target), None  # another object takes its place


def _text(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
