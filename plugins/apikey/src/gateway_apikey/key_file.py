"""Keys from a file of YAML or JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import TypeAdapter, ValidationError

from gateway_apikey.config import KeyConfig, Keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["MAX_FILE_BYTES", "KeyFileError", "read_keys", "signature_of"]

MAX_FILE_BYTES = 64 * 1024 * 1024
"""A few hundred thousand keys."""

MAX_DEPTH = 20
"""Blocks in blocks; deeper ones would overflow the stack of the parser, which is written in C."""

_KEYS: TypeAdapter[dict[str, KeyConfig]] = TypeAdapter(Keys)
_Signature = tuple[int, int, int]


class KeyFileError(ValueError):
    """The file cannot be used; the message names it and holds no key."""


def signature_of(path: Path) -> _Signature | None:
    """Return what changes when the file does; ``None`` if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def read_keys(path: Path) -> Mapping[str, KeyConfig]:
    """Return the keys of a file: those below ``keys:``, or the whole of it.

    Raises:
        KeyFileError: If it cannot be read, or is not what it should be.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        msg = f"keysFile {str(path)!r} cannot be read: {error.strerror}; check the path and its permissions"
        raise KeyFileError(msg) from error
    if len(data) > MAX_FILE_BYTES:
        msg = f"keysFile {str(path)!r} is larger than {MAX_FILE_BYTES // 1024**2} MiB; split it among gateways"
        raise KeyFileError(msg)
    try:
        content = _parsed(data, is_json=path.suffix == ".json")
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        # Their texts quote the file, and what stands there are secrets.
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else getattr(error, "lineno", None)
        where = f", line {line}" if line else ""
        msg = f"keysFile {str(path)!r}{where} is neither YAML nor JSON, or has a key twice"
        raise KeyFileError(msg) from None
    if isinstance(content, dict) and set(content) == {"keys"}:
        content = content["keys"]
    try:
        return _KEYS.validate_python(content)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
        at = ".".join(map(str, problem["loc"])) or "the whole"
        msg = f"keysFile {str(path)!r}: {at}: {problem['msg'].removeprefix('Value error, ')}"
        raise KeyFileError(msg) from None


def _parsed(data: bytes, *, is_json: bool) -> Any:  # noqa: ANN401 - whatever the file holds
    if is_json:
        return json.loads(data, object_pairs_hook=_distinct)
    depth = 0
    for event in yaml.parse(data, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            msg = "blocks in blocks without end"
            raise ValueError(msg)
    # A subclass of the safe loader, in C where there is one.
    return yaml.load(data, Loader=_Loader)  # noqa: S506


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time
    """Reads times as text, as the gateway's own configuration does, and refuses a key that is there twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _mapping(loader: Any, node: yaml.MappingNode) -> Any:  # noqa: ANN401 - PyYAML has no types
    # What is merged (`<<: *name`) comes first, for what is written there to replace it; only the latter may not repeat.
    written = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    _distinct([(loader.construct_object(key, deep=True), None) for key in written])
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _distinct(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a key is there twice"
        raise ValueError(msg)
    return found
