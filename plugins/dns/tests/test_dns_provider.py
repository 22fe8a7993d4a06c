"""Discovery by DNS, against a real server on loopback that behaves and that does not."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.testing import Reply
from gateway_dns.config import DnsConfig, server_of
from gateway_dns.lookup import LookupFailed, Lookups
from gateway_dns.provider import DnsProvider

pytestmark = pytest.mark.anyio


def config(server: Any, *services: dict[str, Any], **block: Any) -> DnsConfig:
    services = services or ({"name": "orders", "host": "orders.test", "port": 80},)
    block = {"timeout": 0.6, **block}
    return DnsConfig.model_validate({"servers": [f"127.0.0.1:{server.port}"], "services": services, **block})


async def found(server: Any, service: dict[str, Any] | None = None, **block: Any) -> Any:
    configured = config(server, *([{"name": "orders", **service}] if service else []), **block)
    endpoints, ttl_s = await Lookups(configured).find(configured.services[0])
    return endpoints, ttl_s


def places(endpoints: Any) -> list[tuple[str, int]]:
    return [(each.address, each.port) for each in endpoints]


# What is found.


async def test_addresses_are_instances_for_their_time_to_live(name_server):
    name_server.records = [f"orders.test. 42 IN A 10.0.0.{n}" for n in (3, 1, 2)]
    endpoints, ttl_s = await found(name_server)
    assert places(endpoints) == [("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 80)]
    assert ttl_s == 42
    assert {each.scheme for each in endpoints} == {"http"}


async def test_addresses_of_both_kinds(name_server):
    name_server.records = ["orders.test. 60 IN A 10.0.0.1", "orders.test. 20 IN AAAA 2001:db8::1"]
    service = {"host": "Orders.Test.", "type": "both", "port": 443}
    endpoints, ttl_s = await found(name_server, service)
    assert places(endpoints) == [("10.0.0.1", 443), ("2001:db8::1", 443)]
    assert {each.scheme for each in endpoints} == {"https"}
    assert ttl_s == 20
    assert places((await found(name_server, {**service, "type": "aaaa"}))[0]) == [("2001:db8::1", 443)]


async def test_srv_says_port_weight_and_priority(name_server):
    name_server.records = [
        "_http._tcp.orders.test. 60 IN SRV 20 0 8081 Spare.test.",
        "_http._tcp.orders.test. 60 IN SRV 10 3 8080 one.test.",
        "_http._tcp.orders.test. 60 IN SRV 10 1 8080 two.test.",
        "_http._tcp.orders.test. 60 IN SRV 0 1 0 nowhere.test.",
    ]
    endpoints, _ = await found(name_server, {"host": "_http._tcp.orders.test"})
    assert places(endpoints) == [("one.test", 8080), ("spare.test", 8081), ("two.test", 8080)]
    assert [(each.weight, each.metadata) for each in endpoints] == [(3, {}), (1, {"priority": 10}), (1, {})]


async def test_srv_may_say_that_there_is_no_such_service(name_server):
    name_server.records = ["_http._tcp.orders.test. 60 IN SRV 0 0 0 ."]
    assert (await found(name_server, {"host": "_http._tcp.orders.test"}))[0] == []


async def test_the_shortest_time_along_aliases_counts(name_server):
    name_server.records = ["orders.test. 7 IN CNAME real.test.", "real.test. 60 IN A 10.0.0.1"]
    endpoints, ttl_s = await found(name_server)
    assert (places(endpoints), ttl_s) == ([("10.0.0.1", 80)], 7)


@pytest.mark.parametrize(("ttl", "asked_again_after_s"), [(0, 5), (99999, 50)])
async def test_times_to_live_have_bounds(name_server, ttl, asked_again_after_s):
    name_server.records = [f"orders.test. {ttl} IN A 10.0.0.1"]
    _, ttl_s = await found(name_server, minimumTtl=5, maximumTtl=50)
    assert ttl_s == asked_again_after_s


async def test_large_answers_come_over_tcp_and_are_bounded(name_server):
    name_server.records = [f"orders.test. 60 IN A 10.0.{n // 256}.{n % 256}" for n in range(2000)]
    endpoints, _ = await found(name_server, maxInstances=1500, timeout=3)
    assert len(endpoints) == 1500


async def test_a_name_that_is_not_there_has_no_instances(name_server):
    name_server.records = ["orders.test. 60 IN TXT x"]
    assert (await found(name_server))[0] == []
    assert (await found(name_server, {"host": "nobody.test", "port": 1}))[0] == []
    assert {name for name, _ in name_server.questions} == {"orders.test.", "nobody.test."}


# Servers that do not behave.


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(lambda query, wire: None, id="hangs"),
        pytest.param(lambda query, wire: b"rubbish", id="rubbish"),
        pytest.param(lambda query, wire: wire[: len(wire) // 2], id="half an answer"),
        pytest.param(lambda query, wire: bytes([wire[0] ^ 1]) + wire[1:], id="the answer to another question"),
        pytest.param(lambda query, wire: wire[:3] + bytes([wire[3] & 0xF0 | 2]) + wire[4:], id="says SERVFAIL"),
        pytest.param(lambda query, wire: [b"x" * 1400] * 200, id="floods"),
    ],
)
async def test_what_cannot_be_known_changes_nothing(name_server, behave):
    name_server.records = ["orders.test. 60 IN A 10.0.0.1"]
    name_server.behave = behave
    async with asyncio.timeout(5):
        with pytest.raises(LookupFailed, match=r"orders\.test"):
            await found(name_server)


# Watching.


class Watching:
    """A provider at work, whose time passes when the test says so."""

    def __init__(self, configured: DnsConfig, context: Any) -> None:
        self.published: list[dict[str, list[tuple[str, int]]]] = []
        self.pauses_s: list[float] = []
        self._woken: asyncio.Queue[None] = asyncio.Queue()
        provider = DnsProvider(configured, context, sleep=self._sleep)
        self._task = asyncio.ensure_future(provider.watch(self._publish))

    def _publish(self, snapshot: Any) -> None:
        self.published.append({name: places(endpoints) for name, endpoints in snapshot.items()})

    async def _sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        await self._woken.get()

    async def until_paused(self, times: int) -> None:
        async with asyncio.timeout(5):
            while len(self.pauses_s) < times:  # noqa: ASYNC110 - what it waits for has no event
                await asyncio.sleep(0.005)

    def wake(self) -> None:
        self._woken.put_nowait(None)

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


@pytest.fixture
async def watch(context):
    async with contextlib.AsyncExitStack() as stack:

        async def start(configured: DnsConfig) -> Watching:
            watching = Watching(configured, context)
            stack.push_async_callback(watching.stop)
            return watching

        yield start


async def test_changes_are_published_when_the_time_is_over(name_server, watch):
    name_server.records = ["orders.test. 30 IN A 10.0.0.1"]
    watching = await watch(config(name_server))
    await watching.until_paused(1)
    assert watching.published == [{"orders": [("10.0.0.1", 80)]}]
    watching.wake()
    await watching.until_paused(2)
    name_server.records = ["orders.test. 10 IN A 10.0.0.2"]
    watching.wake()
    await watching.until_paused(3)
    assert watching.pauses_s == [30, 30, 10]
    # The same again is not said again.
    assert watching.published[1:] == [{"orders": [("10.0.0.2", 80)]}]


async def test_a_server_that_goes_away_leaves_the_last_known_instances(name_server, watch, caplog, context):
    name_server.records = ["orders.test. 30 IN A 10.0.0.1"]
    watching = await watch(config(name_server, retryInterval=7))
    await watching.until_paused(1)
    name_server.behave = lambda query, wire: None
    for times in (2, 3):
        watching.wake()
        await watching.until_paused(times)
    assert watching.pauses_s == [30, 7, 7]
    assert len(watching.published) == 1
    assert caplog.text.count("cannot be looked up, 1 instances stay as they are") == 1
    (failures,) = [dict(each.series) for each in context.metrics.snapshot()]
    assert failures == {("orders",): 2.0}
    name_server.behave = lambda query, wire: wire
    name_server.records = []
    watching.wake()
    await watching.until_paused(4)
    assert watching.published[-1] == {"orders": []}


async def test_a_reload_while_no_server_answers_keeps_the_last_known_instances(name_server, watch):
    services = [{"name": name, "host": f"{name}.test", "port": 80} for name in ("orders", "users")]
    name_server.records = [f"{each['name']}.test. 30 IN A 10.0.0.1" for each in services]
    await (await watch(config(name_server, *services))).until_paused(2)
    name_server.behave = lambda query, wire: None if "orders" in str(query.question[0].name) else wire
    again = await watch(config(name_server, *services, retryInterval=7))
    await again.until_paused(2)
    assert again.published == [{"orders": [("10.0.0.1", 80)], "users": [("10.0.0.1", 80)]}]
    # Of what is looked up otherwise, nothing is known yet.
    other = await watch(config(name_server, {**services[0], "port": 81}))
    await other.until_paused(1)
    assert other.published == [{}]


async def test_one_service_that_fails_holds_up_no_other(name_server, watch):
    name_server.records = ["users.test. 30 IN A 10.0.0.2"]
    name_server.behave = lambda query, wire: None if "orders" in str(query.question[0].name) else wire
    services = [{"name": name, "host": f"{name}.test", "port": 80} for name in ("orders", "users")]
    watching = await watch(config(name_server, *services))
    await watching.until_paused(2)
    assert watching.published == [{"users": [("10.0.0.2", 80)]}]


async def test_a_whole_gateway_finds_its_service(name_server, gateway_factory, upstream):
    name_server.records = ["orders.test. 1 IN A 127.0.0.1"]
    upstream.answer = lambda request: Reply(body="found")
    service = {"name": "orders", "host": "orders.test", "port": upstream.port}
    registry = {"dns": {"servers": [f"127.0.0.1:{name_server.port}"], "services": [service]}}
    rules = [{"path": "/*", "serviceName": "orders"}]
    gateway = await gateway_factory({"registry": registry, "router": {"rules": rules}})
    assert (await gateway.ask("GET", "/")).text == "found"
    name_server.records = []
    directory = gateway.gateway.plane.directory
    await gateway.eventually(lambda: not directory.instances("orders"))
    assert (await gateway.ask("GET", "/")).status == 503


# The configuration.


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("10.0.0.2", ("10.0.0.2", 53)),
        ("10.0.0.2:5353", ("10.0.0.2", 5353)),
        ("[::1]:53", ("::1", 53)),
        ("::1", ("::1", 53)),
    ],
)
def test_name_servers_are_addresses(text, server):
    assert server_of(text) == server


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"services": []}, "at least 1 item"),
        ({"services": [{"name": "s", "host": "h"}]}, "needs 'port'"),
        ({"services": [{"name": "s", "host": "a b", "port": 1}]}, "not a name in the DNS"),
        ({"services": [{"name": "s", "host": "h" * 64, "port": 1}]}, "not a name in the DNS"),
        ({"services": [{"name": "s", "host": "h", "port": 65536}]}, "less than or equal to 65535"),
        ({"services": [{"name": "s", "host": "h", "port": 1}] * 2}, "two services have one name"),
        ({"servers": ["dns.test"]}, "not the address of a name server"),
        ({"servers": ["10.0.0.2:0"]}, "not the address of a name server"),
        ({"servers": ["10.0.0.2:99999"]}, "not the address of a name server"),
        ({"timeout": 0}, "above 0"),
        ({"minimumTtl": 10, "maximumTtl": 5}, "shorter than minimumTtl"),
    ],
)
def test_what_cannot_be_meant_is_refused(block, message):
    with pytest.raises(ValidationError, match=message):
        DnsConfig.model_validate({"services": [{"name": "s", "host": "h", "port": 1}], **block})
