"""What the gateway says of its health under ``/_gateway/health``; in the control plane."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway import ErrorType, GatewayError, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway import AdminRequest, BuildContext, Instance
    from gateway_healthcheck.config import HealthConfig

__all__ = ["ServiceReport", "ServicesReport", "Summary", "timestamp"]

FRESH_S = 0.5
"""How long an answer that strangers can ask for is the same."""


def timestamp() -> str:
    """Return the time as RFC 3339 has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Summary:
    """Whether the gateway works: what it needs, and whether services have anybody left. Without internals.

    Args:
        config: Whether strangers see the names of checks.
        context: Of the endpoint.
        clock: Monotonic seconds; tests pass a manual one.
    """

    def __init__(
        self, config: HealthConfig, context: BuildContext, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shows_details = config.details
        self._context = context
        self._clock = clock
        self._made_s = float("-inf")
        self._body: dict[str, object] = {}

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer 200, or 503 while something that the gateway needs fails."""
        if self._clock() - self._made_s >= FRESH_S:
            self._made_s = self._clock()
            self._body = await self._make()
        return Response.json(self._body, status=503 if self._body["status"] == "unhealthy" else 200)

    async def _make(self) -> dict[str, object]:
        dependencies = [each for found in await _found(self._context) for each in found["dependencies"]]
        if any(each["status"] == "unhealthy" for each in dependencies):
            status = "unhealthy"
        else:
            status = "degraded" if self._has_dead_service() else "healthy"
        body: dict[str, object] = {"status": status, "timestamp": timestamp()}
        if self._shows_details:
            # Nanoseconds, as the gateway that this one succeeds has them.
            body["checks"] = {
                each["id"]: {"status": each["status"], "duration": round((each["durationMs"] or 0) * 1_000_000)}
                for each in dependencies
            }
        return body

    def _has_dead_service(self) -> bool:
        directory = self._context.directory
        services = (directory.instances(name) for name in directory.services())
        return any(instances and not any(each.is_healthy for each in instances) for instances in services)


class ServicesReport:
    """How all services are, and what the gateway needs.

    Args:
        context: Of the endpoint.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer with counts."""
        directory = self._context.directory
        found = await _found(self._context)
        services = {}
        for name in directory.services():
            instances = directory.instances(name)
            healthy = sum(instance.is_healthy for instance in instances)
            services[name] = {"healthy": healthy, "unhealthy": len(instances) - healthy, "total": len(instances)}
        dependencies = {each.pop("id"): each for report in found for each in report["dependencies"]}
        return Response.json({"services": services, "checks": dependencies})


class ServiceReport:
    """How the instances of a service are.

    Args:
        context: Of the endpoint.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context

    async def __call__(self, request: AdminRequest) -> Response:
        """Answer with everything that is known of them."""
        name = request.params["name"]
        directory = self._context.directory
        instances = directory.instances(name)
        if not instances:
            raise GatewayError(ErrorType.NOT_FOUND, "there is no such service")
        checked = {
            each["id"]: each
            for report in await _found(self._context)
            for each in report["services"].get(name, {"instances": ()})["instances"]
        }
        healthy = sum(instance.is_healthy for instance in instances)
        status = "healthy" if healthy == len(instances) else "degraded" if healthy else "unhealthy"
        described = [self._describe(instance, checked.get(instance.id, {})) for instance in instances]
        return Response.json({"service": name, "status": status, "instances": described})

    def _describe(self, instance: Instance, check: dict[str, Any]) -> dict[str, object]:
        marks = self._context.directory.marks(instance)
        return {
            "id": instance.id,
            "address": instance.authority,
            "status": "healthy" if instance.is_healthy else "unhealthy",
            "sharePercent": instance.share_percent,
            "reasons": {source: mark.reason for source, mark in marks.items()},
            "lastCheck": _utc(check.get("lastCheck")),
            "consecutiveSuccesses": check.get("consecutiveSuccesses", 0),
            "consecutiveFailures": check.get("consecutiveFailures", 0),
            "error": check.get("error"),
        }


async def _found(context: BuildContext) -> list[dict[str, Any]]:
    """Return what the health checker exposes; nothing while there is none."""
    return [each for each in await context.collect("active") if isinstance(each, dict)]


def _utc(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
