"""The endpoints under ``/_gateway/``. They are answered by the control plane; workers pass requests on to it.

Public: ``/health``, ``/live`` and ``/ready``. Everything else needs ``gateway.admin.token`` as a bearer token, and is
not there at all without one.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.errors import ConfigurationError, ErrorType, GatewayError, Unauthorized
from gateway.headers import Headers
from gateway.interfaces import AdminRequest
from gateway.inventory import Inventory
from gateway.messages import Response
from gateway.routing import Miss, RouteEntry, RouteTable, parse_pattern

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from gateway.config import Configuration
    from gateway.interfaces import Directory
    from gateway.metrics import FamilySnapshot
    from gateway.runtime.route_sources import RouteSources
    from gateway.runtime.supervision import WorkReport

__all__ = ["AdminEndpoint", "AdminSurface", "ControlView"]

logger = logging.getLogger("gateway.admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminEndpoint:
    """An endpoint.

    Attributes:
        method: The HTTP method.
        path: The pattern below ``/_gateway``.
        answer: Answers it.
        is_public: Whether it answers without the token.
    """

    method: str
    path: str
    answer: Callable[[AdminRequest], Awaitable[Response]]
    is_public: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlView:
    """What the core's own endpoints show and do.

    Attributes:
        configuration: Returns the configuration in force.
        directory: The services.
        is_ready: Whether traffic is welcome.
        work: How the background work is doing.
        workers: How the workers are doing.
        reload: Reloads the configuration.
        metrics: What the whole gateway measures.
        sources: The route sources.
    """

    configuration: Callable[[], Configuration]
    directory: Directory
    is_ready: Callable[[], bool]
    work: Callable[[], Sequence[WorkReport]]
    workers: Callable[[], Awaitable[Sequence[dict[str, object]]]]
    reload: Callable[[], Awaitable[None]]
    metrics: Callable[[], Awaitable[Sequence[FamilySnapshot]]]
    sources: RouteSources


class AdminSurface:
    """Answers requests under ``/_gateway``.

    Args:
        view: What the core's own endpoints show.
        endpoints: What plugins add.
        token: The bearer token; ``None`` leaves only public endpoints.

    Raises:
        ValueError: If two endpoints are the same, or the path of one is none.
    """

    def __init__(self, view: ControlView, endpoints: Iterable[AdminEndpoint], token: str | None) -> None:
        self._token = token
        own = _CoreEndpoints(view).endpoints()
        self._table = RouteTable(
            [
                RouteEntry(
                    id=f"{endpoint.method} {endpoint.path}",
                    pattern=parse_pattern(endpoint.path),
                    methods=frozenset({endpoint.method}),
                    target=endpoint,
                )
                for endpoint in (*own, *endpoints)
                if endpoint.is_public or token is not None
            ]
        )

    async def answer(self, request: AdminRequest, authorization: str | None) -> Response:
        """Answer ``request``.

        Args:
            request: The request.
            authorization: Its ``Authorization`` field.

        Raises:
            GatewayError: ``not_found``, ``method_not_allowed`` or ``unauthorized``.
        """
        found = self._table.match(request.method, "", request.path, request.query, Headers())
        if isinstance(found, Miss):
            if not found.allowed:
                raise GatewayError(ErrorType.NOT_FOUND, "the gateway has no such endpoint")
            allow = ", ".join(found.allowed).encode()
            raise GatewayError(ErrorType.METHOD_NOT_ALLOWED, "method not allowed", headers=((b"allow", allow),))
        endpoint, params = found
        if not endpoint.is_public:
            self._authorize(authorization)
        asked = AdminRequest(
            method=request.method,
            path=request.path,
            query=request.query,
            accept=request.accept,
            body=request.body,
            params=params,
        )
        response = await endpoint.answer(asked)
        response.headers.set("cache-control", "no-store")
        return response

    def _authorize(self, authorization: str | None) -> None:
        scheme, _, given = (authorization or "").partition(" ")
        expected = (self._token or "").encode()
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), expected):
            raise Unauthorized(challenge='Bearer realm="gateway"')


class _CoreEndpoints:
    """The endpoints of the core. What each of them answers is in the reference by its docstring."""

    def __init__(self, view: ControlView) -> None:
        self._view = view

    def endpoints(self) -> list[AdminEndpoint]:
        return [
            AdminEndpoint(method="GET", path="/health", answer=self._health, is_public=True),
            AdminEndpoint(method="GET", path="/live", answer=self._live, is_public=True),
            AdminEndpoint(method="GET", path="/ready", answer=self._ready, is_public=True),
            AdminEndpoint(method="GET", path="/status", answer=self._status),
            AdminEndpoint(method="GET", path="/plugins", answer=self._plugins),
            AdminEndpoint(method="GET", path="/routes", answer=self._routes),
            AdminEndpoint(method="GET", path="/services", answer=self._services),
            AdminEndpoint(method="GET", path="/config", answer=self._config),
            AdminEndpoint(method="POST", path="/reload", answer=self._reload),
        ]

    async def _health(self, request: AdminRequest) -> Response:
        """Whether the gateway works: 200, or 503 from a worker whose control plane is gone.

        ``status`` is ``healthy``, or ``degraded`` while background work of the control plane is being restarted after a
        crash, or rules of a route source are left out.
        """
        timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        is_degraded = self._view.sources.has_problems or any(report.is_restarting for report in self._view.work())
        status = "degraded" if is_degraded else "healthy"
        return Response.json({"status": status, "service": "gateway", "timestamp": timestamp})

    async def _live(self, request: AdminRequest) -> Response:
        """200: the process answers."""
        return Response.json({"status": "ok"})

    async def _ready(self, request: AdminRequest) -> Response:
        """200 ``{"ready": true}``, or 503 once it is told to stop."""
        is_ready = self._view.is_ready()
        return Response.json({"ready": is_ready}, status=200 if is_ready else 503)

    async def _status(self, request: AdminRequest) -> Response:
        """The background work of the control plane, the workers and the route sources.

        Of each worker its process id, whether it serves, and its restarts; ``routeSources`` says of each how many rules
        it published, how many are served, and why the others are not.
        """
        work = [
            {
                "name": report.name,
                "state": "restarting" if report.is_restarting else "running",
                "restarts": report.restarts,
                "lastError": report.last_error or None,
            }
            for report in self._view.work()
        ]
        return Response.json(
            {
                "ready": self._view.is_ready(),
                "work": work,
                "workers": list(await self._view.workers()),
                "routeSources": self._view.sources.status(),
            }
        )

    async def _plugins(self, request: AdminRequest) -> Response:
        """What ``gateway plugins --json`` prints.

        Every plugin with distribution, version, load time, what is wrong with it, and its offers, each with where it is
        used, its place in the pipeline, and `what became of its budget <../how-to/keep-plugins-within-a-budget.md>`_.
        """
        configuration = self._view.configuration()
        inventory = Inventory(configuration.host, configuration, await self._view.metrics())
        return Response.json({"plugins": inventory.data()})

    async def _routes(self, request: AdminRequest) -> Response:
        """Every rule with path, methods, hosts, service, balancer and policies.

        ``source`` is ``file`` or the route source that brought it, ``where`` the place where it stands.
        """
        routes = [
            {
                "id": rule.route.id,
                "path": rule.route.path,
                "methods": sorted(rule.matches.methods) if rule.matches.methods else None,
                "hosts": list(rule.matches.hosts),
                "service": rule.route.service,
                "balancer": rule.balancer.name,
                "policies": [policy.name for policy in rule.policies],
                "source": rule.source or "file",
                "where": rule.where,
            }
            for rule in self._view.configuration().rules
        ]
        return Response.json({"routes": routes})

    async def _services(self, request: AdminRequest) -> Response:
        """Every service with its instances and their health.

        ``marks`` is what is said against them, by whom and why.
        """
        directory = self._view.directory
        services = [
            {
                "name": name,
                "instances": [
                    {
                        "id": instance.id,
                        "scheme": instance.endpoint.scheme,
                        "address": instance.endpoint.address,
                        "port": instance.endpoint.port,
                        "healthy": instance.is_healthy,
                        "weight": instance.endpoint.weight,
                        "marks": [
                            {"by": source, "sharePercent": mark.share_percent, "reason": mark.reason}
                            for source, mark in directory.marks(instance).items()
                        ],
                    }
                    for instance in directory.instances(name)
                ],
            }
            for name in directory.services()
        ]
        return Response.json({"services": services})

    async def _config(self, request: AdminRequest) -> Response:
        """The configuration after all layers, with secrets masked.

        ``sourcedRules`` are the rules of route sources as they are served.
        """
        configuration = self._view.configuration()
        return Response.json({"gateway": configuration.raw, "sourcedRules": configuration.raw_sourced})

    async def _reload(self, request: AdminRequest) -> Response:
        """Reads the configuration again: 200 ``{"reloaded": true}``.

        Or 422 with ``problems``, and nothing has changed.
        """
        try:
            await self._view.reload()
        except ConfigurationError as error:
            return Response.json({"reloaded": False, "problems": [str(each) for each in error.problems]}, status=422)
        return Response.json({"reloaded": True})
