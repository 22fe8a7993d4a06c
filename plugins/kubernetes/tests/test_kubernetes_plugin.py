"""The configuration, other modes of addressing, TLS, and the whole gateway."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import yaml
from kubernetes.config import incluster_config
from plugins.kubernetes.tests.fake_api_server import FakeApiServer
from plugins.kubernetes.tests.following import Following
from plugins.kubernetes.tests.objects_for_tests import ENDING, NOT_READY, endpoint, endpoint_slice, node, port, service
from pydantic import ValidationError

from gateway import Endpoint
from gateway.config import load_configuration
from gateway_kubernetes import plugin
from gateway_kubernetes.config import KubernetesConfig
from gateway_kubernetes.provider import steps
from gateway_kubernetes.reflection import SERVICES, SLICES

if TYPE_CHECKING:
    from gateway.testing import RunningGateway

pytestmark = pytest.mark.anyio


def refusal(**given: object) -> str:
    with pytest.raises(ValidationError) as caught:
        KubernetesConfig.model_validate(given)
    return str(caught.value)


async def test_the_provider_stands_under_registry():
    (offer,) = plugin.gateway_register_discovery_providers()
    assert (offer.name, offer.path) == ("kubernetes", "registry.kubernetes")


async def test_importing_the_plugin_does_not_import_the_client():
    program = "import sys, gateway_kubernetes.plugin; sys.exit('kubernetes' in sys.modules)"
    assert (await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], check=False)).returncode == 0


async def test_every_field_is_described():
    assert all("description" in each for each in KubernetesConfig.model_json_schema()["properties"].values())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"namespaces": ["Shop"]}, "'Shop' is not the name of a namespace; leave the list empty for all of them"),
        ({"namespaces": "../x"}, "is not the name of a namespace"),
        ({"namespaces": [f"n{number}" for number in range(33)]}, "at most 32"),
        ({"gatewayAnnotation": "a b"}, "is not the name of an annotation; write one such as 'gateway/enabled'"),
        ({"watchEndpoints": True, "endpointMode": "pod"}, "say the same thing twice; remove 'watchEndpoints'"),
        ({"context": "here"}, "'context' has no effect without 'kubeconfig'"),
        ({"endpointMode": "endpoints"}, "'pod', 'service', 'nodePort', 'loadBalancer' or 'auto'"),
        ({"refreshInterval": 1}, "greater than or equal to 10"),
        ({"timeout": 0}, "greater than 0"),
        ({"labelSelector": "x" * 3000}, "at most 2048 characters"),
        ({"nodeAddress": "Hostname"}, "'InternalIP' or 'ExternalIP'"),
    ],
)
async def test_configurations_that_are_refused(given, reason):
    assert reason in refusal(**given)


@pytest.mark.parametrize(
    ("given", "mode"),
    [({}, "pod"), ({"watchEndpoints": True}, "pod"), ({"watchEndpoints": False}, "auto"),
     ({"endpointMode": "nodePort"}, "nodePort")],
)  # fmt: skip
async def test_the_mode_has_two_spellings(given, mode):
    assert KubernetesConfig.model_validate(given).mode == mode


async def test_one_namespace_may_stand_without_a_list():
    assert KubernetesConfig.model_validate({"namespaces": "shop"}).namespaces == ("shop",)
    assert KubernetesConfig.model_validate({"namespaces": ""}).namespaces == ()


async def test_another_annotation_brings_another_prefix(api, follow):
    api.apply(
        service("a", annotations={"gateway/enabled": "true"}),
        service("b", annotations={"edge.example.com/expose": "true", "edge.example.com/weight": "3"}),
        endpoint_slice("10.0.0.1", of="b"),
    )
    following = await follow(gatewayAnnotation="edge.example.com/expose")
    await following.until_services({"b": ["10.0.0.1:8080*3"]})


async def test_without_an_annotation_every_service_is_served(api, follow):
    api.apply(service("a", annotations={"gateway/enabled": "false"}), service("b"))
    following = await follow(gatewayAnnotation="")
    await following.until_services({"a": [], "b": []})


async def test_node_ports_are_reached_at_every_node(api, follow):
    api.apply(
        service(type="NodePort", ports=[port(nodePort=30080)]),
        node("a", "192.0.2.1"),
        node("b", "192.0.2.2"),
        node("c", "192.0.2.3", conditions=[{"type": "Ready", "status": "Unknown"}]),
        service("inside"),
    )
    following = await follow(endpointMode="nodePort")
    await following.until_services({"orders": ["192.0.2.1:30080", "192.0.2.2:30080", "!192.0.2.3:30080"]})
    assert following.latest["orders"][0].metadata["zone"] == "zone-a"
    await following.until(
        lambda: "service inside in shop is left out: its port http has no node port" in following.status["problems"]
    )
    api.delete(node("b"))
    await following.until_services({"orders": ["192.0.2.1:30080", "!192.0.2.3:30080"]})


async def test_other_addresses_of_nodes(api, follow):
    api.apply(service(type="NodePort", ports=[port(nodePort=30080)]), node())
    following = await follow(endpointMode="nodePort", nodeAddress="ExternalIP")
    await following.until_services({"orders": ["198.51.100.1:30080"]})


async def test_nodes_that_serve_only_what_runs_on_them(api, follow):
    local = {"externalTrafficPolicy": "Local"}
    api.apply(
        service(type="NodePort", ports=[port(nodePort=30080)], spec=local),
        node("a", "192.0.2.1"),
        node("b", "192.0.2.2"),
        endpoint_slice(endpoint("10.0.0.1", nodeName="b"), endpoint("10.0.0.2", NOT_READY, nodeName="a")),
    )
    following = await follow(endpointMode="nodePort")
    await following.until_services({"orders": ["!192.0.2.1:30080", "192.0.2.2:30080"]})


async def test_load_balancers_are_reached_at_all_their_addresses(api, follow):
    api.apply(service(type="LoadBalancer", ingress=[{"ip": "192.0.2.9"}, {"hostname": "lb.example"}]), service("none"))
    following = await follow(endpointMode="loadBalancer")
    await following.until_services({"orders": ["192.0.2.9:80", "lb.example:80"]})
    assert following.latest["orders"][0].metadata["type"] == "loadbalancer"
    await following.until(
        lambda: (
            "service none in shop is left out: its load balancer has no address yet"
            in str(following.status["problems"])
        )
    )


async def test_the_type_of_the_service_may_decide(api, follow):
    api.apply(
        service("a", type="LoadBalancer", ingress=[{"ip": "192.0.2.9"}]),
        service("b", type="NodePort", ports=[port(nodePort=30080)]),
        service("c"),
        service("d", spec={"clusterIP": "None"}),
        node(),
    )
    following = await follow(endpointMode="auto")
    await following.until_services({"a": ["192.0.2.9:80"], "b": ["192.0.2.1:30080"], "c": ["10.96.0.10:80"]})
    await following.until(lambda: "service d in shop is left out: it is headless" in str(following.status["problems"]))


async def test_only_what_is_needed_is_asked_for(api, follow):
    following = await follow(endpointMode="service")
    await following.until(lambda: following.snapshots)
    assert {each.resource for each in api.asked} == {"services"}


async def test_the_preferred_family_of_the_service_wins(api, follow):
    api.apply(
        service(spec={"ipFamilies": ["IPv6", "IPv4"]}),
        endpoint_slice("10.0.0.1"),
        endpoint_slice("fd00::1", name="orders-6", family="IPv6"),
    )
    following = await follow()
    await following.until_services({"orders": ["fd00::1:8080"]})


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def tls_api(api: FakeApiServer, authority: trustme.CA, tmp_path: Any) -> Any:
    """Give a server that wants a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    client = authority.issue_cert("gateway")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client.private_key_pem.write_to_path(tmp_path / "key.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    server = FakeApiServer(tls=context)
    await server.start()
    yield server
    await server.stop()


CERTIFICATES = {"client-certificate": "cert.pem", "client-key": "key.pem"}


async def test_an_api_server_is_spoken_to_over_tls(tls_api, follow, kubeconfig, caplog):
    tls_api.apply(service(), endpoint_slice("10.0.0.1"))
    file = kubeconfig(tls_api.url, CERTIFICATES, **{"certificate-authority": "ca.pem"})
    following = await follow(kubeconfig=file, timeout="5s")
    await following.until_services({"orders": ["10.0.0.1:8080"]})
    tls_api.apply(endpoint_slice("10.0.0.2"))
    await following.until_services({"orders": ["10.0.0.2:8080"]})
    assert "prove" not in caplog.text
    await following.stop()
    await following.until(lambda: not tls_api.watchers)


async def test_a_server_with_another_authority_is_not_believed(tls_api, follow, kubeconfig, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    file = kubeconfig(tls_api.url, CERTIFICATES, **{"certificate-authority": "ca.pem"})
    following = await follow(kubeconfig=file, timeout="5s")
    await following.until(lambda: following.status["state"] == "unavailable")
    assert "CERTIFICATE_VERIFY_FAILED" in following.status["watches"][0]["error"]
    assert not tls_api.asked


# It is what the test is about.
@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
async def test_a_server_that_has_to_prove_nothing_is_warned_of(tls_api, follow, kubeconfig, caplog):
    file = kubeconfig(tls_api.url, CERTIFICATES, **{"insecure-skip-tls-verify": True})
    following = await follow(kubeconfig=file, timeout="5s")
    await following.until(lambda: len(tls_api.watchers) == 2)
    assert "does not have to prove who it is" in caplog.text


async def start_refusal(tmp_path: Any, **given: Any) -> str:
    following = Following(tmp_path, **given)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - what it says is what is tested
        await following.start()
    await following.stop()
    return f"{type(caught.value).__name__}: {caught.value}"


async def test_configurations_of_the_client_that_cannot_be_used_stop_the_start(tmp_path, kubeconfig, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert "this is no pod of a cluster (Service host/port is not set); name a file" in await start_refusal(tmp_path)
    assert "cannot be used: Invalid kube-config file" in await start_refusal(tmp_path, kubeconfig="nowhere")
    (tmp_path / "rubbish").write_text("{")
    assert "rubbish' cannot be used" in await start_refusal(tmp_path, kubeconfig="rubbish")
    file = kubeconfig("https://127.0.0.1:1", {"token": "secret"})
    assert "cannot be used: Invalid kube-config file" in await start_refusal(tmp_path, kubeconfig=file, context="x")
    (tmp_path / "ca.pem").write_text("no certificate")
    file = kubeconfig("https://127.0.0.1:1", {"token": "secret"}, **{"certificate-authority": "ca.pem"})
    assert "the certificates for https://127.0.0.1:1 cannot be used" in await start_refusal(tmp_path, kubeconfig=file)
    file = kubeconfig("https://127.0.0.1:1", **{"certificate-authority": "missing.pem"})
    assert "cannot be used: File does not exist" in await start_refusal(tmp_path, kubeconfig=file)
    for server in ("ftp://x", "nothing", "https://me:secret@x"):
        said = await start_refusal(tmp_path, kubeconfig=kubeconfig(server))
        assert "is not the address of an API server" in said
        assert "me:secret" not in said


async def test_a_token_is_not_sent_for_everybody_to_read(tmp_path, kubeconfig):
    file = kubeconfig("http://192.0.2.1:8080", {"token": "secret"})
    said = await start_refusal(tmp_path, kubeconfig=file)
    assert "the token would be sent to 'http://192.0.2.1:8080' for everybody to read" in said


async def test_what_stands_in_a_kubeconfig_is_never_repeated(tmp_path):
    (tmp_path / "bad").write_text(
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\nclusters: [{name: k}]\n"
        "users: [{name: u, token: very-secret}]\n"
    )
    assert "very-secret" not in await start_refusal(tmp_path, kubeconfig="bad")


async def test_the_service_account_of_the_pod_is_used(tls_api, authority, tmp_path, monkeypatch):
    tls_api._tls.verify_mode = ssl.CERT_NONE
    tls_api.apply(service(), endpoint_slice("10.0.0.1"))
    (tmp_path / "token").write_text("of-the-pod")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(tls_api.port))
    following = Following(tmp_path, timeout="5s")
    await following.start()
    try:
        # The scheme stands in small letters there.
        await following.until(lambda: tls_api.asked)
        assert tls_api.asked[0].headers["authorization"].lower() == "bearer of-the-pod"
        await following.until(lambda: len(tls_api.watchers) == 2)
    finally:
        await following.stop()


def with_kubernetes(kubeconfig: str, **block: object) -> dict[str, object]:
    return {
        "registry": {"type": "kubernetes", "kubernetes": {"kubeconfig": kubeconfig, "namespace": "shop", **block}},
        "router": {"rules": [{"path": "/*", "serviceName": "orders"}]},
    }


def at(upstream: Any, **given: Any) -> dict[str, Any]:
    """Return a slice with a service that answers."""
    ports = [{"name": "http", "port": upstream.port, "protocol": "TCP"}]
    return endpoint_slice(endpoint("127.0.0.1", **given), ports=ports)


async def until_status(gateway: RunningGateway, status: int) -> None:
    async with asyncio.timeout(8):
        while (await gateway.ask("GET", "/")).status != status:  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.02)


async def test_a_gateway_serves_what_a_cluster_tells(gateway_factory, api, kubeconfig, upstream):
    api.apply(service(), at(upstream))
    gateway: RunningGateway = await gateway_factory(with_kubernetes(kubeconfig(api.url)))
    assert (await gateway.ask("GET", "/")).status == 200
    (found,) = (await gateway.admin("/kubernetes")).json()["providers"]
    assert (found["state"], found["mode"], found["services"]) == ("connected", "pod", {"orders": 1})
    assert [each["namespace"] for each in found["watches"]] == ["shop", "shop"]
    assert (await gateway.ask("GET", "/_gateway/kubernetes")).status == 401


async def test_a_gateway_follows_what_happens_in_the_cluster(gateway_factory, api, kubeconfig, upstream_factory):
    first, second = await upstream_factory(), await upstream_factory()
    api.apply(service(), at(first))
    gateway: RunningGateway = await gateway_factory(with_kubernetes(kubeconfig(api.url)))
    assert (await gateway.ask("GET", "/")).status == 200
    await gateway.eventually(lambda: len(api.watchers) == 2)
    # The pod is about to end, and another one has begun.
    both = endpoint_slice(endpoint("127.0.0.1"), ports=[{"name": "http", "port": second.port}], name="orders-2")
    api.apply(at(first, conditions=ENDING), both)
    async with asyncio.timeout(1):
        while not second.requests:
            assert (await gateway.ask("GET", "/")).status == 200
            await asyncio.sleep(0.01)
    seen = len(first.requests)
    for _ in range(5):
        assert (await gateway.ask("GET", "/")).status == 200
    assert len(first.requests) == seen
    # The other one is not ready any more: the one that ends is all there is, and serves.
    api.delete(both)
    await asyncio.sleep(0.3)
    assert (await gateway.ask("GET", "/")).status == 200
    api.apply(at(first, conditions=NOT_READY))
    await until_status(gateway, 503)


async def test_a_cluster_that_is_down_at_the_start_is_served_when_it_comes(gateway_factory, api, kubeconfig, upstream):
    await api.stop()
    gateway: RunningGateway = await gateway_factory(with_kubernetes(kubeconfig(api.url), timeout="1s"))
    assert (await gateway.ask("GET", "/")).status == 503
    assert (await gateway.admin("/health")).json()["status"] == "degraded"
    api.apply(service(), at(upstream))
    await api.start()
    await until_status(gateway, 200)
    async with asyncio.timeout(8):
        while (await gateway.admin("/health")).json()["status"] != "healthy":  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)


