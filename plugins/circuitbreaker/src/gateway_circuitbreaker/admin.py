"""The endpoints ``/_gateway/breakers``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, ValidationError

from gateway import Config, ErrorType, GatewayError, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway import AdminRequest, BuildContext

__all__ = ["ListBreakers", "ResetBreaker"]

_WORST_FIRST = ("open", "half-open", "closed")


class _Reset(Config):
    """What is posted to reset circuits."""

    name: str = Field(description="What the circuit is called.")
    scope: str | None = Field(default=None, description="Its scope; without one, all circuits of this name.")


class ListBreakers:
    """``GET /breakers``: every circuit, as each worker sees it.

    Args:
        context: The gateway.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer a request."""
        return Response.json({"breakers": _merged(await self._context.collect("report"))})


class ResetBreaker:
    """``POST /breakers/reset``: closes a circuit in every worker, and answers how it was.

    Args:
        context: The gateway.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer a request.

        Raises:
            GatewayError: ``bad_request`` if it does not say which, ``not_found`` if there is none.
        """
        try:
            wanted = _Reset.model_validate_json(request.body)
        except ValidationError as error:
            raise GatewayError(
                ErrorType.BAD_REQUEST, 'say which as JSON: {"name": "orders"}, or with its "scope" too'
            ) from error
        before = _merged(await self._context.collect("reset", wanted.scope, wanted.name))
        if not before:
            raise GatewayError(ErrorType.NOT_FOUND, "there is no such circuit; GET /_gateway/breakers lists them")
        return Response.json({"reset": before})


def _merged(reports: Iterable[object]) -> list[dict[str, Any]]:
    """Return one entry for each circuit, with what every worker says of it."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for report in reports:
        assert isinstance(report, list)  # noqa: S101 - what the table returns
        for circuit in report:
            found.setdefault((circuit.pop("scope"), circuit.pop("name")), []).append(circuit)
    return [
        {"scope": scope, "name": name, "state": _worst(workers), "workers": workers}
        for (scope, name), workers in sorted(found.items())
    ]


def _worst(workers: Sequence[dict[str, Any]]) -> str:
    states = {worker["state"] for worker in workers}
    return next(state for state in _WORST_FIRST if state in states)
