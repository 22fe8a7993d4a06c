"""Writes ``errors.md`` from ``gateway.ErrorType``; ``--check`` only says whether it is up to date.

What stands below each type in the source says when it is answered; one without that is an error.
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from writing import cell, write

from gateway import ErrorType, errors

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = Path(__file__).with_name("errors.md")

HEAD = """\
# Errors

<!-- Written by docs/reference/generate_errors.py. Change the texts in gateway/errors.py and run it again. -->

What the gateway itself answers when it cannot or will not serve a request. Whatever a service answers is passed on as
it is.

| code | status | when |
|---|---|---|
"""

TAIL = """
## What clients see

`application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), or one line of plain text for clients
whose `Accept` has no JSON:

```json
{
  "type": "about:blank",
  "title": "Unauthorized",
  "status": 401,
  "detail": "the token is not valid",
  "code": "unauthorized",
  "requestId": "f89dc474401fb922cb5462e80d9d163a",
  "plugin": "team_tokens"
}
```

`plugin` is there if a plugin refused. `requestId` is also in the field `X-Request-ID` of every answer, and finds the
line in the log, which says more: addresses, causes, the plugin whose code failed. None of that is sent to clients.

Some refusals come before there is a request to answer: a 503 without a body when `maxConnections` is reached.

When a service breaks off after the head of its response has gone out, the client's connection is cut: there is no
other way to say that the body is not whole.

## In a plugin

Raise `GatewayError`, or one of its kinds, to refuse. The first text is public, `detail` is logged:

<!-- from: tests/documentation/examples/folder.py -->
```python
raise GatewayError(ErrorType.BAD_GATEWAY, "the file is too large", detail=f"{file} is too large")
```
"""


def render() -> str:
    """Return the page."""
    texts = dict(texts_of(inspect.getsource(errors)))
    return HEAD + "".join(map(_row, sorted(texts.items(), key=lambda each: ErrorType[each[0]].status))) + TAIL


def texts_of(source: str) -> Iterator[tuple[str, str]]:
    """Yield the error types of a module's source, each with when it is answered.

    Raises:
        ValueError: If one does not say so.
    """
    (types,) = (
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == ErrorType.__name__
    )
    for statement, following in zip(types.body, [*types.body[1:], None], strict=True):
        match statement, following:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, text
            case ast.Assign(targets=[ast.Name(id=name)]), _:
                msg = f"ErrorType.{name} says not when it is answered; write that below it"
                raise ValueError(msg)


def _row(named: tuple[str, str]) -> str:
    name, text = named
    error_type, when = ErrorType[name], cell(text)
    return f"| `{error_type.code}` | {error_type.status} | {when[0].lower()}{when[1:]} |\n"


if __name__ == "__main__":
    sys.exit(write(TARGET, render, __file__, sys.argv[1:]))