async def test_a_gateway_without_a_cluster_does_not_start(gateway_factory):
    with pytest.raises(Exception, match=r"kubeconfig .*nowhere' cannot be used"):
        await gateway_factory(with_kubernetes("nowhere"))


async def test_many_changes_are_published_in_steps_that_are_small():
    def endpoints(number: int) -> tuple[Endpoint, ...]:
        return (Endpoint(address=f"10.0.0.{number}", port=1),)

    before = {f"s{number}": endpoints(1) for number in range(10)}
    after = {f"s{number}": endpoints(2) for number in range(5, 13)}
    assert list(steps(None, after, 3)) == [after]
    assert list(steps(before, dict(before), 3)) == [before]
    current, seen = dict(before), 0
    for step in steps(before, after, 3):
        changed = [name for name in {**current, **step} if current.get(name) != step.get(name)]
        assert 0 < len(changed) <= 3
        current, seen = dict(step), seen + 1
    assert current == after
    assert seen == 5


async def test_the_context_is_chosen(api, follow, kubeconfig, tmp_path):
    kubeconfig(api.url)
    said = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    said["contexts"].append({"name": "there", "context": {"cluster": "other", "user": "me"}})
    said["clusters"].append({"name": "other", "cluster": {"server": "http://127.0.0.1:1"}})
    (tmp_path / "two").write_text(yaml.safe_dump(said))
    following = await follow(kubeconfig="two", context="there")
    assert following.status["server"] == "http://127.0.0.1:1"


