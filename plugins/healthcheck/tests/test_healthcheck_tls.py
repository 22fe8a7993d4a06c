"""Checks over TLS believe and show what requests to the same service do."""

from __future__ import annotations

import ssl
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # it has no stubs
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # it has no stubs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.testing import GatewayFactory, RunningGateway

pytestmark = pytest.mark.anyio

QUICK = {"interval": 0.1, "timeout": 2, "jitter": 0, "initialState": "unhealthy", "healthyThreshold": 1}
OWN = {"rootCAFile": "ca.pem", "clientCertFile": "gateway.pem", "clientKeyFile": "gateway.key"}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def folder(tmp_path: Path, authority: trustme.CA) -> Path:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    own = authority.issue_cert("gateway.internal")
    own.private_key_pem.write_to_path(str(tmp_path / "gateway.key"))
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "gateway.pem"))
    return tmp_path


@pytest.fixture
def guarded(authority: trustme.CA) -> ssl.SSLContext:
    """TLS of a service with another name than its address, which wants to know who is calling."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("orders.internal").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def services(port: int, scheme: str) -> dict[str, Any]:
    """Return two services with the same instance."""
    instance = {"address": "127.0.0.1", "port": port, "scheme": scheme}
    named = [{"name": name, "instances": [instance]} for name in ("orders", "others")]
    rules = [{"path": f"/{each['name']}", "serviceName": each["name"]} for each in named]
    return {"registry": {"static": {"services": named}}, "router": {"rules": rules}}


async def verdict(gateway: RunningGateway, service: str) -> tuple[str, str | None]:
    """Return what the checks say of the only instance of a service, and why."""
    while True:
        (instance,) = (await gateway.admin(f"/health/services/{service}")).json()["instances"]
        if instance["lastCheck"] is not None:
            return instance["status"], instance["error"]


async def test_a_check_is_made_as_requests_to_the_service_are(
    gateway_factory: GatewayFactory, upstream_factory: Any, guarded: ssl.SSLContext, folder: Path
) -> None:
    upstream = await upstream_factory(tls=guarded)
    backend = {"http": {"services": {"orders": {"tls": {**OWN, "serverName": "orders.internal"}}}}}
    gateway = await gateway_factory(
        {"health": {"active": QUICK}, "backend": backend, **services(upstream.port, "https")}
    )
    assert await verdict(gateway, "orders") == ("healthy", None)
    assert (await gateway.ask("GET", "/orders")).status == 200
    # The other service has no certificate of that authority, nor anything to show.
    status, why = await verdict(gateway, "others")
    assert (status, "certificate verify failed" in (why or "")) == ("unhealthy", True)


async def test_what_the_check_says_itself_goes_before(
    gateway_factory: GatewayFactory, upstream_factory: Any, guarded: ssl.SSLContext, folder: Path
) -> None:
    upstream = await upstream_factory(tls=guarded)
    backend = {"http": {"tls": {**OWN, "serverName": "another.internal"}}}
    own = {"services": {"orders": {"active": {"tls": {"serverName": "orders.internal"}}}}}
    gateway = await gateway_factory(
        {"health": {"active": QUICK, **own}, "backend": backend, **services(upstream.port, "https")}
    )
    assert await verdict(gateway, "orders") == ("healthy", None)
    status, why = await verdict(gateway, "others")
    assert (status, "certificate verify failed" in (why or "")) == ("unhealthy", True)


async def test_new_files_and_keys_count_at_a_reload(
    gateway_factory: GatewayFactory, upstream_factory: Any, authority: trustme.CA, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    upstream = await upstream_factory(tls=context)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    backend = {"http": {"tls": {"rootCAFile": "trusted.pem"}}}
    gateway = await gateway_factory(
        {"health": {"active": QUICK}, "backend": backend, **services(upstream.port, "https")}
    )
    assert (await verdict(gateway, "orders"))[0] == "unhealthy"
    authority.cert_pem.write_to_path(str(tmp_path / "trusted.pem"))
    await gateway.gateway.reload()
    directory = gateway.gateway.plane.directory
    await gateway.eventually(lambda: directory.service("orders").available)


# gRPC.


@pytest.fixture
def grpc_port(authority: trustme.CA) -> Iterator[int]:
    """A gRPC service that wants to know who is calling."""
    server = grpc.server(futures.ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    leaf = authority.issue_cert("orders.internal")
    pair = leaf.private_key_pem.bytes(), b"".join(each.bytes() for each in leaf.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([pair], authority.cert_pem.bytes(), require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    yield port
    server.stop(None).wait()


@pytest.mark.parametrize("scheme", ["grpcs", "h2", "grpc"])
async def test_a_check_by_grpc_is_made_as_calls_are(
    gateway_factory: GatewayFactory, grpc_port: int, folder: Path, scheme: str
) -> None:
    settings = services(grpc_port, scheme)
    for rule in settings["router"]["rules"]:
        rule["protocol"] = "grpc"
    tls = {**OWN, "serverName": "orders.internal", "enabled": scheme == "grpc"}
    active = {**QUICK, "type": "grpc"}
    gateway = await gateway_factory({"health": {"active": active}, "backend": {"grpc": {"tls": tls}}, **settings})
    assert await verdict(gateway, "orders") == ("healthy", None)


async def test_a_check_over_http_2_is_made_as_requests_to_the_service_are(
    gateway_factory: GatewayFactory, grpc_port: int, folder: Path
) -> None:
    backend = {"http2": {"services": {"orders": {"tls": {**OWN, "serverName": "orders.internal"}}}}}
    active = {**QUICK, "type": "grpc"}
    gateway = await gateway_factory({"health": {"active": active}, "backend": backend, **services(grpc_port, "h2")})
    assert await verdict(gateway, "orders") == ("healthy", None)
    # The other service has no certificate of that authority, nor anything to show.
    status, why = await verdict(gateway, "others")
    assert (status, "certificate verify failed" in (why or "").lower()) == ("unhealthy", True)
