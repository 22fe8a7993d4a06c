"""Writes ``admin-endpoints.md`` from the endpoints themselves; ``--check`` only says whether it is up to date.

Those of the core say what they answer by their docstrings, those of plugins by the summaries of their registrations;
one that says nothing is an error. The plugins of this repository have to be installed.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from writing import ROOT, cell, write

from gateway import AdminRouteRegistration, admin
from gateway.config.claims import registrations_of
from gateway.pluginhost import PluginHost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.admin import AdminEndpoint, ControlView

TARGET = Path(__file__).with_name("admin-endpoints.md")

HEAD = """\
# Admin endpoints

<!-- Written by docs/reference/generate_admin_endpoints.py. Change the docstrings in gateway/admin.py, and the summaries
in the plugins, and run it again. -->

Under `/_gateway`, on every address that the gateway listens on, before any rule. Workers hand these requests to the
control plane. Answers are JSON and not cached.

Three are public. The others need the token in `gateway.admin.token` as `Authorization: Bearer`, and are not there at
all without one.

| endpoint | | answers |
|---|---|---|
"""

PLUGINS = """
Those of plugins are there where the plugin is on. *May be public* says that its configuration can open it to everybody.

| endpoint | | from | |
|---|---|---|---|
"""

TAIL = """
```console
$ curl http://localhost:8080/_gateway/health
{"status": "healthy", "service": "gateway", "timestamp": "2026-11-23T02:54:45.363Z"}
$ curl -X POST -H "Authorization: Bearer $TOKEN" http://localhost:8080/_gateway/reload
{"reloaded": true}
```

Plugins add their own with [`gateway_register_admin_routes`](hooks.md). Whoever can reach the listener can try tokens:
choose a long one (`python3 -c 'import secrets; print(secrets.token_urlsafe(32))'`) and give it as `${ADMIN_TOKEN}`.
"""


def render() -> str:
    """Return the page."""
    core = admin._CoreEndpoints(cast("ControlView", None)).endpoints()  # noqa: SLF001 - nobody else lists them
    return HEAD + "".join(map(core_row, core)) + PLUGINS + "".join(map(_plugin_row, _offers())) + TAIL


def core_row(endpoint: AdminEndpoint) -> str:
    """Return the row of an endpoint of the core.

    Raises:
        ValueError: If it does not say what it answers.
    """
    answers = inspect.getdoc(endpoint.answer)
    if not answers:
        msg = f"{endpoint.method} {endpoint.path} says not what it answers; give its function a docstring"
        raise ValueError(msg)
    access = "public" if endpoint.is_public else "token"
    return f"| `{endpoint.method} /_gateway{endpoint.path}` | {access} | {cell(answers)} |\n"


def _offers() -> Iterator[tuple[AdminRouteRegistration, str]]:
    """Yield the endpoints of the plugins in this repository, by path."""
    ours = {f"gateway-{manifest.parent.name}" for manifest in ROOT.glob("*/*/pyproject.toml")}
    found = [
        (registration, plugin.distribution)
        for registration, plugin in registrations_of(PluginHost.discover())
        if isinstance(registration, AdminRouteRegistration) and plugin.distribution in ours
    ]
    yield from sorted(found, key=lambda each: (each[0].admin_path, each[0].method))


def _plugin_row(offered: tuple[AdminRouteRegistration, str]) -> str:
    registration, distribution = offered
    if not registration.summary:
        msg = f"{registration.name!r} of {distribution} says not what it answers; give it a summary"
        raise ValueError(msg)
    access = "may be public" if callable(registration.is_public) else "public" if registration.is_public else "token"
    endpoint = f"`{registration.method} /_gateway{registration.admin_path}`"
    return f"| {endpoint} | {access} | `{distribution}` | {cell(registration.summary)} |\n"


if __name__ == "__main__":
    sys.exit(write(TARGET, render, __file__, sys.argv[1:]))
