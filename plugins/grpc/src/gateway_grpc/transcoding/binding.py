"""Bindings: which requests become calls of a method, and which of their parts which fields."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway_grpc.descriptors.schema import DescriptorError
from gateway_grpc.transcoding.fields import FieldError, descriptor_of, field_of
from gateway_grpc.transcoding.router import ANY_METHOD, Router
from gateway_grpc.transcoding.template import REST, TemplateError, parse_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.api.http_pb2 import HttpRule  # type: ignore[import-untyped]  # has no types of its own
    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.descriptor_pool import DescriptorPool

    from gateway_grpc.config import GrpcConfig, TranscodingRuleConfig
    from gateway_grpc.descriptors.schema import Method, Schema
    from gateway_grpc.transcoding.fields import TextField
    from gateway_grpc.transcoding.template import PathTemplate

__all__ = ["WHOLE", "Binding", "build_router"]

WHOLE = "*"
"""As a body: all of the message that is not in the path."""
MAX_QUERY_FIELDS = 1000
"""How many names of fields, found in queries, a binding remembers."""

_BODYLESS = frozenset({"GET", "HEAD", "DELETE"})
_HTTP_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

logger = logging.getLogger("gateway.plugins.grpc")


class Binding:
    """How a request becomes a call.

    Args:
        method: What is called.
        template: The paths it is for.
        body: The field that the body is, ``WHOLE``, or empty.
        response_body: The field of the answer that is sent; empty is all of it.
        pool: What the messages are in.

    Attributes:
        variables: For each variable of the template, its field.
        body_field: The field that the body is; ``None`` if it is all, or nothing.
        response_field: The field of the answer that is sent; ``None`` is all of it.

    Raises:
        DescriptorError: If the method has no such fields.
    """

    __slots__ = (
        "_pool",
        "_query_fields",
        "body_field",
        "has_body",
        "method",
        "response_field",
        "template",
        "variables",
    )

    def __init__(
        self, method: Method, template: PathTemplate, body: str, response_body: str, pool: DescriptorPool
    ) -> None:
        self.method = method
        self.template = template
        self._pool = pool
        self._query_fields: dict[str, TextField] = {}
        try:
            request = descriptor_of(method.request)
            self.variables = tuple(_path_field(request, each.field_path, pool) for each in template.variables)
            self.has_body = bool(body)
            self.body_field = _top_field(request, body) if body not in ("", WHOLE) else None
            self.response_field = _top_field(descriptor_of(method.response), response_body) if response_body else None
        except FieldError as error:
            msg = f"{method.name}: {error}"
            raise DescriptorError(msg) from error

    @property
    def takes_query(self) -> bool:
        """Whether there are fields that are neither in the path nor in the body."""
        return not self.has_body or self.body_field is not None

    def query_field(self, name: str) -> TextField:
        """Return the field that a parameter of a query sets.

        Raises:
            FieldError: If there is none, or it is in the path or the body.
        """
        field = self._query_fields.get(name)
        if field is None:
            field = field_of(descriptor_of(self.method.request), name, self._pool)
            if any(each.name == field.name for each in self.variables):
                msg = f"{field.name!r} is in the path already"
                raise FieldError(msg)
            if self.body_field is not None and field.name.split(".")[0] == self.body_field.name:
                msg = f"{field.name!r} is in the body already"
                raise FieldError(msg)
            # Names lead to a field in several spellings, of which strangers may send any.
            if len(self._query_fields) < MAX_QUERY_FIELDS:
                self._query_fields[name] = field
        return field


def _path_field(descriptor: Descriptor, path: str, pool: DescriptorPool) -> TextField:
    field = field_of(descriptor, path, pool)
    if field.is_repeated:
        msg = f"{path!r} is in the path, so it must take one value"
        raise FieldError(msg)
    return field


def _top_field(descriptor: Descriptor, name: str) -> FieldDescriptor:
    field = descriptor.fields_by_name.get(name)
    if field is None:
        msg = f"{descriptor.full_name} has no field {name!r}"
        raise FieldError(msg)
    return field


def build_router(schema: Schema, config: GrpcConfig) -> Router:
    """Return where requests go: to a method by its own path, by the operator's rules, and by its annotations.

    Raises:
        DescriptorError: If a rule of the operator's is not possible. Annotations that are not are logged and left out,
            for who makes them is not who runs the gateway.
    """
    router = Router()
    for text, rule in config.transcoding_rules.items():
        _add_rule(router, text, rule, schema, config)
    for method in schema.methods.values():
        router.add_path(method.path, Binding(method, parse_template(method.path), WHOLE, "", schema.pool))
        if config.http_annotations and method.http is not None:
            for rule in (method.http, *method.http.additional_bindings):
                _add_annotation(router, rule, method, schema)
    if config.method:
        _add_fallback(router, schema, config)
    return router


def _add_fallback(router: Router, schema: Schema, config: GrpcConfig) -> None:
    """Bind all requests of the rule that nothing else is bound to."""
    try:
        method = schema.find(config.method, config.service)
    except DescriptorError as error:
        msg = f"method: {error}"
        raise DescriptorError(msg) from error
    template = parse_template(f"/{REST}")
    for http_method in sorted(_HTTP_METHODS - {"OPTIONS"}):
        body = "" if http_method in _BODYLESS else WHOLE
        router.add(http_method, template, Binding(method, template, body, "", schema.pool))


def _add_rule(router: Router, text: str, rule: TranscodingRuleConfig, schema: Schema, config: GrpcConfig) -> None:
    http_method, _, path = text.strip().partition(" ")
    http_method = http_method.upper()
    if http_method not in _HTTP_METHODS or not path:
        msg = f"transcodingRules: {text!r} is no request; write such as 'GET /users/{{id}}'"
        raise DescriptorError(msg)
    body = rule.body
    if body is None:
        body = "" if http_method in _BODYLESS else WHOLE
    try:
        method = schema.find(rule.method, config.service)
        template = parse_template(path.strip())
        first = router.add(http_method, template, Binding(method, template, body, rule.response_body, schema.pool))
    except (TemplateError, DescriptorError) as error:
        msg = f"transcodingRules: {text!r}: {error}"
        raise DescriptorError(msg) from error
    if first is not None:
        msg = f"transcodingRules: {text!r} is there twice, for {first.method.name} too"
        raise DescriptorError(msg)


def _add_annotation(router: Router, rule: HttpRule, method: Method, schema: Schema) -> None:
    try:
        http_method, path = _pattern(rule)
        template = parse_template(path)
        first = router.add(http_method, template, Binding(method, template, rule.body, rule.response_body, schema.pool))
    except (TemplateError, DescriptorError) as error:
        logger.warning("google.api.http of %s is left out: %s", method.name, error)
        return
    if first is not None and first.method is not method:
        logger.warning("%s %s is bound to %s already, not to %s", http_method, path, first.method.name, method.name)


def _pattern(rule: HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise TemplateError("it has no pattern")
    if kind == "custom":
        return (rule.custom.kind.upper() if rule.custom.kind != ANY_METHOD else ANY_METHOD), rule.custom.path
    patterns: Mapping[str, str] = {each: getattr(rule, each) for each in ("get", "put", "post", "delete", "patch")}
    return kind.upper(), patterns[kind]
