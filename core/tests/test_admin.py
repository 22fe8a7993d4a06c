from __future__ import annotations

from typing import Any, cast

import pytest

from gateway import AdminRequest, ErrorType, GatewayError, Response, Unauthorized
from gateway.admin import AdminEndpoint, AdminSurface, ControlView
from gateway.metrics import Metrics
from gateway.runtime.route_sources import RouteSources
from gateway.services import ServiceDirectory

pytestmark = pytest.mark.anyio


async def no_workers() -> list[Any]:
    return []


async def no_metrics() -> list[Any]:
    return []


async def reload() -> None:
    pass


VIEW = ControlView(
    configuration=lambda: cast("Any", None),
    directory=ServiceDirectory(),
    is_ready=lambda: True,
    work=list,
    workers=no_workers,
    reload=reload,
    metrics=no_metrics,
    sources=RouteSources(reload, Metrics()),
)


async def echo(request: AdminRequest) -> Response:
    return Response.text(f"{request.method} {request.path} {dict(request.params)}")


ENDPOINTS = [
    AdminEndpoint(method="POST", path="/things/{id}", answer=echo),
    AdminEndpoint(method="GET", path="/open", answer=echo, is_public=True),
]


def surface(*, has_token: bool = True) -> AdminSurface:
    return AdminSurface(VIEW, ENDPOINTS, "secret" if has_token else None)


async def refusal(surface: AdminSurface, method: str, path: str, authorization: str | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        await surface.answer(AdminRequest(method=method, path=path), authorization)
    return refused.value


@pytest.mark.parametrize("path", ["/health", "/live", "/ready", "/open"])
async def test_what_is_public_needs_no_token(path):
    for each in (surface(), surface(has_token=False)):
        response = await each.answer(AdminRequest(method="GET", path=path), None)
        assert response.status == 200
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", "Basic secret", "secret", "Bearer sécret"]
)
async def test_the_rest_needs_the_token(authorization):
    refused = await refusal(surface(), "GET", "/status", authorization)
    assert isinstance(refused, Unauthorized)
    assert refused.challenge == 'Bearer realm="gateway"'


@pytest.mark.parametrize("authorization", ["Bearer secret", "bearer  secret "])
async def test_with_the_token_it_answers(authorization):
    response = await surface().answer(AdminRequest(method="POST", path="/things/7"), authorization)
    assert response.body == b"POST /things/7 {'id': '7'}"


async def test_without_a_token_the_rest_is_not_there():
    assert (await refusal(surface(has_token=False), "GET", "/status", "Bearer ")).type is ErrorType.NOT_FOUND


async def test_what_is_not_there():
    assert (await refusal(surface(), "GET", "/nothing")).type is ErrorType.NOT_FOUND


async def test_the_wrong_method_is_told_the_right_ones():
    refused = await refusal(surface(), "DELETE", "/health")
    assert refused.type is ErrorType.METHOD_NOT_ALLOWED
    assert refused.headers == ((b"allow", b"GET, HEAD"),)


def test_two_endpoints_of_one_path_are_refused():
    with pytest.raises(ValueError, match="open"):
        AdminSurface(VIEW, [*ENDPOINTS, ENDPOINTS[1]], "secret")
