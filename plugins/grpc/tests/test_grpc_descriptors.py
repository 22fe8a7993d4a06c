"""Where descriptors come from, what becomes of broken ones, and that new ones count without a restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from gateway.metrics import Metrics
from gateway.testing import Reply
from gateway_grpc.config import ConfigMapConfig
from gateway_grpc.descriptors.library import Library
from gateway_grpc.descriptors.remote import ConfigMapSource
from gateway_grpc.descriptors.schema import DescriptorError, DescriptorSet, build_schema
from gateway_grpc.descriptors.source import FileSource

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.testing import GatewayFactory, RunningGateway, Upstream

pytestmark = pytest.mark.anyio

Service = Any
"""The one of conftest.py, which cannot be imported."""
PATIENCE_S = 10.0


class FakeContext:
    """As much of a context as a library needs that does not reload."""

    logger = logging.getLogger("gateway.plugins.grpc")
    metrics = Metrics()


def without(service: Service, **block: Any) -> dict[str, Any]:
    """Return the configuration of a gateway with these sources only."""
    settings: dict[str, Any] = service.settings({"protoDescriptorBase64": None, "reloadInterval": "20ms", **block})
    return settings


async def status_becomes(gateway: RunningGateway, path: str, status: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await gateway.ask("POST", path)).status != status:  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)


# Sources.


async def test_a_file_is_read_again_when_it_changes(
    gateway_factory: GatewayFactory,
    service: Service,
    descriptors: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "library.desc"
    file.write_bytes(descriptors.set())
    gateway = await gateway_factory(without(service, protoDescriptor="library.desc"))
    assert (await service.call(gateway, "Echo")).status == 200
    file.write_bytes(b"broken")
    await gateway.eventually(lambda: "holds no FileDescriptorSet" in caplog.text)
    assert "those of before stay" in caplog.text
    assert (await service.call(gateway, "Echo")).status == 200
    file.write_bytes(descriptors.set(descriptors.text.replace('"Echo"', '"Echo2"')))
    await status_becomes(gateway, "/library.v1.Library/Echo", 404)
    file.write_bytes(descriptors.set())
    await status_becomes(gateway, "/library.v1.Library/Echo", 200)


async def test_a_file_may_be_read_again_at_a_reload_alone(service: Service, descriptors: Any, tmp_path: Path) -> None:
    file = tmp_path / "library.desc"
    file.write_bytes(descriptors.set())
    context: Any = FakeContext()
    library = Library(
        [FileSource(file, 1.0)], lambda schema: len(schema.methods), context, is_reloading=False, fails=True
    )
    assert (library.is_current(), await library.current()) == (True, 11)
    file.write_bytes(descriptors.set('name: "empty.proto"'))
    assert not library.is_current()
    file.unlink()
    assert library.is_current()


async def test_a_folder_is_searched(
    gateway_factory: GatewayFactory, service: Service, descriptors: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "descriptors"
    (folder / "deep").mkdir(parents=True)
    (folder / "readme.txt").write_text("no descriptors")
    (folder / "deep" / "library.pb").write_bytes(descriptors.set())
    gateway = await gateway_factory(without(service, dynamicDescriptors={"directories": ["descriptors"]}))
    assert (await service.call(gateway, "Echo")).status == 200
    museum = descriptors.text.replace("library", "museum")
    (folder / "museum.desc").write_bytes(descriptors.set(museum))
    # It is known now; that this service does not have it is the service's to say.
    await status_becomes(gateway, "/museum.v1.Library/Echo", 501)


async def test_sources_of_all_kinds_are_put_together(
    gateway_factory: GatewayFactory,
    service: Service,
    descriptors: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "library.desc").write_bytes(descriptors.set())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "museum.desc").write_bytes(descriptors.set(descriptors.text.replace("library", "museum")))
    sources = [
        {"type": "file", "paths": "library.desc"},
        {"type": "directory", "paths": ["folder"]},
        {"type": "k8s-configmap", "configMaps": [{"name": "descriptors"}]},
    ]
    gateway = await gateway_factory(without(service, descriptorSources=sources))
    assert (await service.call(gateway, "Echo")).status == 200
    assert (await gateway.ask("POST", "/museum.v1.Library/Echo")).status == 501
    assert "ConfigMap descriptors: this is no pod of a cluster" in caplog.text


async def test_a_url_is_fetched_again(
    gateway_factory: GatewayFactory, service: Service, descriptors: Any, upstream: Upstream
) -> None:
    answers = {"body": descriptors.set(), "status": 200}
    upstream.answer = lambda request: Reply(answers["status"], body=answers["body"])
    url = f"http://127.0.0.1:{upstream.port}/library.desc?token=s3cret"
    source = {"type": "http", "urls": [url], "headers": {"x-key": "s3cret"}, "timeout": 5}
    gateway = await gateway_factory(without(service, descriptorSources=[source]))
    assert (await service.call(gateway, "Echo")).status == 200
    assert upstream.requests[0]["x-key"] == "s3cret"
    answers["status"] = 500
    seen = len(upstream.requests)
    await gateway.eventually(lambda: len(upstream.requests) > seen + 1)
    assert (await service.call(gateway, "Echo")).status == 200
    answers |= {"status": 200, "body": descriptors.set(descriptors.text.replace('"Echo"', '"Echo2"'))}
    await status_becomes(gateway, "/library.v1.Library/Echo", 404)


async def test_a_url_that_does_not_work_is_reported_without_its_secrets(
    gateway_factory: GatewayFactory, service: Service, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.answer = lambda request: Reply(302, headers={"location": "http://127.0.0.1:1/"})
    url = f"http://127.0.0.1:{upstream.port}/library.desc?token=s3cret"
    gateway = await gateway_factory(without(service, descriptorSources=[{"type": "http", "urls": [url]}]))
    answer = await service.call(gateway, "Echo")
    assert (answer.status, answer.json()["detail"]) == (503, "the methods of this service are not known")
    assert "the answer has status 302" in caplog.text
    assert "s3cret" not in caplog.text + answer.text


async def test_a_url_is_not_believed_with_a_certificate_that_nobody_trusts(
    gateway_factory: GatewayFactory, service: Service, upstream_factory: Any, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    upstream = await upstream_factory(tls=context)
    url = f"https://127.0.0.1:{upstream.port}/library.desc"
    gateway = await gateway_factory(without(service, descriptorSources=[{"type": "https", "urls": [url]}]))
    assert (await service.call(gateway, "Echo")).status == 503
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


async def test_a_config_map_is_read_with_the_credentials_of_the_pod(
    upstream_factory: Any, descriptors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    (tmp_path / "token").write_text("t0ken\n")
    (tmp_path / "namespace").write_text("books")
    upstream = await upstream_factory(tls=context)
    upstream.answer = lambda request: Reply.json(
        {"data": {"notes": "!"}, "binaryData": {"library.desc": descriptors.base64()}}
    )
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(upstream.port))

    def source(*keys: str) -> ConfigMapSource:
        return ConfigMapSource(ConfigMapConfig(name="descriptors", keys=keys), "", 5.0, 30.0, credentials=tmp_path)

    (found,) = await source("library.desc").fetch()
    assert found.data == descriptors.set()
    assert upstream.requests[0].target == "/api/v1/namespaces/books/configmaps/descriptors"
    assert upstream.requests[0]["authorization"] == "Bearer t0ken"
    with pytest.raises(DescriptorError, match="key notes: it is no base64"):
        await source().fetch()
    with pytest.raises(DescriptorError, match="has no key 'other'"):
        await source("other").fetch()
    upstream.answer = lambda request: Reply(body=b"[]")
    with pytest.raises(DescriptorError, match="did not answer with a ConfigMap"):
        await source().fetch()
    (tmp_path / "token").unlink()
    with pytest.raises(DescriptorError, match="credentials of the pod cannot be read"):
        await source().fetch()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(DescriptorError, match="this is no pod of a cluster; mount it"):
        await source().fetch()


# Reflection.


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_a_service_describes_itself(
    gateway_factory: GatewayFactory, serve: Any, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await serve(describes_itself=version)
    gateway = await gateway_factory(without(service))
    answers = await asyncio.gather(*(service.call(gateway, "Echo", {"name": "Emma"}) for _ in range(5)))
    assert [answer.status for answer in answers] == [200] * 5
    assert (await gateway.ask("GET", "/v1/tags/x")).json() == []
    assert (await gateway.ask("POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")).status == 404


async def test_a_service_that_does_not_describe_itself(
    gateway_factory: GatewayFactory, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await gateway_factory(without(service))
    for _ in range(3):
        answer = await service.call(gateway, "Echo")
        assert (answer.status, answer.json()["detail"]) == (503, "the methods of this service are not known")
    assert caplog.text.count("the service did not describe itself: the service has no server reflection") == 1


async def test_new_methods_of_a_service_are_found(gateway_factory: GatewayFactory, serve: Any) -> None:
    service = await serve(describes_itself="v1", leaves_out="Echo")
    gateway = await gateway_factory(without(service))
    assert (await service.call(gateway, "Echo")).status == 404
    assert (await service.call(gateway, "GetBook")).status == 200
    service.describe()
    await status_becomes(gateway, "/library.v1.Library/Echo", 200)


async def test_no_json_without_descriptors(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(without(service, reflection=False))
    assert (await service.call(gateway, "Echo")).status == 501


async def test_transcoding_may_be_off(gateway_factory: GatewayFactory, service: Service) -> None:
    gateway = await gateway_factory(service.settings({"enableTranscoding": False}))
    assert (await service.call(gateway, "Echo")).status == 501


# What is broken.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!!", "protoDescriptorBase64: it is no base64"),
        ("AAE", "protoDescriptorBase64: it is no base64, or not all of it"),
        ("aGVsbG8=", "protoDescriptorBase64: it holds no FileDescriptorSet"),
        ("", "protoDescriptorBase64: it holds no FileDescriptorSet"),
    ],
)
async def test_broken_base64_is_an_error_of_its_route_alone(
    gateway_factory: GatewayFactory, service: Service, text: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await gateway_factory(without(service, protoDescriptorBase64=text))
    assert (await service.call(gateway, "Echo")).status == 503
    assert said in caplog.text


async def test_broken_descriptors_may_keep_the_gateway_from_starting(
    gateway_factory: GatewayFactory, service: Service, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match="cannot be read: No such file"):
        await gateway_factory(without(service, files=["missing.desc"], failOnError=True))
    (tmp_path / "broken.desc").write_bytes(b"\0")
    with pytest.raises(Exception, match=r"broken.desc: it holds no FileDescriptorSet"):
        await gateway_factory(without(service, files="broken.desc", failOnError=True))
    with pytest.raises(Exception, match="there is no such folder"):
        await gateway_factory(without(service, directories="nowhere", failOnError=True))


async def test_rules_that_the_descriptors_cannot_fulfil_are_reported(
    gateway_factory: GatewayFactory, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await gateway_factory(service.settings({"transcodingRules": {"GET /x": "Burn"}}))
    assert (await service.call(gateway, "Echo")).status == 503
    assert "transcodingRules: 'GET /x': no service has a method 'Burn'" in caplog.text


def test_sets_may_overlap_but_not_contradict_each_other(descriptors: Any) -> None:
    assert descriptors.schema(descriptors.set(), descriptors.set()).methods
    other = descriptors.set(descriptors.text.replace("page_count", "pages"))
    with pytest.raises(
        DescriptorError, match=r"set 0 and set 1 contradict each other about 'library/v1/library.proto'"
    ):
        descriptors.schema(descriptors.set(), other)


def test_what_a_set_imports_must_be_there(descriptors: Any) -> None:
    text = descriptors.text.replace('"google/protobuf/any.proto"', '"acme/any.proto"')
    with pytest.raises(
        DescriptorError, match=r"imports 'acme/any.proto', which is missing; use protoc --include_imports"
    ):
        descriptors.schema(descriptors.set(text))


def test_a_set_may_be_wrong_in_many_ways(descriptors: Any) -> None:
    itself = 'name: "a.proto" dependency: "b.proto" syntax: "proto3"', 'name: "b.proto" dependency: "a.proto"'
    with pytest.raises(DescriptorError, match="imports itself"):
        descriptors.schema(descriptors.set(*itself))
    unknown = (
        'name: "a.proto" message_type { name: "M" field { name: "f" number: 1 type: TYPE_MESSAGE type_name: ".N" } }'
    )
    with pytest.raises(DescriptorError, match=r"'a\.proto' cannot be used"):
        descriptors.schema(descriptors.set(unknown))
    with pytest.raises(DescriptorError, match="no descriptors in any"):
        build_schema([])


def test_imports_may_go_deep(descriptors: Any) -> None:
    files = [f'name: "{number}.proto" dependency: "{number + 1}.proto"' for number in range(3000)]
    assert not descriptors.schema(descriptors.set(*files, 'name: "3000.proto"')).methods


@given(st.binary(max_size=200))
def test_no_bytes_are_a_bug(data: bytes) -> None:
    with contextlib.suppress(DescriptorError):
        build_schema([DescriptorSet("here", data)])


@given(cut=st.integers(0, 3000), flip=st.integers(0, 3000))
def test_no_damaged_set_is_a_bug(descriptors: Any, cut: int, flip: int) -> None:
    data = bytearray(descriptors.set())
    data[flip % len(data)] ^= 0x55
    with contextlib.suppress(DescriptorError):
        build_schema([DescriptorSet("here", bytes(data[: len(data) - cut]))])
