"""The code of a plugin: which of its functions run on the event loop, and what they call."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from gateway.review.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["LOOP_METHODS", "AnyFunction", "Function", "Source", "dotted_name", "own_nodes", "read_sources"]

AnyFunction: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

LOOP_METHODS = frozenset(
    (
        *("select", "conceal", "recall", "refund", "acquire_now"),
        *("exchange_started", "exchange_finished", "exchanges_finished", "attempt_finished", "wants_attempts"),
        "around_policy",
        *("connection_made", "data_received", "eof_received", "connection_lost", "pause_writing", "resume_writing"),
    )
)
"""Methods of ``gateway.interfaces`` and of asyncio's protocols that are no coroutines and run on the event loop."""


@dataclass(slots=True, eq=False)
class Function:
    """A function of a plugin.

    Attributes:
        node: Its definition.
        name: For people: ``Limits.acquire``.
        owner: The class it is a method of; ``None`` if it is none.
        parent: The function it stands in.
        is_on_loop: Whether it runs on the event loop.
        reached_from: The function that calls it there, if it does not run there by itself.
    """

    node: AnyFunction
    name: str
    owner: ast.ClassDef | None
    parent: Function | None
    is_on_loop: bool = False
    reached_from: str = ""


@dataclass(slots=True, eq=False)
class Source:
    """A file.

    Attributes:
        path: The file.
        tree: What it says.
        imports: What names at hand stand for: ``sleep`` for ``time.sleep``.
        functions: All functions, outer ones first.
    """

    path: Path
    tree: ast.Module
    imports: Mapping[str, str] = field(default_factory=dict)
    functions: list[Function] = field(default_factory=list)

    def classes(self) -> Iterator[ast.ClassDef]:
        """Yield all classes."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))

    def on_loop(self) -> Iterator[Function]:
        """Yield the functions that run on the event loop."""
        return (function for function in self.functions if function.is_on_loop)


def read_sources(files: list[Path]) -> tuple[list[Source], list[Finding]]:
    """Return what the files say, and which of them say nothing that Python understands."""
    sources, findings = [], []
    for path in files:
        try:
            tree = ast.parse(path.read_bytes(), filename=str(path))
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None) or 0
            remedy = "write what Python understands"
            findings.append(Finding(code="load", problem=str(error), remedy=remedy, file=path, line=line))
            continue
        source = Source(path, tree, dict(_imports(tree)))
        source.functions = list(_functions(tree, None, None, ""))
        _mark(source.functions)
        sources.append(source)
    return sources, findings


def dotted_name(node: ast.expr, imports: Mapping[str, str]) -> str | None:
    """Return what an expression names, in full: ``time.sleep``; ``None`` if it names nothing."""
    if isinstance(node, ast.Name):
        return imports.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        above = dotted_name(node.value, imports)
        return f"{above}.{node.attr}" if above is not None else None
    return None


def own_nodes(function: AnyFunction) -> Iterator[ast.AST]:
    """Yield everything in a function's body that runs when it runs: nothing of what functions inside of it do."""
    waiting: list[ast.AST] = list(reversed(function.body))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(reversed(list(ast.iter_child_nodes(node))))


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    alias.asname or alias.name.partition(".")[0],
                    alias.name if alias.asname else alias.name.partition(".")[0],
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _functions(node: ast.AST, owner: ast.ClassDef | None, parent: Function | None, prefix: str) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            function = Function(child, f"{prefix}{child.name}", owner, parent)
            function.is_on_loop = isinstance(child, ast.AsyncFunctionDef) or (
                owner is not None and child.name in LOOP_METHODS
            )
            yield function
            yield from _functions(child, None, function, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, child, parent, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, owner, parent, prefix)


def _mark(functions: list[Function]) -> None:
    """Mark what functions on the loop call in the same file, as far as it can be told."""
    waiting = [function for function in functions if function.is_on_loop]
    while waiting:
        caller = waiting.pop()
        for callee in _called(caller, functions):
            if not callee.is_on_loop:
                callee.is_on_loop = True
                callee.reached_from = caller.reached_from or caller.name
                waiting.append(callee)


def _called(caller: Function, functions: list[Function]) -> Iterator[Function]:
    for node in own_nodes(caller.node):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name):
            yield from (each for each in functions if each.node.name == called.id and _is_visible(each, caller))
        elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "self":
            owner = _class_of(caller)
            yield from (each for each in functions if each.owner is owner is not None and each.node.name == called.attr)


def _is_visible(function: Function, caller: Function) -> bool:
    """Say whether a plain name in ``caller`` can mean a function: one of the module, or of a function around it."""
    if function.owner is not None:
        return False
    around: Function | None = caller
    while around is not None:
        if function.parent is around:
            return True
        around = around.parent
    return function.parent is None


def _class_of(function: Function) -> ast.ClassDef | None:
    """Return the class that ``self`` is of."""
    around: Function | None = function
    while around is not None:
        if around.owner is not None:
            return around.owner
        around = around.parent
    return None
