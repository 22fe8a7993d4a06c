"""Writes ``metrics.md`` from the calls that make families of metrics; ``--check`` only says whether it is up to date.

It reads the source, for no gateway has every family at once: many are made where something is configured. A name, kind,
text or label that it cannot read from there is an error, so that none is left out.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from writing import ROOT, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TARGET = Path(__file__).with_name("metrics.md")
SOURCES = ("core/src", "plugins/*/src", "contrib/*/src")
PARAMETERS = ("name", "help", "label_names")
KINDS = ("counter", "gauge", "histogram")

HEAD = """\
# Metrics

<!-- Written by docs/reference/generate_metrics.py. Change the texts in the code and run it again. -->

Every family that the core and the plugins of this repository count, by who counts it; those of a plugin are there where
it is on. Beyond 10,000 series of one family the rest are counted together, with `other` for every label. How to get at
them: [Metrics for Prometheus](../how-to/metrics.md), [OpenTelemetry](../how-to/telemetry.md).
"""


@dataclass(frozen=True, order=True)
class Metric:
    """A family.

    Attributes:
        name: Its name.
        kind: ``counter``, ``gauge`` or ``histogram``.
        labels: The names of its labels.
        help: What it means.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def render() -> str:
    """Return the page."""
    parts = [HEAD]
    for folder in (path for pattern in SOURCES for path in sorted(ROOT.glob(pattern))):
        metrics = sorted({metric for file in folder.rglob("*.py") for metric in metrics_of(file)})
        if metrics:
            parts.append(f"\n## `gateway-{folder.parent.name}`\n\n| family | kind | labels | |\n|---|---|---|---|\n")
            parts += map(_row, metrics)
    return "".join(parts)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help.replace('|', chr(92) + '|')} |\n"


def metrics_of(file: Path) -> Iterator[Metric]:
    """Yield the families that a module makes.

    Raises:
        ValueError: If one is made of what is not written in the module.
    """
    module = ast.parse(file.read_text(encoding="utf-8"))
    constants = _assigned(module.body)
    for function in (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        names = constants | _assigned(function.body)
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _makes_a_family(node.func):
                try:
                    yield _metric(node, node.func.attr, names)
                except ValueError as error:
                    msg = f"{file.relative_to(ROOT)}:{node.lineno}: write it so that it can be read here: {error}"
                    raise ValueError(msg) from error


def _assigned(statements: list[ast.stmt]) -> dict[str, ast.expr]:
    """Return what names are assigned by statements, but not further in."""
    found: dict[str, ast.expr] = {}
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = value
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                found |= {ast.unparse(target): value for target, value in zip(targets, values, strict=False)}
    return found


def _makes_a_family(function: ast.Attribute) -> bool:
    return function.attr in KINDS and ast.unparse(function.value).rpartition(".")[2].lstrip("_") == "metrics"


def _metric(call: ast.Call, kind: str, names: Mapping[str, ast.expr]) -> Metric:
    given = dict(zip(PARAMETERS, call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg in PARAMETERS}
    labels = given.get("label_names")
    return Metric(
        name="".join(_texts(given["name"], names)),
        kind=kind,
        labels=tuple(_texts(labels, names)) if labels is not None else (),
        help="".join(_texts(given["help"], names)),
    )


def _texts(node: ast.expr, names: Mapping[str, ast.expr]) -> Iterator[str]:
    """Yield the texts of an expression; those of a label that may be turned off are among them."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            for element in elements:
                yield from _texts(element, names)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from _texts(left, names)
            yield from _texts(right, names)
        case ast.Starred(value=value) | ast.IfExp(body=value):
            yield from _texts(value, names)
        case ast.Name(id=name) if name in names:
            yield from _texts(names[name], names)
        case _:
            raise ValueError(ast.unparse(node))


if __name__ == "__main__":
    sys.exit(write(TARGET, render, __file__, sys.argv[1:]))
