"""The endpoints ``/_gateway/cache``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import parse_qsl

from pydantic import Field, ValidationError, model_validator

from gateway import Config, ErrorType, GatewayError, Response

if TYPE_CHECKING:
    from gateway import AdminRequest, BuildContext

__all__ = ["Purge", "ShowCache"]


class _Wanted(Config):
    """What is to be removed."""

    prefix: str | None = Field(default=None, min_length=1, description="Of the path, or of the whole URI.")
    tag: str | None = Field(default=None, min_length=1, description="A word that responses are tagged with.")
    all: bool = Field(default=False, description="Everything.")

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if self.all == (self.prefix is not None or self.tag is not None):
            msg = "say which, or all"
            raise ValueError(msg)
        return self


class ShowCache:
    """``GET /cache``: how full the cache is, for all workers together.

    Args:
        context: The gateway.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer a request."""
        reports = cast("list[dict[str, int]]", await self._context.collect("report"))
        names = ("entries", "bytes", "maxBytes", "evictions")
        sums = {name: sum(report[name] for report in reports) for name in names}
        return Response.json({"workers": len(reports), **sums})


class Purge:
    """``DELETE /cache?prefix=…&tag=…`` and ``POST /cache`` with the same as JSON: removes responses in every worker.

    Args:
        context: The gateway.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer a request.

        Raises:
            GatewayError: ``bad_request`` if it does not say what to remove.
        """
        wanted = _wanted(request)
        gone = cast("list[int]", await self._context.collect("purge", wanted.prefix, wanted.tag))
        return Response.json({"workers": len(gone), "purged": sum(gone)})


def _wanted(request: AdminRequest) -> _Wanted:
    try:
        if request.body:
            return _Wanted.model_validate_json(request.body)
        given: dict[str, Any] = dict(parse_qsl(request.query, keep_blank_values=True))
        return _Wanted.model_validate(given)
    except ValidationError as error:
        message = 'say what to remove: {"prefix": "/orders/"}, {"tag": "order-7"}, both, or {"all": true}'
        raise GatewayError(ErrorType.BAD_REQUEST, message) from error