DEPLOY = Path(__file__).parents[3] / "configs" / "deploy" / "kubernetes"


async def test_the_rights_in_the_manifest_are_those_that_are_needed():
    (role,) = (each for each in yaml.safe_load_all((DEPLOY / "rbac.yml").read_text()) if each["kind"] == "ClusterRole")
    allowed = {(group, name) for rule in role["rules"] for group in rule["apiGroups"] for name in rule["resources"]}
    assert allowed == {
        (resource.group.removeprefix("/apis/").removesuffix("/v1").replace("/api", ""), resource.name)
        for resource in (SERVICES, SLICES)
    }
    assert all(rule["verbs"] == ["list", "watch"] for rule in role["rules"])


async def test_the_configuration_in_the_manifest_loads(tmp_path):
    objects = {each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "gateway.yml").read_text())}
    file = tmp_path / "gateway.yaml"
    file.write_text(objects["ConfigMap"]["data"]["gateway.yaml"])
    configuration = load_configuration(file, environ={"GATEWAY_ADMIN_TOKEN": "x" * 64})
    assert configuration.warnings == ()
    assert [each.name for each in configuration.discovery] == ["kubernetes"]
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    lasts_s = configuration.gateway.shutdown_delay + configuration.gateway.shutdown_timeout
    assert pod["terminationGracePeriodSeconds"] > lasts_s
