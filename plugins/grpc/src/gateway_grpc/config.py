"""The blocks ``backend.grpc``, ``frontend.grpc``, ``protocols.grpc`` and a rule's ``grpc``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from gateway import Config, Duration, Size

__all__ = [
    "BackendGrpcConfig",
    "BackendGrpcTlsConfig",
    "ConfigMapConfig",
    "DescriptorSourceConfig",
    "FrontendGrpcConfig",
    "GrpcConfig",
    "PrintOptionsConfig",
    "TranscodingRuleConfig",
]

MIB = 1024 * 1024


def _as_list(value: Any) -> Any:  # noqa: ANN401 - what pydantic hands to a validator
    return [value] if isinstance(value, str) else value


Names = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""A list of texts; a single one may be written without brackets."""


def _field_patterns(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"[A-Za-z0-9_.-]*\*?", value) or not value:
            msg = f"{value!r} names no metadata; write a name, its beginning with '*' behind it, or '*' for all"
            raise ValueError(msg)
    return tuple(value.lower() for value in values)


FieldPatterns = Annotated[Names, AfterValidator(_field_patterns)]
"""Names of fields, in lower case; ``*`` at the end stands for anything."""


class BackendGrpcTlsConfig(Config):
    """To whom TLS is spoken; whom the gateway believes, and what it shows, is in ``backend.http2.tls``."""

    enabled: bool = Field(
        default=False,
        description="Whether TLS is spoken to all instances; otherwise to those with scheme `grpcs`, `h2` or `https`.",
    )


class BackendGrpcConfig(Config):
    """Calls of gRPC services; what connections to them are like is in ``backend.http2``."""

    # The name by which the core knows the time that a rule without `timeout` gives an instance to answer.
    response_header_timeout: Duration = Field(
        default=30.0,
        alias="responseTimeout",
        description="Seconds a call may take, or the beginning of a stream, where the rule says no `timeout`; 0 is no "
        "limit.",
    )
    max_message_size: Size = Field(default=4 * MIB, description="The largest message in bytes, both ways.", gt=0)
    max_send_message_size: Size | None = Field(
        default=None, description="The largest message to a service; without it `maxMessageSize`.", gt=0
    )
    max_receive_message_size: Size | None = Field(
        default=None, description="The largest message of a service; without it `maxMessageSize`.", gt=0
    )
    tls: BackendGrpcTlsConfig = Field(
        default_factory=BackendGrpcTlsConfig, description="To whom TLS is spoken; the rest is in `backend.http2.tls`."
    )

    @property
    def send_limit_bytes(self) -> int:
        """The largest message that is sent to a service."""
        return self.max_send_message_size or self.max_message_size

    @property
    def receive_limit_bytes(self) -> int:
        """The largest message that is taken from a service."""
        return self.max_receive_message_size or self.max_message_size


class FrontendGrpcConfig(Config):
    """Clients of gRPC, on rules with `protocol: grpc`: over HTTP/2, and gRPC-Web over any HTTP."""

    enable_web: bool = Field(default=True, description="Whether gRPC-Web is taken, in binary and in base64.")


class ConfigMapConfig(Config):
    """A ConfigMap of Kubernetes with descriptors."""

    name: str = Field(description="Its name.", pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    keys: Names = Field(default=(), description="Its keys that hold descriptors; without it all of them.")


class DescriptorSourceConfig(Config):
    """A place where descriptors come from."""

    type: Literal["file", "directory", "http", "https", "k8s", "k8s-configmap", "configmap"] = Field(
        description="`file`, `directory`, `http`, `https` or `configmap` (also `k8s`, `k8s-configmap`)."
    )
    paths: Names = Field(default=(), description="`file`, `directory`: where, relative to the configuration file.")
    urls: Annotated[Names, AfterValidator(lambda urls: tuple(map(_url, urls)))] = Field(
        default=(), description="`http`, `https`: where."
    )
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="`http`, `https`: fields to send.")
    timeout: Duration = Field(default=30.0, description="Seconds that fetching may take.", gt=0)
    namespace: str = Field(default="", description="`configmap`: its namespace; without it the pod's own.")
    config_maps: tuple[ConfigMapConfig, ...] = Field(default=(), description="`configmap`: which.")

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        key, given = {
            "file": ("paths", self.paths),
            "directory": ("paths", self.paths),
            "http": ("urls", self.urls),
            "https": ("urls", self.urls),
        }.get(self.type, ("configMaps", self.config_maps))
        if not given:
            msg = f"a source of type {self.type!r} needs {key}"
            raise ValueError(msg)
        if self.type == "https" and any(not url.startswith("https:") for url in self.urls):
            msg = "a source of type 'https' has a URL without TLS; write https:// or 'type: http'"
            raise ValueError(msg)
        return self


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        msg = f"{text!r} is no URL of a file; write https://host/path, and credentials into headers"
        raise ValueError(msg)
    return text


class TranscodingRuleConfig(Config):
    """What a request becomes."""

    method: str = Field(description="The method: `GetUser`, `UserService.GetUser` or `users.v1.UserService/GetUser`.")
    body: str | None = Field(
        default=None,
        description="What the body is: `*` the whole message, a field of it, or empty for nothing. Without it `*`, and "
        "nothing for GET, HEAD and DELETE.",
    )
    response_body: str = Field(default="", description="The field of the answer that is sent; empty is all of it.")


