"""What gateway-sse offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BuildContext, ConnectorRegistration, PolicyRegistration, Stage, hookimpl
from gateway_sse.config import BackendSseConfig, SseConfig
from gateway_sse.refused import REFUSED, REFUSED_BACKEND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Request
    from gateway_sse.connector import SseBackend
    from gateway_sse.policy import SsePolicy


@hookimpl
def gateway_register_protocols() -> Sequence[ConnectorRegistration]:
    return [
        ConnectorRegistration(
            name="sse",
            summary="server-sent events of services, over the connections of HTTP",
            config=BackendSseConfig,
            build=build_backend,
            path="backend.sse",
            default_on=True,
            protocol="sse",
            over="http",
            pseudo_methods={"SSE": asks_for_events},
            refused=REFUSED_BACKEND,
        )
    ]


@hookimpl
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="sse",
            summary="keep-alive, caps, expiry, sharing and ending of event streams",
            config=SseConfig,
            build=build_policy,
            path="frontend.sse",
            rule_key="sse",
            default_on=True,
            # Behind authentication, so that strangers take no place; outside of what may ask a service twice.
            stage=Stage.AUTHORIZE,
            aliases={"keepAliveInterval": "keepaliveTimeout"},
            refused=REFUSED,
        )
    ]


def asks_for_events(request: Request) -> bool:
    """Tell whether a GET asks for a stream of events."""
    return "text/event-stream" in (request.headers.get("accept") or "")


def build_backend(config: BackendSseConfig, context: BuildContext) -> SseBackend:
    from gateway_sse.connector import SseBackend

    return SseBackend()


def build_policy(config: SseConfig, context: BuildContext) -> SsePolicy:
    from gateway_sse.policy import SsePolicy

    return SsePolicy(config, context)
