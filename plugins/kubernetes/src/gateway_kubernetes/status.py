"""The endpoint ``/_gateway/kubernetes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Response

if TYPE_CHECKING:
    from gateway import AdminRequest, BuildContext

__all__ = ["PROVIDER", "StatusEndpoint"]

PROVIDER = "kubernetes"


class StatusEndpoint:
    """Answers how the provider is doing.

    Args:
        context: The gateway.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context

    async def __call__(self, request: AdminRequest) -> Response:
        """Return one object for each provider that is on: none or one."""
        return Response.json({"providers": list(await self._context.collect(PROVIDER))})
