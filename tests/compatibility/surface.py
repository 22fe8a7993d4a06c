"""The public Python surface as text: what a plugin may import, and how it looks.

To write it down after a change, name the changelog fragment that tells users of it:

    python tests/compatibility/surface.py --write 142.changed.body.md
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import importlib
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from gateway import hookspecs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SNAPSHOT = Path(__file__).with_name("surface.txt")
CHANGELOG = ROOT / "docs" / "changelog"
MODULES = (
    "gateway",
    "gateway.interfaces",
    "gateway.metrics",
    "gateway.testing",
    "gateway.embedding",
    "gateway.blocking",
    "gateway.concurrency",
    "gateway.dialing",
    "gateway.tls",
    "gateway.trust",
    "gateway.credentials",
    "gateway.forwarding",
    "gateway.handover",
    "gateway.hash_ring",
    "gateway.semantics",
)
FRAGMENT = "# told to users in: "
HEADER = "# The public surface. Written by tests/compatibility/surface.py; see docs/reference/compatibility.md.\n"


def surface() -> str:
    """Return the surface, a line for each thing that somebody may rely on."""
    lines = [*_hooks()]
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        lines += ["", f"[{module_name}]"]
        for name in sorted(module.__all__):
            lines += _described(name, getattr(module, name), module_name)
    return "\n".join(lines) + "\n"


def _hooks() -> Iterator[str]:
    yield "[hooks]"
    for name, hook in sorted(vars(hookspecs).items()):
        if name.startswith("gateway_"):
            yield f"{name}{_signature(hook)}"


def _described(name: str, thing: Any, module: str) -> Iterator[str]:
    if inspect.isclass(thing):
        if module != "gateway" and name in importlib.import_module("gateway").__all__:
            yield f"class {name}: as gateway.{name}"
            return
        bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
        yield f"class {name}({bases})"
        yield from (f"    {line}" for line in _members(thing))
    elif inspect.isfunction(thing):
        yield f"{'async ' if inspect.iscoroutinefunction(thing) else ''}def {name}{_signature(thing)}"
    elif isinstance(thing, str | int | float | tuple):
        yield f"{name} = {thing!r}"
    else:
        yield name


def _members(cls: type) -> Iterator[str]:
    if issubclass(cls, enum.Enum):
        yield from (f"{member.name} = {member.value!r}" for member in cls)
    fields = _fields(cls)
    yield from fields.values()
    if "__init__" in vars(cls) and not dataclasses.is_dataclass(cls) and not getattr(cls, "_is_protocol", False):
        yield f"def __init__{_signature(vars(cls)['__init__'])}"
    for name, member in sorted(vars(cls).items()):
        if not name.startswith("_") and name not in fields:
            yield from _member(name, member)


def _fields(cls: type) -> dict[str, str]:
    found = {}
    optional = {}
    if dataclasses.is_dataclass(cls):
        missing = dataclasses.MISSING
        optional = {
            each.name: each.default is not missing or each.default_factory is not missing
            for each in dataclasses.fields(cls)
        }
    elif issubclass(cls, BaseModel):
        optional = {name: not field.is_required() for name, field in cls.model_fields.items()}
    for name, annotation in inspect.get_annotations(cls).items():
        if not name.startswith("_"):
            text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
            found[name] = f"{name}: {text}{' = ...' if optional.get(name) else ''}"
    return found


def _member(name: str, member: Any) -> Iterator[str]:
    if isinstance(member, property):
        yield f"property {name}"
    elif isinstance(member, staticmethod | classmethod):
        yield f"{type(member).__name__} {name}{_signature(member.__func__)}"
    elif inspect.isfunction(member):
        yield f"{'async ' if inspect.iscoroutinefunction(member) else ''}def {name}{_signature(member)}"


def _signature(function: Any) -> str:
    """Return the signature, without the values of defaults: what counts is that there are some."""
    signature = inspect.signature(function)
    parameters = [
        parameter if parameter.default is parameter.empty else parameter.replace(default=...)
        for parameter in signature.parameters.values()
    ]
    # Annotations are text, and shown in quotes.
    return str(signature.replace(parameters=parameters)).replace("Ellipsis", "...").replace("'", "")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", metavar="FRAGMENT", help="the file in docs/changelog that tells users of the change")
    fragment = parser.parse_args(arguments).write
    if fragment is None:
        sys.stdout.write(surface())
        return 0
    if not (CHANGELOG / fragment).is_file():
        sys.stderr.write(f"there is no {CHANGELOG / fragment}; write it first, see {CHANGELOG / 'README.md'}\n")
        return 2
    SNAPSHOT.write_text(f"{HEADER}{FRAGMENT}{fragment}\n\n{surface()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
