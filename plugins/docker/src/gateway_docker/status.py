"""The endpoint ``/_gateway/docker``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Response

if TYPE_CHECKING:
    from gateway import AdminRequest, BuildContext

__all__ = ["PROVIDERS", "StatusEndpoint"]

PROVIDERS = ("docker", "docker-compose", "compose-file")


class StatusEndpoint:
    """Answers how the providers of this plugin are doing.

    Args:
        context: The gateway.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context

    async def __call__(self, request: AdminRequest) -> Response:
        """Return one object for each provider that is on."""
        return Response.json({
            "providers": [each for name in PROVIDERS for each in await self._context.collect(name)]
        })  # fmt: skip
