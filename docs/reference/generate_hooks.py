"""Writes ``hooks.md`` from the hook specifications; ``--check`` only says whether it is up to date.

The text of a hook is its docstring, the examples are cut from plugins that tests run, and the tables are the attributes
of the registrations. A hook without text or example is an error, and so is an attribute of which nothing is said.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from writing import ROOT, cell, markdown, write

from gateway import hookspecs, registrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TARGET = Path(__file__).with_name("hooks.md")

HEAD = """\
# Hooks

<!-- Written by docs/reference/generate_hooks.py. Change the docstrings in gateway/hookspecs.py and
gateway/registrations.py and run it again. -->

A plugin is a module (or an object) with some of these functions, each marked `@gateway.hookimpl`. What they return are
registrations: descriptions of what the plugin offers. Each is shown here with a plugin that uses it; all of these
plugins run in the tests of this repository. What a registration builds: [Interfaces](interfaces.md).

**When they fire.** All hooks are synchronous, do no I/O and take no arguments. Each is called once whenever a
configuration is loaded: at a start (once in the control plane and once in every worker), at a reload, and by commands
such as `gateway check`. Plugins are asked one after the other, in the order of their names. No hook is called while
requests are served. A hook that raises, or returns something else than a list of its registrations, makes its plugin
unusable: the start is refused if the configuration needs it, otherwise there is a warning.

**Since when.** Each hook carries `__since__`; those below are there since 0.1 unless they say otherwise. What is
promised: [Compatibility](compatibility.md).

