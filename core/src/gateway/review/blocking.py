"""Calls that stop the event loop, found by reading: while one of them waits, no client of the worker is served."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gateway.review.finding import Finding
from gateway.review.source import dotted_name, own_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.review.source import Function, Source

__all__ = ["check_blocking"]

_THREAD = "await asyncio.to_thread(...), or gateway.blocking.BlockingCalls, which has a deadline"
_FILES = f"read it in build(), which runs in a thread, or {_THREAD}"
_HTTP = f"use a client that can wait without blocking, or {_THREAD}"

_CALLS = {
    "time.sleep": "await asyncio.sleep(...)",
    "open": _FILES,
    "input": "nobody answers a gateway",
    "os.system": "await asyncio.create_subprocess_shell(...)",
    "os.popen": "await asyncio.create_subprocess_shell(...)",
    "os.wait": "await asyncio.create_subprocess_exec(...)",
    "os.waitpid": "await asyncio.create_subprocess_exec(...)",
    "socket.create_connection": "await asyncio.open_connection(...)",
    "socket.getaddrinfo": "await loop.getaddrinfo(...)",
    "socket.gethostbyname": "await loop.getaddrinfo(...)",
    "socket.gethostbyaddr": "await loop.getnameinfo(...)",
    "urllib.request.urlopen": _HTTP,
    "urllib.request.urlretrieve": _HTTP,
    "sqlite3.connect": _THREAD,
    "asyncio.run": "await it: a loop runs already",
    "shutil.copytree": _THREAD,
    "shutil.copyfile": _THREAD,
    "shutil.rmtree": _THREAD,
}
_MODULES = {
    "requests": _HTTP,
    "urllib3": _HTTP,
    "subprocess": "await asyncio.create_subprocess_exec(...)",
    "smtplib": _THREAD,
    "ftplib": _THREAD,
    "boto3": _THREAD,
    "psycopg2": _THREAD,
    "pymysql": _THREAD,
}
"""Modules of which every function blocks. Their exceptions and constants are not called with lower-case names."""
_HARMLESS = frozenset(("subprocess.Popen.poll", "subprocess.list2cmdline", "requests.utils", "requests.structures"))
_METHODS = {
    "read_text": _FILES,
    "read_bytes": _FILES,
    "write_text": _FILES,
    "write_bytes": _FILES,
    "run_until_complete": "await it: a loop runs already",
}


def check_blocking(source: Source) -> Iterator[Finding]:
    """Yield every call in code of the event loop that is known to block."""
    for function in source.on_loop():
        nodes = list(own_nodes(function.node))
        awaited = {id(node.value) for node in nodes if isinstance(node, ast.Await)}
        for node in nodes:
            if isinstance(node, ast.Call) and id(node) not in awaited:
                yield from _check_call(node, function, source)


def _check_call(call: ast.Call, function: Function, source: Source) -> Iterator[Finding]:
    name = dotted_name(call.func, source.imports)
    remedy = _remedy(name) if name is not None else None
    if remedy is None and isinstance(call.func, ast.Attribute) and _METHODS.get(call.func.attr):
        name, remedy = f".{call.func.attr}", _METHODS[call.func.attr]
    if remedy is None:
        return
    how = f"{function.name}, which {function.reached_from} calls" if function.reached_from else function.name
    yield Finding(
        code="blocking",
        problem=f"{name}() blocks the event loop in {how}",
        remedy=remedy,
        file=source.path,
        line=call.lineno,
    )


def _remedy(name: str) -> str | None:
    if name in _CALLS:
        return _CALLS[name]
    module, _, called = name.partition(".")
    is_function = called and name not in _HARMLESS and not called.endswith(("Error", "Exception", "Timeout"))
    return _MODULES.get(module) if is_function else None
