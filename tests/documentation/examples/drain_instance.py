"""An admin endpoint: ``POST /_gateway/services/{service}/drain/{instance}`` takes an instance out of service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AdminRouteRegistration, ErrorType, GatewayError, Response, hookimpl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway import AdminRequest, BuildContext, NoConfig


@hookimpl
def gateway_register_admin_routes() -> list[AdminRouteRegistration]:
    return [
        AdminRouteRegistration(
            name="drain_instance",
            summary="Takes an instance out of service",
            build=build,
            method="POST",
            admin_path="/services/{service}/drain/{instance}",
        )
    ]


def build(config: NoConfig, context: BuildContext) -> Callable[[AdminRequest], Awaitable[Response]]:
    async def drain(request: AdminRequest) -> Response:
        for instance in context.directory.instances(request.params["service"]):
            if instance.id == request.params["instance"]:
                context.directory.mark(instance, is_healthy=False, reason="drained by the admin API")
                return Response.json({"drained": instance.id})
        raise GatewayError(ErrorType.NOT_FOUND, "there is no such instance")

    return drain