**Without hooks.** A module that has none is a plugin too if it holds registrations in its variables, as `@policy` and
`@authenticator` make them: see [Your first plugin](../tutorials/first-plugin.md).
"""

_HERE = "tests/documentation/examples"
EXAMPLES: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "gateway_register_protocols": (
        (f"{_HERE}/folder.py", ("gateway_register_protocols",)),
        ("plugins/websocket/src/gateway_websocket/plugin.py", ("asks_for_websocket",)),
    ),
    "gateway_register_authenticators": ((f"{_HERE}/team_tokens.py", ("gateway_register_authenticators",)),),
    "gateway_register_limiters": ((f"{_HERE}/burst.py", ("BurstConfig", "Burst", "gateway_register_limiters")),),
    "gateway_register_policies": ((f"{_HERE}/security_headers.py", ("gateway_register_policies",)),),
    "gateway_register_balancers": ((f"{_HERE}/primary_first.py", ("gateway_register_balancers",)),),
    "gateway_register_observers": (
        (f"{_HERE}/slow_requests.py", ("SlowRequests.exchange_finished", "gateway_register_observers")),
    ),
    "gateway_register_discovery_providers": (
        (f"{_HERE}/instances_file.py", ("gateway_register_discovery_providers",)),
    ),
    "gateway_register_route_sources": ((f"{_HERE}/routes_file.py", ("gateway_register_route_sources",)),),
    "gateway_register_health_checkers": (
        (f"{_HERE}/tcp_check.py", ("TcpCheck.monitor", "gateway_register_health_checkers")),
    ),
    "gateway_register_admin_routes": ((f"{_HERE}/drain_instance.py", ("gateway_register_admin_routes", "build")),),
    "gateway_register_commands": ((f"{_HERE}/new_token.py", ("gateway_register_commands", "run")),),
}
"""What is cut from which file for a hook: functions, classes and methods."""

GUIDES = {
    "gateway_register_protocols": "[Write an adapter](../how-to/write-an-adapter.md), "
    "[Write a connector](../how-to/write-a-connector.md)",
    "gateway_register_authenticators": "[Write an authenticator](../how-to/write-an-authenticator.md)",
    "gateway_register_policies": "[Write a policy](../how-to/write-a-policy.md)",
    "gateway_register_balancers": "[Write a balancer](../how-to/write-a-balancer.md)",
    "gateway_register_discovery_providers": "[Write a discovery provider](../how-to/write-a-discovery-provider.md)",
    "gateway_register_route_sources": "[Write a route source](../how-to/write-a-route-source.md)",
    "gateway_register_limiters": "[Write a limiter](../how-to/write-a-limiter.md)",
    "gateway_register_observers": "[Write an observer](../how-to/write-an-observer.md)",
    "gateway_register_health_checkers": "[Write a health checker](../how-to/write-a-health-checker.md)",
    "gateway_register_admin_routes": "[Write an admin endpoint](../how-to/write-an-admin-endpoint.md)",
    "gateway_register_commands": "[Write a command](../how-to/write-a-command.md)",
}

_HEADING = re.compile(r"^# (.+)\.$", re.MULTILINE)
_ATTRIBUTES = re.compile(r"Attributes:\n((?: {4,}.*\n|\n)+)")
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def render() -> str:
    """Return the page."""
    source = inspect.getsource(hookspecs)
    parts, done = [HEAD], set[str]()
    for heading in _HEADING.finditer(source):
        parts.append(f"\n## {heading[1]}\n")
        following = _HEADING.search(source, heading.end())
        for name in re.findall(r"^def (\w+)\(", source[heading.end() : following.start() if following else None], re.M):
            parts.append(section(name, getattr(hookspecs, name)))
            done.add(name)
    left_out = {name for name in vars(hookspecs) if name.startswith("gateway_")} - done
    if left_out:
        msg = f"{sorted(left_out)} stand below no heading of gateway/hookspecs.py"
        raise ValueError(msg)
    parts.append("\n## What every registration has\n\n")
    parts += _table(registrations.Registration)
    return "".join(parts)


def section(name: str, hook: Callable[[], object]) -> str:
    """Return what is said of a hook.

    Raises:
        ValueError: If there is nothing to say of it, or no example.
    """
    text = inspect.getdoc(hook)
    if not text or name not in EXAMPLES:
        msg = f"{name} has no {'example' if text else 'docstring'}; add one"
        raise ValueError(msg)
    returned = str(inspect.signature(hook).return_annotation)
    parts = [f"\n### `{name}() -> {returned}`\n\n{markdown(text)}\n"]
    for file, names in EXAMPLES[name]:
        parts += [f"\n<!-- from: {file} -->\n```python\n{_cut(file, each)}\n```\n" for each in names]
    if name in GUIDES:
        parts.append(f"\nMore: {GUIDES[name]}.\n")
    for registration in re.findall(r"\w+Registration", returned):
        rows = _table(getattr(registrations, registration))
        if rows:
            is_one = issubclass(getattr(registrations, registration), registrations.Registration)
            beside = ", beside [what every one has](#what-every-registration-has)" if is_one else ""
            parts += [f"\n`{registration}` has{beside}:\n\n", *rows]
    return "".join(parts)


def _cut(file: str, path: str) -> str:
    """Return a function, class or method of a file as it stands there, but for its indentation."""
    text = (ROOT / file).read_text(encoding="utf-8")
    node: Any = ast.parse(text)
    for name in path.split("."):
        (node,) = (each for each in node.body if getattr(each, "name", None) == name)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return textwrap.dedent("\n".join(text.splitlines()[first - 1 : node.end_lineno]))


def _table(registration: type) -> list[str]:
    """Return the table of what a registration has of its own, or otherwise than others; nothing if there is nothing."""
    described = {name: text for each in reversed(registration.__mro__) for name, text in described_in(each)}
    rows = []
    for field in _own_fields(registration):
        if field.name not in described:
            msg = f"{registration.__name__}.{field.name} is not described; add it to 'Attributes' of the class"
            raise ValueError(msg)
        rows.append(f"| `{field.name}` | {_default(field)} | {cell(described[field.name])} |\n")
    return ["| | default | |\n|---|---|---|\n", *rows] if rows else []


def described_in(registration: type) -> Iterator[tuple[str, str]]:
    """Yield the attributes that a class describes in its docstring."""
    found = _ATTRIBUTES.search(f"{inspect.getdoc(registration)}\n")
    for attribute in _ATTRIBUTE.finditer(found[1] if found else ""):
        yield attribute[1], attribute[2]


def _own_fields(registration: type) -> Iterator[dataclasses.Field[Any]]:
    """Yield the fields that a class has of its own, and those for which it has another default."""
    bases = [base for base in registration.__mro__[1:] if dataclasses.is_dataclass(base)]
    inherited = {field.name: _default(field) for base in bases for field in dataclasses.fields(base)}
    for field in dataclasses.fields(registration):
        if inherited.get(field.name) != _default(field):
            yield field


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return "none"
    if field.default is dataclasses.MISSING:
        return "required"
    if field.default in (None, "", (), b""):
        return "none"
    if isinstance(field.default, type):
        return f"`{field.default.__name__}`"
    return "a function" if callable(field.default) else f"`{field.default!s}`"


if __name__ == "__main__":
    sys.exit(write(TARGET, render, __file__, sys.argv[1:]))
