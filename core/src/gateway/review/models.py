"""The configuration of a plugin: every key described, every secret kept, no default that lets anybody in."""

from __future__ import annotations

import ast
import inspect
import textwrap
import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from gateway.config.mask import looks_secret
from gateway.review.finding import Finding
from gateway.review.hooks import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic.fields import FieldInfo

__all__ = ["check_model"]

_MUST_BE_ON = ("verify", "verify_tls", "verify_ssl", "verify_certificate", "check_hostname", "tls_verify", "ssl_verify")
_MUST_BE_OFF = (
    *("insecure", "skip_verify", "insecure_skip_verify", "allow_anonymous", "disable_auth", "fail_open", "trust_all"),
    "debug",
)


def check_model(model: type[BaseModel]) -> Iterator[Finding]:
    """Yield what is wrong with a model and those inside it; those of the core are the core's affair."""
    model.model_rebuild(raise_errors=False)  # what is named in quotes, or further below in the file
    for each in _models(model, {}):
        if each.__module__.split(".")[0] == "gateway":
            continue
        lines = _field_lines(each)
        file, first = place_of(each)
        own = inspect.get_annotations(each)
        for name, field in each.model_fields.items():
            if name in own:
                yield from _check_field(each, name, field, file, lines.get(name, first))


def _check_field(
    model: type[BaseModel], name: str, field: FieldInfo, file: Path | None, line: int
) -> Iterator[Finding]:
    what = f"{model.__name__}.{name}"
    if not (field.description or "").strip():
        problem, remedy = f"{what} has no description", "give it Field(description=...): editors and references show it"
        yield Finding(code="undocumented-field", problem=problem, remedy=remedy, file=file, line=line)
    if looks_secret(name) and _is_plain_text(field.annotation):
        problem = f"{what} is called like a secret, and str shows it in logs and tracebacks"
        yield Finding(code="secret", problem=problem, remedy="make it pydantic.SecretStr", file=file, line=line)
    default = field.default
    if isinstance(default, SecretStr | SecretBytes) and default.get_secret_value():
        problem, remedy = f"{what} has a secret as its default, which everybody knows", "require it, or take None"
        yield Finding(code="unsafe-default", problem=problem, remedy=remedy, file=file, line=line)
    if (default is False and name in _MUST_BE_ON) or (default is True and name in _MUST_BE_OFF):
        problem = f"{what} is {str(default).lower()} unless somebody thinks of it"
        remedy = f"let it be {str(not default).lower()} by default: who needs the unsafe one can write it"
        yield Finding(code="unsafe-default", problem=problem, remedy=remedy, file=file, line=line)


def _models(annotation: Any, seen: dict[type[BaseModel], None]) -> list[type[BaseModel]]:  # noqa: ANN401 - any annotation
    """Return the models in an annotation, and those in their fields, each once."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation not in seen:
            seen[annotation] = None
            for field in annotation.model_fields.values():
                _models(field.annotation, seen)
    else:
        for argument in typing.get_args(annotation):
            _models(argument, seen)
    return list(seen)


def _is_plain_text(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    leaves = set(_leaves(annotation))
    # The names of secrets are none: dict[str, SecretStr].
    return str in leaves and leaves.isdisjoint((SecretStr, SecretBytes, Secret))


def _leaves(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - any annotation
    origin = typing.get_origin(annotation)
    if origin in (Secret, typing.Literal):
        yield origin
        return
    arguments = typing.get_args(annotation)
    if not arguments:
        yield annotation
    for argument in arguments:
        yield from _leaves(argument)


def _field_lines(model: type[BaseModel]) -> dict[str, int]:
    """Return the lines on which the fields of a model begin."""
    try:
        lines, first = inspect.getsourcelines(model)
    except (OSError, TypeError):
        return {}
    (definition,) = ast.parse(textwrap.dedent("".join(lines))).body
    return {
        node.target.id: first + node.lineno - 1
        for node in getattr(definition, "body", ())
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
