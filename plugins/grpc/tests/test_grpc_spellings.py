"""Each key that files of the original gateway may have: what it means here, or why it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gateway.config import load_configuration
from gateway.errors import ConfigurationError
from gateway_grpc.spellings import BACKEND_REFUSED, GRPC_REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.config import Configuration
    from gateway.testing import GatewayFactory

Service = Any
"""The one of conftest.py, which cannot be imported."""
MIB = 1024 * 1024


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Configuration]:
    """Load a configuration with these blocks and this rule."""

    def load(rule: dict[str, Any] | None = None, **blocks: Any) -> Configuration:
        services = [{"name": "library", "instances": [{"address": "127.0.0.1", "port": 1}]}]
        rules = [{"path": "/*", "serviceName": "library", "protocol": "grpc", **(rule or {})}]
        gateway = {"registry": {"static": {"services": services}}, "router": {"rules": rules}, **blocks}
        path = tmp_path / "gateway.yaml"
        path.write_text(yaml.safe_dump({"gateway": gateway}))
        return load_configuration(path, environ={})

    return load


def connector(configuration: Configuration, name: str) -> Any:
    return next(each.config for each in configuration.connectors if each.name == name)


def transcoding(configuration: Configuration) -> Any:
    (rule,) = configuration.rules
    return next(each.config for each in rule.policies if each.name == "grpc")


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ({"maxMessageSize": "1MB"}, "max_message_size", MIB),
        ({"maxCallSendMsgSize": "1MB"}, "send_limit_bytes", MIB),
        ({"maxCallRecvMsgSize": "1MB"}, "receive_limit_bytes", MIB),
    ],
)
def test_keys_of_the_backend(load: Callable[..., Configuration], written: Any, name: str, value: object) -> None:
    assert getattr(connector(load(backend={"grpc": written}), "grpc"), name) == value


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ({"dialTimeout": 3}, "dial_timeout", 3),
        ({"poolSize": 3}, "max_conns_per_host", 3),
        ({"keepAliveTime": 60}, "keep_alive_timeout", 60),
        ({"keepAlive": {"time": "1m"}}, "keep_alive_timeout", 60),
        ({"keepAliveTimeout": 5}, "ping_timeout", 5),
        ({"keepAlive": {"timeout": "5s"}}, "ping_timeout", 5),
        ({"maxMetadataSize": "16KB"}, "max_response_header_bytes", 16384),
        ({"maxConcurrentStreams": 7}, "max_concurrent_streams", 7),
        ({"initialWindowSize": "1MB"}, "initial_stream_window_size", MIB),
        ({"initialConnWindowSize": "2MB"}, "initial_connection_window_size", 2 * MIB),
    ],
)
def test_what_connections_are_like_is_said_for_http_2(
    load: Callable[..., Configuration], written: Any, name: str, value: object
) -> None:
    assert getattr(connector(load(backend={"grpc": written}), "http2"), name) == value


@pytest.mark.parametrize(
    ("written", "name", "value"),
    [
        ({"caFile": "ca.pem"}, "root_ca_file", "ca.pem"),
        ({"rootCAFile": "ca.pem"}, "root_ca_file", "ca.pem"),
        ({"certFile": "a", "keyFile": "b"}, "client_cert_file", "a"),
        ({"certFile": "a", "keyFile": "b"}, "client_key_file", "b"),
        ({"clientCertFile": "a", "clientKeyFile": "b"}, "client_key_file", "b"),
        ({"serverName": "books.internal"}, "server_name", "books.internal"),
        ({"minVersion": "1.3"}, "min_version", "1.3"),
        ({"insecureSkipVerify": True}, "insecure_skip_verify", True),
    ],
)
def test_tls_is_in_one_place(load: Callable[..., Configuration], written: Any, name: str, value: object) -> None:
    configuration = load(backend={"grpc": {"tls": {"enabled": True, **written}}})
    assert getattr(connector(configuration, "http2").tls, name) == value
    assert connector(configuration, "grpc").tls.enabled


def test_tls_cannot_be_said_twice(load: Callable[..., Configuration]) -> None:
    blocks = {"http2": {"tls": {"rootCAFile": "a"}}, "grpc": {"tls": {"caFile": "b"}}}
    with pytest.raises(ConfigurationError, match=r"another spelling of 'backend.http2.tls.rootCAFile'"):
        load(backend=blocks)


@pytest.mark.parametrize("key", ["files", "directories"])
def test_descriptors_may_stand_below_the_backend(load: Callable[..., Configuration], key: str) -> None:
    config = transcoding(
        load(backend={"grpc": {"descriptors": {key: ["a"], "autoReload": False, "failOnError": True}}})
    )
    assert (getattr(config, key), config.auto_reload, config.fail_on_error) == (("a",), False, True)


def test_sources_may_stand_below_the_backend(load: Callable[..., Configuration]) -> None:
    source = {"type": "https", "urls": ["https://example.test/a.desc"], "timeout": "5s", "headers": {"x-a": "1"}}
    descriptors = {"sources": [source], "fileExtensions": [".bin"], "reloadInterval": "1m"}
    config = transcoding(load(backend={"grpc": {"descriptors": descriptors}}))
    assert config.descriptor_sources[0].urls == ("https://example.test/a.desc",)
    assert (config.file_extensions, config.reload_interval) == ((".bin",), 60)


def test_a_service_may_be_asked_for_its_descriptors(load: Callable[..., Configuration]) -> None:
    assert transcoding(load(backend={"grpc": {"enableReflection": True}})).reflection


def test_keys_for_all_rules(load: Callable[..., Configuration]) -> None:
    options = {"addWhitespace": True, "alwaysPrintPrimitiveFields": True, "preserveProtoFieldNames": True}
    block = {
        "enabled": True,
        "autoReload": True,
        "reloadInterval": 60,
        "failOnError": True,
        "fileExtensions": [".desc"],
        "defaultService": "library.v1.Library",
        "descriptorSources": [{"type": "k8s", "namespace": "a", "configMaps": [{"name": "b", "keys": ["c"]}]}],
        "jsonTranscoding": {"enabled": True, "printOptions": {**options, "alwaysPrintEnumsAsInts": True}},
    }
    config = transcoding(load(protocols={"grpc": block}))
    assert (config.service, config.fail_on_error, config.enable_transcoding) == ("library.v1.Library", True, True)
    assert all(config.print_options.model_dump().values())


@pytest.mark.parametrize(
    ("rule", "name", "value"),
    [
        ({"grpc": {"transcoding": False}}, "enable_transcoding", False),
        ({"grpc": {"transcoding": {"enabled": False}}}, "enable_transcoding", False),
        ({"grpc": {"jsonTranscoding": {"enabled": False}}}, "enable_transcoding", False),
        ({"transcoding": {"enabled": False}}, "enable_transcoding", False),
        ({"transcoding": {"pathMappings": {"/a": "/b"}}}, "path_mappings", {"/a": "/b"}),
        ({"grpc": {"transcoding": {"pathMappings": {"/a": "/b"}}}}, "path_mappings", {"/a": "/b"}),
        ({"grpc": {"dynamicDescriptors": {"files": ["a"]}}}, "files", ("a",)),
        ({"grpc": {"dynamicDescriptors": {"directories": ["a"]}}}, "directories", ("a",)),
        ({"grpc": {"dynamicDescriptors": {"autoReload": False}}}, "auto_reload", False),
        ({"grpc": {"dynamicDescriptors": {"reloadInterval": 60}}}, "reload_interval", 60),
        ({"grpc": {"dynamicDescriptors": {"failOnError": True}}}, "fail_on_error", True),
        ({"grpc": {"service": "a.B"}}, "service", "a.B"),
        ({"grpc": {"method": "Get"}}, "method", "Get"),
        ({"metadata": {"grpc": {"service": "a.B", "method": "Get"}}}, "service", "a.B"),
        ({"metadata": {"grpc": {"service": "a.B"}, "grpcMethod": "Get"}}, "method", "Get"),
        ({"metadata": {"grpcService": "a.B"}}, "service", "a.B"),
        ({"metadata": {"grpcMethod": "Get"}}, "method", "Get"),
    ],
)
def test_keys_of_a_rule(load: Callable[..., Configuration], rule: Any, name: str, value: object) -> None:
    assert getattr(transcoding(load(rule)), name) == value


@pytest.mark.parametrize("where", ["grpc", "transcoding"])
def test_methods_of_requests(load: Callable[..., Configuration], where: str) -> None:
    block = {"transcoding": {"methodMappings": {"GET /a": "Get"}}}
    config = transcoding(load({"grpc": block} if where == "grpc" else block))
    assert config.transcoding_rules["GET /a"].method == "Get"


@pytest.mark.parametrize("key", BACKEND_REFUSED)
def test_what_is_refused_of_the_backend(load: Callable[..., Configuration], key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(backend={"grpc": {key: 1}})
    (problem,) = refused.value.problems
    assert (problem.path, problem.message) == (f"gateway.backend.grpc.{key}", BACKEND_REFUSED[key])


@pytest.mark.parametrize("where", ["protocols", "rule"])
@pytest.mark.parametrize("key", ["serviceMapping", "services"])
def test_what_is_refused_of_transcoding(load: Callable[..., Configuration], key: str, where: str) -> None:
    block: dict[str, Any] = {"grpc": {key: []}}
    with pytest.raises(ConfigurationError) as refused:
        load(block) if where == "rule" else load(protocols=block)
    assert {problem.message for problem in refused.value.problems} == {GRPC_REFUSED[key]}


@pytest.mark.parametrize("key", ["descriptorsPath", "uploadDirectory"])
def test_descriptors_are_administered_for_all_rules(load: Callable[..., Configuration], key: str) -> None:
    with pytest.raises(ConfigurationError, match="are administered for all rules together"):
        load({"grpc": {key: "/a"}})


# A method for all requests of a rule.


@pytest.mark.anyio
async def test_a_rule_may_be_for_one_method(gateway_factory: GatewayFactory, service: Service) -> None:
    block = {"service": "library.v1.Library", "method": "Echo", "transcodingRules": {"GET /books/{name}": "GetBook"}}
    gateway = await gateway_factory(service.settings(block))
    assert (await gateway.ask("GET", "/any/path?name=Emma")).json() == {"name": "Emma"}
    sent = await gateway.ask("POST", "/", headers={"content-type": "application/json"}, body=b'{"name": "Emma"}')
    assert (sent.status, sent.json()) == (200, {"name": "Emma"})
    # What is bound goes before.
    assert (await gateway.ask("GET", "/books/Ada")).json() == {"name": "Ada"}
    refused = await gateway.ask("OPTIONS", "/any")
    assert (refused.status, refused["allow"]) == (405, "DELETE, GET, HEAD, PATCH, POST, PUT")


@pytest.mark.anyio
async def test_a_method_that_is_not_there_is_an_error_of_the_route(
    gateway_factory: GatewayFactory, service: Service
) -> None:
    with pytest.raises(Exception, match="method: no service has a method 'Gone'"):
        await gateway_factory(service.settings({"method": "Gone", "failOnError": True}))