def _path(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", text):
        msg = f"{text!r} is no path; write one such as '/api/grpc/descriptors'"
        raise ValueError(msg)
    return text


def _as_rule(value: Any) -> Any:  # noqa: ANN401 - what pydantic hands to a validator
    return {"method": value} if isinstance(value, str) else value


TranscodingRule = Annotated[
    TranscodingRuleConfig,
    BeforeValidator(_as_rule),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}], "description": "a method, or a block"}),
]


class PrintOptionsConfig(Config):
    """How messages become JSON (ProtoJSON)."""

    add_whitespace: bool = Field(default=False, description="Whether it is indented, for people.")
    always_print_primitive_fields: bool = Field(
        default=False, description="Whether fields without presence are there although they have their default."
    )
    always_print_enums_as_ints: bool = Field(default=False, description="Whether enums are numbers, not names.")
    preserve_proto_field_names: bool = Field(
        default=False, description="Whether fields are called as in the descriptor, not in camelCase."
    )


class GrpcConfig(Config):
    """JSON for gRPC services, on rules with `protocol: grpc`."""

    enable_transcoding: bool = Field(default=True, description="Whether requests with JSON are taken.")
    service: str = Field(
        default="",
        description="The service of methods that are named without one: `users.v1.UserService`.",
    )
    method: str = Field(
        default="",
        description="The method that requests call which nothing else is bound to, whatever their path: `GetUser`.",
    )

    # Where descriptors come from.
    proto_descriptor: str | None = Field(default=None, description="A file with a FileDescriptorSet.")
    proto_descriptor_base64: str | None = Field(default=None, description="A FileDescriptorSet, in base64.")
    files: Names = Field(default=(), description="More such files.")
    directories: Names = Field(default=(), description="Folders with such files, searched with all that is in them.")
    file_extensions: Names = Field(
        default=(".desc", ".pb", ".binpb", ".protoset"), description="How the names of files in `directories` end."
    )
    descriptor_sources: tuple[DescriptorSourceConfig, ...] = Field(default=(), description="More places.")
    upload_directory: str | None = Field(
        default=None,
        description="A folder for descriptors that are uploaded, one of `directories`; without it none are.",
    )
    descriptors_path: Annotated[str, AfterValidator(_path)] | None = Field(
        default=None,
        description="Where descriptors are administered, beside `/_gateway/grpc/descriptors`: `/api/grpc/descriptors`.",
    )
    reflection: bool | None = Field(
        default=None,
        description="Whether the service is asked for its descriptors (server reflection, v1 or v1alpha); without it, "
        "if there is no other source.",
    )
    auto_reload: bool = Field(default=True, description="Whether sources are looked at again while it runs.")
    reload_interval: Duration = Field(
        default=30.0, description="Seconds between two looks at sources; files are looked at every second.", gt=0
    )
    fail_on_error: bool = Field(
        default=False,
        description="Whether broken files keep the gateway from starting; otherwise requests are answered with 503.",
    )

    # Which requests become which calls.
    http_annotations: bool = Field(default=True, description="Whether `google.api.http` in descriptors counts.")
    transcoding_rules: dict[str, TranscodingRule] = Field(
        default_factory=dict, description="Requests and their methods: `GET /users/{id}: GetUser`."
    )
    path_mappings: dict[str, str] = Field(
        default_factory=dict,
        description="Beginnings of paths and what stands in their place: `/api/users: /users.v1.UserService`.",
    )

    # JSON.
    print_options: PrintOptionsConfig = Field(
        default_factory=PrintOptionsConfig, description="How messages become JSON."
    )
    ignore_unknown_fields: bool = Field(
        default=False, description="Whether what a message does not have is left out; otherwise refused with 400."
    )
    ignored_query_parameters: Names = Field(
        default=(), description="Query parameters that are no fields, such as an API key's."
    )
    max_depth: int = Field(default=100, description="How deep JSON may be nested.", ge=1, le=200)
    max_body_size: Size = Field(default=4 * MIB, description="The longest JSON, or line of it, in bytes.", gt=0)

    # Metadata.
    request_metadata: FieldPatterns = Field(
        default=("*",), description="Fields of requests that become metadata, `x-*` for many. Never hop-by-hop ones."
    )
    response_metadata: FieldPatterns = Field(
        default=("*",), description="Metadata of answers that become fields, likewise."
    )

    # Streams.
    stream_idle_timeout: Duration = Field(
        default=0.0,
        description="Seconds a stream may be silent: of the service, and of a client of gRPC; 0 is no limit.",
    )

    @property
    def has_sources(self) -> bool:
        """Whether descriptors come from anywhere but the service."""
        return any(
            (
                self.proto_descriptor is not None,
                self.proto_descriptor_base64 is not None,
                self.upload_directory is not None,
                *(self.files, self.directories, self.descriptor_sources),
            )
        )

    @model_validator(mode="after")
    def _one_kind_of_source(self) -> Self:
        if self.reflection and self.has_sources:
            msg = "reflection is on, and there are other descriptors; remove one, lest they contradict each other"
            raise ValueError(msg)
        return self
