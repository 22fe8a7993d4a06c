"""Keys in the mission's spellings, and what is refused."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from gateway import Endpoint, Forwarding, Headers, Instance, Request, Section
from gateway_grpc.config import BackendGrpcConfig, DescriptorSourceConfig, GrpcConfig
from gateway_grpc.deadline import parse_timeout
from gateway_grpc.metadata import Names, metadata_of
from gateway_grpc.places import Places
from gateway_grpc.status import GrpcStatus, http_status_of, phrase_of, status_of_http

if TYPE_CHECKING:
    from gateway.testing import GatewayFactory

pytestmark = pytest.mark.anyio

Service = Any
"""The one of conftest.py, which cannot be imported."""


async def test_the_missions_spellings(gateway_factory: GatewayFactory, service: Service) -> None:
    settings = service.settings({"service": "library.v1.Library", "transcoding": True})
    (rule,) = settings["router"]["rules"]
    rule["backend"] = rule.pop("protocol")
    rule["transcoding"] = {
        "pathMappings": {"/api/library": "/library.v1.Library"},
        "methodMappings": {"GET /books/{name}": "GetBook"},
    }
    keep_alive = {"keepAlive": {"time": "1m", "timeout": "10s"}}
    settings["backend"] = {"grpc": {**keep_alive, "maxCallSendMsgSize": "1MB", "maxCallRecvMsgSize": "1MB"}}
    gateway = await gateway_factory(settings)
    assert (await gateway.ask("GET", "/books/Emma")).json() == {"name": "Emma"}
    assert (await gateway.ask("POST", "/api/library/Echo")).status == 200


async def test_a_prefix_may_be_stripped(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings(path="/api/grpc/*", stripPrefix=True))
    assert (await gateway.ask("POST", "/api/grpc/library.v1.Library/Echo")).status == 200


async def test_descriptors_may_be_for_all_rules(
    gateway_factory: GatewayFactory, service: Service, descriptors: Any
) -> None:
    block = {"protocols": {"grpc": {"protoDescriptorBase64": descriptors.base64(), "defaultService": "Library"}}}
    rules = {"transcodingRules": {"GET /x": "Echo"}, "protoDescriptorBase64": None}
    gateway = await gateway_factory(service.settings(rules, gateway=block))
    assert (await gateway.ask("GET", "/x?name=a")).json() == {"name": "a"}


async def test_several_connections_to_an_instance(gateway_factory: GatewayFactory, service: Service) -> None:
    """Another one is opened when those that are there are full."""
    backend = {"poolSize": 2, "maxConcurrentStreams": 1}
    gateway = await gateway_factory(service.settings(gateway={"backend": {"grpc": backend}}))
    asking = [asyncio.create_task(service.call(gateway, "Sleep")) for _ in range(2)]
    await gateway.eventually(lambda: len(service.received) == 2)
    assert len(service.peers) == 2
    service.released.set()
    assert [(await each).status for each in asking] == [200, 200]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"reflection": True, "files": ["a"]}, "reflection is on, and there are other descriptors"),
        ({"requestMetadata": ["a b"]}, "'a b' names no metadata"),
        ({"requestMetadata": ["*a"]}, "'\\*a' names no metadata"),
        ({"maxDepth": 0}, "greater than or equal to 1"),
        ({"transcodingRules": {"GET /": 7}}, "transcodingRules"),
        ({"descriptorSources": [{"type": "file"}]}, "needs paths"),
        ({"descriptorSources": [{"type": "configmap"}]}, "needs configMaps"),
        ({"descriptorSources": [{"type": "https", "urls": "http://x/y"}]}, "has a URL without TLS"),
        ({"descriptorSources": [{"type": "http", "urls": "http://a:b@x/y"}]}, "credentials into headers"),
        ({"descriptorSources": [{"type": "http", "urls": "ftp://x/y"}]}, "is no URL"),
    ],
)
def test_what_is_refused(block: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        GrpcConfig.model_validate(block)


def test_secrets_are_not_shown() -> None:
    source = DescriptorSourceConfig(type="https", urls=("https://x/y",), headers={"authorization": "s3cret"})  # type: ignore[dict-item]  # as YAML has it
    assert "s3cret" not in repr(source)


def test_limits_of_messages() -> None:
    config = BackendGrpcConfig.model_validate({"maxMessageSize": "1MB", "maxReceiveMessageSize": "2MB"})
    assert (config.send_limit_bytes, config.receive_limit_bytes) == (1024 * 1024, 2 * 1024 * 1024)


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, gateway_grpc.plugin, gateway_grpc.policy, gateway_grpc.connector;"
        "sys.exit(any(name in sys.modules for name in ('grpc', 'google.protobuf')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Statuses.


def test_statuses_both_ways() -> None:
    assert [http_status_of(code) for code in range(17)] == [
        *(200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401),
    ]
    assert http_status_of(99) == 500
    assert {status_of_http(status) for status in (200, 204)} == {GrpcStatus.OK}
    assert status_of_http(401) is GrpcStatus.UNAUTHENTICATED
    assert status_of_http(404) is GrpcStatus.UNIMPLEMENTED
    assert status_of_http(429) is GrpcStatus.RESOURCE_EXHAUSTED
    assert status_of_http(503) is GrpcStatus.UNAVAILABLE
    assert status_of_http(418) is GrpcStatus.UNKNOWN
    assert (phrase_of(499), phrase_of(404)) == ("Client Closed Request", "Not Found")


# Times and metadata.


@pytest.mark.parametrize(
    ("text", "seconds"), [("1H", 3600), ("2M", 120), ("3S", 3), ("500m", 0.5), ("1u", 1e-6), ("0n", 0)]
)
def test_times(text: str, seconds: float) -> None:
    assert parse_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "S", "-1S", "1.5S", "123456789S", "1s", "\u0661S", "1S "])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no grpc-timeout"):
        parse_timeout(text)


def test_what_metadata_cannot_carry_is_left_out() -> None:
    pairs = [
        (b"x-a", b"\xe9"),
        (b"x-b", b"a\tb"),
        (b"x-c-bin", b"!"),
        (b"x!d", b"1"),
        (b"grpc-x", b"1"),
        (b"x-e", b"1"),
    ]
    request = Request("POST", "/", headers=Headers(pairs), id="7")
    assert metadata_of(request, Names(["*"])) == [(b"x-e", b"1")]


def test_what_fields_cannot_carry_is_left_out() -> None:
    metadata = (
        (b"x-a", b"1\n2"),
        (b"x-b-bin", b"Cg"),
        (b"x-c-bin", b"C"),
        (b"content-type", b"a"),
        (b"grpc-x", b"1"),
        (b"date", b"now"),
    )
    assert Names(["*"]).to_clients(metadata) == [(b"x-b-bin", b"Cg")]


@pytest.mark.parametrize("value", [b"", b"AA", b"AAA", b"AAAA", b"AA==", b"AAA=", b"+/+/"])
def test_binary_metadata_may_be_padded(value: bytes) -> None:
    assert Names(["*"]).to_services([(b"x-bin", value)]) == [(b"x-bin", value)]
    assert Names(["*"]).to_services([(b"x-bin", value + b"!")]) == []


def test_the_fields_of_a_connection_are_judged_once() -> None:
    """As long as it is told of the same client."""
    names, section = Names(["*"]), Section([(b"x-a", b"1"), (b"te", b"trailers")])
    first, second = Forwarding([(b"x-forwarded-for", b"10.0.0.1")]), Forwarding([(b"x-forwarded-for", b"10.0.0.2")])
    found = names.of_request(Headers.shared(section), first)
    assert found == [(b"x-a", b"1"), (b"x-forwarded-for", b"10.0.0.1")]
    assert names.of_request(Headers.shared(section), first) is found
    assert names.of_request(Headers.shared(section), second) == [(b"x-a", b"1"), (b"x-forwarded-for", b"10.0.0.2")]
    assert Names(["te"]).of_request(Headers.shared(section), second) == []
    headers = Headers.shared(section)
    headers.extend_lines(frozenset({b"x-b"}), b"x-b: 2\r\n")
    assert names.of_request(headers, second) == [(b"x-a", b"1"), (b"x-b", b"2"), (b"x-forwarded-for", b"10.0.0.2")]


def test_more_names_than_are_remembered_are_judged_alike() -> None:
    names = Names(["x-*"])
    for number in range(1000):
        meant, other = (b"x-%d" % number, b"1"), (b"y-%d" % number, b"1")
        assert names.to_services([meant, other]) == [meant]


@pytest.mark.parametrize(
    ("port", "is_taken"), [(50051, True), ("50051", True), (0, False), (65536, False), ("x", False)]
)
def test_grpc_has_a_port_of_its_own_if_it_is_one(port: object, *, is_taken: bool) -> None:
    """It comes from registries, whose labels may say anything."""
    instance = Instance("library", Endpoint(address="a", port=80, scheme="grpc", metadata={"grpcPort": port}))
    assert Places(is_tls=False).of(instance).endpoint.port == (50051 if is_taken else 80)
