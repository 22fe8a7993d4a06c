"""What importing a plugin costs: every start, every worker and every command pays it, used or not.

Measured in a process of its own for each, in which the core is imported already, by the time that the processor worked:
how busy the machine is makes no difference.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.review.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.review.source import Source
    from gateway.review.subject import Subject

__all__ = ["BUDGET_S", "ImportCost", "check_import", "measure_imports"]

BUDGET_S = 0.05
"""What a plugin may cost: twenty of them are a second, and a second is what an operator waits for ``gateway check``."""
HEAVY_S = 0.02
"""What a package of somebody else may cost that is imported with the plugin."""
TIMEOUT_S = 60.0
TRIES = 3
"""How often is measured what seems too much."""

HEAVY = frozenset(
    (
        *("aiohttp", "boto3", "botocore", "cryptography", "django", "docker", "flask", "google", "grpc", "httpx"),
        *("jinja2", "jwt", "kubernetes", "numpy", "opentelemetry", "pandas", "psycopg", "psycopg2", "redis"),
        *("requests", "sqlalchemy", "tensorflow", "tiktoken", "torch", "transformers", "urllib3"),
    )
)
"""Packages that ``build`` should import, and ``plugin.py`` should not."""

_SCRIPT = """
import importlib, json, os, runpy, sys, tempfile, time
import gateway.blocking, gateway.cli.program, gateway.config, gateway.interfaces, gateway.metrics, gateway.pluginhost
# What the core offers is its own affair, whoever is the first to ask for it.
import gateway.concurrency, gateway.credentials, gateway.dialing, gateway.forwarding, gateway.handover
import gateway.hash_ring, gateway.semantics, gateway.tls, gateway.trust

def measure(module, path, file):
    known = set(sys.modules)
    sys.path[:0] = [path] if path else []
    before = time.process_time()
    try:
        runpy.run_path(file, run_name="gateway_plugin_files.checked") if file else importlib.import_module(module)
    except (Exception, SystemExit):
        return None
    spent_s = time.process_time() - before
    return [spent_s, sorted({name.partition(".")[0] for name in set(sys.modules) - known})]

for module, path, file in json.load(sys.stdin):
    with tempfile.TemporaryFile("w+") as report, tempfile.TemporaryFile("w+") as times:
        child = os.fork()
        if not child:
            os.dup2(times.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            json.dump(measure(module, path, file), report)
            report.flush()
            sys.stderr.flush()
            os._exit(0)
        os.waitpid(child, 0)
        report.seek(0)
        times.seek(0)
        print(json.dumps([json.loads(report.read() or "null"), times.read()]), flush=True)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCost:
    """What importing a plugin costs.

    Attributes:
        total_s: Seconds of the processor.
        packages: The packages that come with it, each with its seconds.
    """

    total_s: float
    packages: Mapping[str, float]


def measure_imports(subjects: Sequence[Subject]) -> list[ImportCost | None]:
    """Return what importing each of them costs; ``None`` for those that cannot be imported."""
    costs = _measure(subjects)
    for _ in range(TRIES - 1):
        # The first time byte code may have had to be made.
        slow = [at for at, cost in enumerate(costs) if cost is not None and cost.total_s > BUDGET_S]
        if not slow:
            break
        for at, again in zip(slow, _measure([subjects[at] for at in slow]), strict=True):
            before = costs[at]
            costs[at] = min(filter(None, (before, again)), key=lambda cost: cost.total_s)
    return costs


def _measure(subjects: Sequence[Subject]) -> list[ImportCost | None]:
    asked = [[each.plugin.module, str(each.path or ""), str(each.plugin.file or "")] for each in subjects]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, and plugins that are imported here, too
            [sys.executable, "-X", "importtime", "-c", _SCRIPT],
            input=json.dumps(asked),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        lines = done.stdout.splitlines()
    except subprocess.TimeoutExpired:
        lines = []
    return [_cost(*json.loads(line)) for line in lines] + [None] * (len(subjects) - len(lines))


def _cost(measured: tuple[float, list[str]] | None, times: str) -> ImportCost | None:
    if measured is None:
        return None
    total_s, names = measured
    spent_s = _times(times.splitlines())
    return ImportCost(total_s=total_s, packages={name: spent_s.get(name, 0.0) for name in names})


def _times(lines: Sequence[str]) -> dict[str, float]:
    """Return the seconds that each top-level package took, from what ``-X importtime`` prints."""
    found: dict[str, float] = {}
    for line in lines:
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdecimal():  # self, cumulative, name
            package = parts[2].strip().partition(".")[0]
            found[package] = found.get(package, 0.0) + int(parts[0]) / 1e6
    return found


def check_import(subject: Subject, cost: ImportCost, sources: Sequence[Source]) -> Iterator[Finding]:
    """Yield what is too much about it."""
    own = subject.plugin.module.partition(".")[0]
    foreign = {name: spent for name, spent in cost.packages.items() if name not in (own, "gateway")}
    heavy = [name for name, spent in foreign.items() if name in HEAVY or (spent > HEAVY_S and not _is_standard(name))]
    places = {name: place for name in heavy if (place := next(_importers(name, sources), None)) is not None}
    # What comes with a package that the plugin imports is that package's affair.
    for name in places or heavy:
        file, line = places.get(name, (None, 0))
        yield Finding(
            code="heavy-import",
            problem=f"importing the plugin imports {name} ({foreign[name] * 1000:.0f} ms), used or not",
            remedy="import it in build(), or in a module that only build() imports",
            file=file,
            line=line,
        )
    if cost.total_s > BUDGET_S and not heavy:
        slowest = sorted(foreign, key=lambda name: -foreign[name])[:3]
        shares = ", ".join(f"{name} {foreign[name] * 1000:.0f} ms" for name in slowest)
        yield Finding(
            code="slow-import",
            problem=f"importing the plugin takes {cost.total_s * 1000:.0f} ms, of {BUDGET_S * 1000:.0f} ms it may take"
            + (f": {shares}" if shares else ""),
            remedy="import what it needs in build(): plugin.py is imported at every start, in every worker",
            file=next((source.path for source in sources if source.path.name == "plugin.py"), None),
        )


def _is_standard(name: str) -> bool:
    return name in sys.stdlib_module_names


def _importers(name: str, sources: Sequence[Source]) -> Iterator[tuple[Path, int]]:
    """Yield where a package is imported when the module that does it is imported."""
    for source in sources:
        for node in _at_import(source.tree):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            if any(module.partition(".")[0] == name for module in modules):
                yield source.path, node.lineno


def _at_import(node: ast.AST) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from _at_import(child)
