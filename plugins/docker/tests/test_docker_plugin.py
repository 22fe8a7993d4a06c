"""The configuration, what is negotiated with an engine, TLS, and the whole gateway."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trustme
from plugins.docker.tests.fake_engine import FakeEngine, container
from pydantic import ValidationError

from gateway_docker import plugin
from gateway_docker.config import ComposeConfig, ComposeFileConfig, DockerConfig
from gateway_docker.engine import EngineError, negotiate
from gateway_docker.events import MAX_EVENT_BYTES, EventLines, matters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.testing import RunningGateway


def refusal(**given: object) -> str:
    with pytest.raises(ValidationError) as caught:
        DockerConfig.model_validate(given)
    return str(caught.value)


def test_the_providers_stand_under_registry():
    offers = {offer.name: offer.path for offer in plugin.gateway_register_discovery_providers()}
    assert offers == {
        "docker": "registry.docker", "docker-compose": "registry.dockerCompose", "compose-file": "registry.composeFile",
    }  # fmt: skip


def test_importing_the_plugin_does_not_import_the_sdk():
    program = "import sys, gateway_docker.plugin; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_field_is_described():
    for model in (DockerConfig, ComposeConfig, ComposeFileConfig):
        assert all("description" in field for field in model.model_json_schema()["properties"].values())


@pytest.mark.parametrize("host", ["unix:///run/d.sock", "tcp://10.0.0.1:2375", "https://d:2376", "tcp://[::1]:2375"])
def test_hosts(host):
    assert DockerConfig.model_validate({"host": host}).host == host


@pytest.mark.parametrize(
    "host", ["", "unix://", "unix://run/d.sock", "tcp://d", "tcp://d:0", "tcp://d:99999", "ssh://d:22", "/run/d.sock",
             "tcp://d:1/path", "npipe:////./pipe/docker"]
)  # fmt: skip
def test_hosts_that_are_none_are_refused(host):
    assert "write 'unix:///path/to.sock' or 'tcp://host:port'" in refusal(host=host)


def test_credentials_in_a_host_are_not_repeated():
    text = refusal(host="tcp://me:secret@d:2375")
    assert "without credentials" in text.split("[type=")[0]
    assert "secret" not in text.split("[type=")[0]


def test_other_refusals():
    assert "a unix socket speaks no TLS" in refusal(certPath="certs")
    assert "contradicts" in refusal(host="http://d:1", certPath="certs")
    assert "write it in quotes" in refusal(version=1.44)
    assert "write it in quotes" in refusal(version="latest")
    assert "is not a label prefix" in refusal(labelPrefix="gateway.")
    assert "is not a host name" in refusal(hostAddress="http://d")
    assert "refreshInterval" in refusal(refreshInterval=0.5)
    assert "timeout" in refusal(timeout=0)


@pytest.mark.parametrize(
    ("host", "given", "address"),
    [("unix:///d", "", "127.0.0.1"), ("tcp://d:1", "", "d"), ("unix:///d", "host.internal", "host.internal")],
)
def test_where_the_hosts_network_is(host, given, address):
    config = DockerConfig.model_validate({"host": host, "hostAddress": given})
    assert config.effective_host_address == address


@pytest.mark.parametrize(
    ("newest", "oldest", "wanted", "chosen"),
    [
        ("1.41", "1.12", "", "1.41"),
        ("1.99", "1.24", "", "1.45"),
        ("1.99", "1.60", "", "1.60"),
        ("1.9", None, "", "1.9"),
        ("1.41", "1.12", "1.40", "1.40"),
    ],
)
def test_the_version_of_the_api_is_negotiated(newest, oldest, wanted, chosen):
    assert negotiate({"ApiVersion": newest, "MinAPIVersion": oldest}, wanted) == chosen


@pytest.mark.parametrize(
    ("said", "wanted", "reason"),
    [
        ({}, "", "does not say which API it speaks"),
        ({"ApiVersion": 1.41}, "", "does not say which API it speaks"),
        ({"ApiVersion": "1.41", "MinAPIVersion": "1.24"}, "1.45", "speaks versions 1.24 to 1.41"),
    ],
)
def test_versions_that_cannot_be_spoken(said, wanted, reason):
    with pytest.raises(EngineError, match=reason):
        negotiate(said, wanted)


@pytest.mark.parametrize(
    ("line", "is_so"),
    [
        (b'{"Type":"container","Action":"start"}', True),
        (b'{"Type":"container","Action":"health_status: healthy"}', True),
        (b'{"Type":"container","Action":"died"}', True), (b'{"Type":"network","Action":"disconnect"}', True),
        (b'{"status":"die"}', True), (b"{", True), (b"[]", True), (b'{"Type":[]}', True),
        (b'{"Type":"container","Action":"exec_start: sh"}', False), (b'{"Type":"image","Action":"pull"}', False),
    ],
)  # fmt: skip
def test_which_events_matter(line, is_so):
    assert matters(line) is is_so


def test_lines_are_cut_wherever_the_pieces_end_and_kept_short():
    lines = EventLines()
    assert list(lines.feed(b"a\nb")) == [b"a"]
    assert list(lines.feed(b"c\n")) == [b"bc"]
    assert list(lines.feed(b"x" * (MAX_EVENT_BYTES + 1))) == []
    assert lines._rest == b""
    assert list(lines.feed(b"xx\nd\n")) == [b"", b"d"]


@pytest.fixture
async def tls_engine(short_folder: Path) -> AsyncIterator[tuple[FakeEngine, Path]]:
    """Give an engine that wants a certificate, and a folder with one."""
    authority = trustme.CA()
    client = authority.issue_cert("gateway")
    authority.cert_pem.write_to_path(short_folder / "ca.pem")
    client.private_key_pem.write_to_path(short_folder / "key.pem")
    client.cert_chain_pems[0].write_to_path(short_folder / "cert.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    engine = FakeEngine(tls=context)
    await engine.start()
    yield engine, short_folder
    await engine.stop()


@pytest.mark.anyio
async def test_an_engine_is_spoken_to_over_tls(tls_engine, watch_engine):
    engine, folder = tls_engine
    engine.containers = [container(1)]
    watched = watch_engine(engine, certPath=str(folder), timeout="5s")
    await watched.until(lambda: watched.services and watched.status["events"] == "streaming")
    watched.task.cancel()
    await watched.until(lambda: engine.streams == 0)


@pytest.mark.anyio
async def test_an_engine_with_another_authority_is_not_believed(tls_engine, watch_engine):
    engine, folder = tls_engine
    trustme.CA().cert_pem.write_to_path(folder / "ca.pem")
    assert "CERTIFICATE_VERIFY_FAILED" in await watch_engine(engine, certPath=str(folder), timeout="5s").error()
    assert not engine.asked


def with_docker(host: str, **block: object) -> dict[str, object]:
    return {
        "registry": {"type": "docker", "docker": {"endpoint": host, **block}},
        "router": {"rules": [{"path": "/*", "serviceName": "orders"}]},
    }


@pytest.mark.anyio
async def test_certificates_that_cannot_be_used_stop_the_start(gateway_factory, tmp_path):
    with pytest.raises(Exception, match=r"certPath .* cannot be used"):
        await gateway_factory(with_docker("tcp://127.0.0.1:1", certPath="nowhere"))


@pytest.mark.anyio
async def test_a_gateway_serves_what_an_engine_tells(gateway_factory, fake_engine, upstream):
    labels = {"gateway.port": str(upstream.port)}
    fake_engine.containers = [container(1, labels=labels, HostConfig={"NetworkMode": "host"})]
    gateway: RunningGateway = await gateway_factory(with_docker(fake_engine.host))
    assert (await gateway.ask("GET", "/")).status == 200
    found = (await gateway.admin("/docker")).json()["providers"]
    assert (found[0]["state"], found[0]["engine"], found[0]["apiVersion"]) == ("connected", "Engine 20.10", "1.41")
    assert (await gateway.ask("GET", "/_gateway/docker")).status == 401


@pytest.mark.anyio
async def test_an_engine_that_is_down_at_the_start_is_served_when_it_comes(gateway_factory, fake_engine, upstream):
    await fake_engine.stop()
    gateway: RunningGateway = await gateway_factory(with_docker(fake_engine.host))
    assert (await gateway.ask("GET", "/")).status == 503
    assert (await gateway.admin("/health")).json()["status"] == "degraded"
    labels = {"gateway.port": str(upstream.port)}
    fake_engine.containers = [container(1, labels=labels, HostConfig={"NetworkMode": "host"})]
    await fake_engine.start()
    async with asyncio.timeout(8):
        while (await gateway.ask("GET", "/")).status != 200:  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.02)
    assert (await gateway.admin("/health")).json()["status"] == "healthy"
