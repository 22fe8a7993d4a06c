"""The endpoint ``/_gateway/kubernetes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Response

if TYPE_CHECKING:
    from gateway import AdminRequest, BuildContext

__all__ = ["PROVIDER", "ROUTES", "StatusEndpoint"]

PROVIDER = "kubernetes"
ROUTES = "kubernetes-routes"


class StatusEndpoint:
    """Answers how the provider is doing.

    Args:
        context: The gateway.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context

    async def __call__(self, request: AdminRequest) -> Response:
        """Return one object for each provider that is on: none or one."""
        routes = await self._context.collect(ROUTES)
        return Response.json({"providers": list(await self._context.collect(PROVIDER)), "routes": list(routes)})
