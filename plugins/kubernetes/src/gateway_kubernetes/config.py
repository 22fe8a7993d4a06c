"""The block ``registry.kubernetes``."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gateway import Config, Duration, RouteSourceConfig

__all__ = ["DEFAULT_PREFIX", "EndpointMode", "KubernetesConfig", "KubernetesRoutesConfig"]

EndpointMode = Literal["pod", "service", "nodePort", "loadBalancer", "auto"]
"""Which addresses are used."""

DEFAULT_PREFIX = "gateway"
MAX_NAMESPACES = 32
"""Each has watches of its own; who needs more watches all of them."""

# RFC 1123 labels, which is what Kubernetes takes for the names of namespaces.
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# "Annotations: syntax and character set" in the documentation of Kubernetes.
_ANNOTATION = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_MAX_SELECTOR_LENGTH = 2048


def _as_namespaces(value: object) -> object:
    if isinstance(value, str):
        return [value] if value else []
    return value


def _check_namespaces(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not _NAMESPACE.fullmatch(name):
            msg = f"{name!r} is not the name of a namespace; leave the list empty for all of them"
            raise ValueError(msg)
    return tuple(dict.fromkeys(names))


def _check_annotation(name: str) -> str:
    if name and not _ANNOTATION.fullmatch(name):
        msg = f"{name!r} is not the name of an annotation; write one such as 'gateway/enabled'"
        raise ValueError(msg)
    return name


class KubernetesConfig(Config):
    """Services of a Kubernetes cluster."""

    kubeconfig: str = Field(
        "", description="A kubeconfig file; without it, the service account of the pod that the gateway runs in."
    )
    context: str = Field("", description="The context in the file; without it, its current one.")
    namespaces: Annotated[
        tuple[str, ...],
        BeforeValidator(_as_namespaces),
        AfterValidator(_check_namespaces),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = Field((), max_length=MAX_NAMESPACES, description="The namespace, or several; without any, all of them.")
    label_selector: str = Field(
        "",
        max_length=_MAX_SELECTOR_LENGTH,
        description="Which services, by their labels, as kubectl takes it: `app=shop,tier!=db`.",
    )
    gateway_annotation: Annotated[str, AfterValidator(_check_annotation)] = Field(
        "gateway/enabled",
        description="Only services that have this annotation with the value `true` or `enabled`; empty takes all.",
    )
    port_name: str = Field("", description="Which port of services that have several; without it, the first.")
    endpoint_mode: EndpointMode = Field(
        "pod",
        description="Which addresses: those of pods (`pod`), of the service in the cluster (`service`), of nodes "
        "(`nodePort`), of the load balancer (`loadBalancer`), or of one of these three by the type of the service "
        "(`auto`).",
    )
    watch_endpoints: bool | None = Field(
        None, description="`true` is `endpointMode: pod`, `false` is `endpointMode: auto`; write one of both."
    )
    node_address: Literal["InternalIP", "ExternalIP"] = Field(
        "InternalIP", description="Which address of nodes is used for node ports."
    )
    qualified_names: bool = Field(
        default=False,
        description="Call services `<name>.<namespace>` always, not only where two namespaces have one name.",
    )
    refresh_interval: Duration = Field(
        300.0, ge=10.0, description="Seconds between two lists of everything, beside the watches that tell of changes."
    )
    timeout: Duration = Field(10.0, gt=0, le=60.0, description="Seconds that an answer of the API server may take.")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.watch_endpoints is not None and "endpoint_mode" in self.model_fields_set:
            msg = "'watchEndpoints' and 'endpointMode' say the same thing twice; remove 'watchEndpoints'"
            raise ValueError(msg)
        if self.context and not self.kubeconfig:
            msg = "'context' has no effect without 'kubeconfig'; name the file, or remove it"
            raise ValueError(msg)
        return self

    @property
    def mode(self) -> EndpointMode:
        """Which addresses are used."""
        if self.watch_endpoints is None:
            return self.endpoint_mode
        return "pod" if self.watch_endpoints else "auto"

    @property
    def annotation_prefix(self) -> str:
        """What the other annotations begin with: what stands before the slash of the first one."""
        before, slash, _ = self.gateway_annotation.rpartition("/")
        return before if slash else DEFAULT_PREFIX


class KubernetesRoutesConfig(RouteSourceConfig):
    """Routes from GatewayRoute objects, of the namespaces of `registry.kubernetes`."""

    label_selector: str = Field(
        "",
        max_length=_MAX_SELECTOR_LENGTH,
        description="Which routes, by their labels, as kubectl takes it: `gateway=public`.",
    )
    cross_namespace: bool = Field(
        default=False, description="Whether a route may lead to a service of another namespace (`serviceNamespace`)."
    )
    write_status: bool = Field(default=True, description="Whether routes are told in their status what became of them.")
