"""The same tests for Docker's engine and Podman's, each started for them."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from plugins.docker.tests.real_engine import RealEngine, start_dockerd

from gateway.testing import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.testing import GatewayFactory, RunningGateway

pytestmark = [pytest.mark.anyio, pytest.mark.docker, pytest.mark.timeout(120)]

WITHIN_S = 1.0
"""What the plugin promises from an event to the route."""


def labels(port: int, **more: str) -> dict[str, str]:
    return {
        "gateway.service": "web",
        "gateway.port": str(port),
        **{name.replace("_", "."): value for name, value in more.items()},
    }


async def run(engine: RealEngine, name: str, port: int, **options: Any) -> Any:
    options.setdefault("labels", labels(port))
    return await asyncio.to_thread(partial(engine.run, name, port=port, **options))


async def gateway_on(
    gateway_factory: GatewayFactory, engine: RealEngine, *, rule: dict[str, Any] | None = None
) -> RunningGateway:
    gateway = await gateway_factory({
        "registry": {"docker": {"host": engine.host, "refreshInterval": "1h"}},
        "router": {"rules": [{"path": "/*", "serviceName": "web", **(rule or {})}]},
    })  # fmt: skip
    await streaming(gateway)
    return gateway


async def status(gateway: RunningGateway) -> dict[str, Any]:
    found: list[dict[str, Any]] = (await gateway.admin("/docker")).json()["providers"]
    return found[0]


async def streaming(gateway: RunningGateway) -> None:
    async with asyncio.timeout(15):
        while (found := await status(gateway))["events"] != "streaming" or found["state"] != "connected":  # noqa: ASYNC110 - it is asked over HTTP
            await asyncio.sleep(0.02)


async def answered(gateway: RunningGateway, text: str, within_s: float = WITHIN_S) -> float:
    """Wait until the gateway answers with ``text``, or with that status; returns how many seconds that took."""
    began_s = time.monotonic()
    async with asyncio.timeout(within_s):
        while True:
            answer = await gateway.ask("GET", "/")
            if text in {answer.text.strip(), str(answer.status)}:
                return time.monotonic() - began_s
            await asyncio.sleep(0.005)


async def test_a_container_is_served_within_a_second_of_its_start_and_gone_after_its_end(
    gateway_factory, engine, record_property
):
    gateway = await gateway_on(gateway_factory, engine)
    assert (await gateway.ask("GET", "/")).status == 503
    started = await run(engine, "one", free_port())
    up_s = await answered(gateway, "one")
    # No grace: the end is what is measured.
    await asyncio.to_thread(started.kill)
    down_s = await answered(gateway, "503")
    record_property("start to route", up_s)
    record_property("kill to route", down_s)


async def test_a_route_from_labels_comes_and_goes_with_its_container(gateway_factory, engine, record_property):
    gateway = await gateway_factory({
        "registry": {"docker": {"host": engine.host, "refreshInterval": "1h"}},
        "router": {"sources": {"docker": {}}},
    })  # fmt: skip
    await streaming(gateway)
    port = free_port()
    started = await run(engine, "one", port, labels=labels(port, gateway_route_path="/"))
    up_s = await answered(gateway, "one", 3 * WITHIN_S)
    await asyncio.to_thread(started.kill)
    down_s = await answered(gateway, "404", 3 * WITHIN_S)
    record_property("start to route from labels", up_s)
    record_property("kill to no route", down_s)


async def test_a_stopped_container_comes_back_when_it_is_started_again(gateway_factory, engine):
    gateway = await gateway_on(gateway_factory, engine)
    held = await run(engine, "one", free_port())
    await answered(gateway, "one")
    await asyncio.to_thread(partial(held.stop, timeout=0))
    await answered(gateway, "503")
    await asyncio.to_thread(held.start)
    await answered(gateway, "one")


async def test_a_paused_container_gets_nothing_until_it_goes_on(gateway_factory, engine):
    # A request that reached it just before it paused would wait for it.
    gateway = await gateway_on(gateway_factory, engine, rule={"timeout": "300ms"})
    held = await run(engine, "one", free_port())
    await answered(gateway, "one")
    await asyncio.to_thread(held.pause)
    await answered(gateway, "503")
    await asyncio.to_thread(held.unpause)
    await answered(gateway, "one")


async def test_labels_say_what_is_served(gateway_factory, engine):
    gateway = await gateway_on(gateway_factory, engine)
    ports = [free_port() for _ in range(4)]
    await run(engine, "good", ports[0])
    await run(engine, "off", ports[1], labels=labels(ports[1], gateway_enable="false"))
    await run(engine, "odd", ports[2], labels={"gateway.service": "web", "gateway.port": "99999"})
    await run(engine, "other", ports[3], labels={"shop.service": "web", "shop.port": str(ports[3])})
    await answered(gateway, "good")
    async with asyncio.timeout(WITHIN_S):
        while not (found := await status(gateway))["problems"]:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    assert found["services"] == {"web": 1}
    (problem,) = found["problems"]
    assert problem == "container odd is left out: gateway.port is '99999'; write a number from 1 to 65535"
    assert {(await gateway.ask("GET", "/")).text.strip() for _ in range(6)} == {"good"}


async def test_two_containers_of_one_service_share_it(gateway_factory, engine):
    gateway = await gateway_on(gateway_factory, engine)
    for name in ("one", "two"):
        await run(engine, name, free_port())
        await answered(gateway, name)
    assert {(await gateway.ask("GET", "/")).text.strip() for _ in range(6)} == {"one", "two"}


async def test_an_engine_that_dies_leaves_its_containers_served_and_is_found_again(gateway_factory, engine):
    """The engine dies and comes back under light load; no request fails, since the containers go on."""
    gateway = await gateway_on(gateway_factory, engine)
    await run(engine, "one", free_port())
    await answered(gateway, "one")
    statuses: list[int] = []

    async def load() -> None:
        async with gateway.client() as client:
            while True:
                statuses.append((await client.ask("GET", "/")).status)
                await asyncio.sleep(0.01)

    loading = asyncio.ensure_future(load())
    try:
        await asyncio.to_thread(engine.kill)
        async with asyncio.timeout(3):
            while (await gateway.admin("/health")).json()["status"] != "degraded":  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        assert (await status(gateway))["state"] == "unavailable"
        await asyncio.to_thread(engine.start)
        await streaming(gateway)
        assert (await gateway.admin("/health")).json()["status"] == "healthy"
        await run(engine, "two", free_port())
        await answered(gateway, "two")
    finally:
        loading.cancel()
        await asyncio.wait([loading])
    assert len(statuses) > 20
    assert set(statuses) == {200}


async def test_an_instance_that_is_killed_under_load_costs_no_more_than_what_is_under_way(gateway_factory, engine):
    gateway = await gateway_on(gateway_factory, engine)
    held = {}
    for name in ("one", "two"):
        held[name] = await run(engine, name, free_port())
        await answered(gateway, name)
    outcomes: list[tuple[float, int]] = []

    async def load() -> None:
        while True:
            answer = await gateway.ask("GET", "/")
            outcomes.append((time.monotonic(), answer.status))
            await asyncio.sleep(0.002)

    loading = [asyncio.ensure_future(load()) for _ in range(2)]
    try:
        await asyncio.sleep(0.2)
        await asyncio.to_thread(held["two"].kill)
        killed_s = time.monotonic()
        await asyncio.sleep(WITHIN_S)
    finally:
        for each in loading:
            each.cancel()
        await asyncio.wait(loading)
    # Once the engine has said so, nothing more goes there.
    late = {status for at_s, status in outcomes if at_s > killed_s + 0.5}
    assert late == {200}


async def test_the_health_of_a_container_counts(gateway_factory, engine):
    if engine.name == "podman":
        pytest.skip("Podman runs health checks by systemd, which is not here")
    gateway = await gateway_on(gateway_factory, engine)
    check = {"test": ["CMD", "/bin/busybox", "test", "-e", "/tmp/ok"], "interval": 10**9, "retries": 1}  # noqa: S108
    held = await run(engine, "one", free_port(), healthcheck=check)
    assert (await gateway.ask("GET", "/")).status == 503
    await asyncio.to_thread(held.exec_run, ["/bin/busybox", "touch", "/tmp/ok"])  # noqa: S108
    # A second until the next check, and one more for the route.
    await answered(gateway, "one", within_s=4)
    await asyncio.to_thread(held.exec_run, ["/bin/busybox", "rm", "/tmp/ok"])  # noqa: S108
    await answered(gateway, "503", within_s=4)


async def test_compose_projects_are_found_by_their_labels(gateway_factory, engine):
    port = free_port()
    gateway = await gateway_factory({
        "registry": {
            "type": "docker-compose",
            "dockerCompose": {"dockerHost": engine.host, "projectName": "shop", "refreshInterval": "1h"},
        },
        "router": {"rules": [{"path": "/*", "serviceName": "web"}]},
    })  # fmt: skip
    await streaming(gateway)
    compose = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
    await run(engine, "one", port, labels={**compose, "gateway.enable": "true", "gateway.port": str(port)})
    await answered(gateway, "one")


async def test_from_event_to_route(gateway_factory, engine, record_property, capsys):
    """Measures; the bound is that of the promise."""
    gateway = await gateway_on(gateway_factory, engine)
    held = await run(engine, "one", free_port())
    await answered(gateway, "one")
    ups, downs = [], []
    for _ in range(3):
        await asyncio.to_thread(held.kill)
        downs.append(await answered(gateway, "503"))
        await asyncio.to_thread(held.start)
        ups.append(await answered(gateway, "one"))
    with capsys.disabled():
        for name, taken in (("kill", downs), ("start", ups)):
            record_property(name, statistics.median(taken))
            print(  # noqa: T201 - the figures are what it is for
                f"\n{engine.name}: {name} to route: median {statistics.median(taken) * 1000:.0f} ms, "
                f"longest {max(taken) * 1000:.0f} ms"
            )


async def test_an_engine_over_tls(gateway_factory, short_folder: Path):
    authority = trustme.CA()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("gateway")
    certificates = short_folder / "certs"
    certificates.mkdir()
    authority.cert_pem.write_to_path(certificates / "ca.pem")
    client.private_key_pem.write_to_path(certificates / "key.pem")
    client.cert_chain_pems[0].write_to_path(certificates / "cert.pem")
    server.private_key_pem.write_to_path(short_folder / "server-key.pem")
    server.cert_chain_pems[0].write_to_path(short_folder / "server.pem")
    port = free_port()
    engine = await asyncio.to_thread(
        start_dockerd, short_folder, "-H", f"tcp://127.0.0.1:{port}", "--tlsverify",
        "--tlscacert", str(certificates / "ca.pem"), "--tlscert", str(short_folder / "server.pem"),
        "--tlskey", str(short_folder / "server-key.pem"),
    )  # fmt: skip
    try:
        gateway = await gateway_factory({
            "registry": {"docker": {"host": f"tcp://127.0.0.1:{port}", "certPath": str(certificates)}},
            "router": {"rules": [{"path": "/*", "serviceName": "web"}]},
        })  # fmt: skip
        await streaming(gateway)
        await asyncio.to_thread(engine.import_image)
        await run(engine, "one", free_port())
        await answered(gateway, "one")
    finally:
        with contextlib.suppress(Exception):
            await asyncio.to_thread(engine.remove_all)
        await asyncio.to_thread(engine.stop)
