"""Limits through a whole gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.errors import ConfigurationError

if TYPE_CHECKING:
    from gateway.testing import Answer, GatewayFactory, RunningGateway, Upstream

pytestmark = pytest.mark.anyio


async def statuses(gateway: RunningGateway, times: int, target: str = "/orders", **options: Any) -> list[int]:
    async with gateway.client(**options) as client:
        return [(await client.ask("GET", target)).status for _ in range(times)]


async def test_a_rule_is_limited_as_the_original_gateway_wrote_it(
    gateway_factory: GatewayFactory, upstream: Upstream
) -> None:
    gateway = await gateway_factory(upstream=upstream, rule={"rateLimit": 1, "rateLimitBurst": 3})
    assert await statuses(gateway, 5) == [200, 200, 200, 429, 429]
    assert len(upstream.requests) == 3


async def test_clients_are_told_of_their_quota(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    gateway = await gateway_factory(upstream=upstream, rule={"rateLimit": "2/minute"})
    answer = await gateway.ask("GET", "/")
    assert {name: value for name, value in answer.fields if "ratelimit" in name} == {
        "x-ratelimit-limit": "2",
        "x-ratelimit-remaining": "1",
        "x-ratelimit-reset": "30",
        "ratelimit-policy": '"ratelimit";q=2;w=60',
        "ratelimit": '"ratelimit";r=1;t=30',
    }
    await gateway.ask("GET", "/")
    refused = await gateway.ask("GET", "/")
    assert refused.status == 429
    assert refused["retry-after"] == "30"
    assert refused["x-ratelimit-remaining"] == "0"


async def test_several_limits_of_a_rule_all_hold_and_give_back(
    gateway_factory: GatewayFactory, upstream: Upstream
) -> None:
    limits = [{"rate": "3/minute", "key": "client"}, {"rate": "2/minute", "key": "header:x-tenant"}]
    gateway = await gateway_factory(upstream=upstream, rule={"rateLimit": {"limits": limits}})

    async def ask(tenant: str) -> Answer:
        return await gateway.ask("GET", "/", headers={"x-tenant": tenant})

    assert [(await ask("a")).status for _ in range(4)] == [200, 200, 429, 429]
    # The client's own limit of three got back what the tenant's refused.
    answer = await ask("b")
    assert (answer.status, answer["x-ratelimit-limit"], answer["x-ratelimit-remaining"]) == (200, "3", "0")


async def test_clients_are_told_of_several_limits_by_name(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    """draft-ietf-httpapi-ratelimit-headers-11."""
    limits = [
        {"rate": "2/second", "name": "burst", "algorithm": "fixed_window"},
        {"rate": "4/hour", "name": "hourly", "algorithm": "fixed_window"},
        {"rate": 9, "name": "secret", "headers": "none"},
    ]
    gateway = await gateway_factory(upstream=upstream, rule={"rateLimit": {"limits": limits}})
    answer = await gateway.ask("GET", "/")
    policy = '"burst";q=2;w=1, "hourly";q=4;w=3600'
    assert answer["ratelimit-policy"] == policy
    assert answer["ratelimit"] == '"burst";r=1;t=1, "hourly";r=3;t=3600'
    assert (answer["x-ratelimit-limit"], answer["x-ratelimit-remaining"]) == ("2", "1")
    await gateway.ask("GET", "/")
    refused = await gateway.ask("GET", "/")
    assert (refused.status, refused["ratelimit-policy"], refused["ratelimit"]) == (429, policy, '"burst";r=0;t=1')


async def test_a_limit_over_all_routes_holds_whatever_a_rule_says_of_its_own(
    gateway_factory: GatewayFactory, upstream: Upstream
) -> None:
    rules = [
        {"path": "/a", "serviceName": "service"},
        {"path": "/b", "serviceName": "service", "rateLimit": "2/hour"},
        {"path": "/c", "serviceName": "service", "rateLimit": {"global": 0}},
    ]
    gateway = await gateway_factory({"rateLimit": {"global": "5/hour"}, "router": {"rules": rules}}, upstream=upstream)
    assert await statuses(gateway, 3, "/b", source="127.0.0.2") == [200, 200, 429]
    # What the rule's own limit refused is given back.
    assert await statuses(gateway, 4, "/a", source="127.0.0.3") == [200, 200, 200, 429]
    assert await statuses(gateway, 6, "/c") == [200] * 6


async def test_rules_that_write_the_same_limit_for_the_gateway_share_it(
    gateway_factory: GatewayFactory, upstream: Upstream
) -> None:
    shared = {"rate": "3/hour", "name": "search", "scope": "gateway"}
    rules = [
        {"path": "/a", "serviceName": "service", "rateLimit": {"limits": [shared]}},
        {"path": "/b", "serviceName": "service", "rateLimit": {"limits": ["50/hour", shared]}},
        {"path": "/c", "serviceName": "service", "rateLimit": "3/hour"},
    ]
    gateway = await gateway_factory({"router": {"rules": rules}}, upstream=upstream)
    assert await statuses(gateway, 2, "/a") == [200, 200]
    assert await statuses(gateway, 2, "/b") == [200, 429]
    assert await statuses(gateway, 1, "/a", source="127.0.0.2") == [200]
    assert await statuses(gateway, 3, "/c") == [200, 200, 200]


async def test_one_limit_for_all_routes_that_a_rule_can_override_or_turn_off(
    gateway_factory: GatewayFactory, upstream: Upstream
) -> None:
    rules = [
        {"path": "/a", "serviceName": "service"},
        {"path": "/b", "serviceName": "service"},
        {"path": "/c", "serviceName": "service", "rateLimit": 1},
        {"path": "/d", "serviceName": "service", "rateLimit": 0},
        {"path": "/e", "serviceName": "service", "rateLimit": {"enabled": False}},
    ]
    gateway = await gateway_factory({"rateLimit": {"rate": "2/minute"}, "router": {"rules": rules}}, upstream=upstream)
    allowed = {path: (await statuses(gateway, 4, path)).count(200) for path in ("/a", "/b", "/c", "/d", "/e")}
    assert allowed == {"/a": 2, "/b": 2, "/c": 1, "/d": 4, "/e": 4}


async def test_a_block_that_only_says_where_limits_nothing_by_itself(
    gateway_factory: GatewayFactory, upstream: Upstream
) -> None:
    rules = [{"path": "/a", "serviceName": "service"}, {"path": "/b", "serviceName": "service", "rateLimit": 1}]
    gateway = await gateway_factory(
        {"rateLimit": {"memory": {"size": "1MB"}}, "router": {"rules": rules}}, upstream=upstream
    )
    assert await statuses(gateway, 3, "/a") == [200, 200, 200]
    assert await statuses(gateway, 3, "/b") == [200, 429, 429]


async def test_each_client_has_a_quota_of_its_own(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    gateway = await gateway_factory(upstream=upstream, rule={"rateLimit": "1/minute"})
    assert await statuses(gateway, 2, source="127.0.0.2") == [200, 429]
    assert await statuses(gateway, 2, source="127.0.0.3") == [200, 429]


async def test_behind_a_trusted_proxy_the_client_counts_and_its_ipv6_network(
    gateway_factory: GatewayFactory, upstream: Upstream
) -> None:
    frontend = {"http": {"trustedProxies": ["127.0.0.1"]}}
    gateway = await gateway_factory({"frontend": frontend}, upstream=upstream, rule={"rateLimit": "1/minute"})

    async def ask(client: str) -> int:
        return (await gateway.ask("GET", "/", headers={"x-forwarded-for": client})).status

    assert [await ask("192.0.2.1"), await ask("192.0.2.1"), await ask("192.0.2.2")] == [200, 429, 200]
    assert [await ask("2001:db8:1:2::1"), await ask("2001:db8:1:2:ffff::9")] == [200, 429]
    assert await ask("2001:db8:1:3::1") == 200


async def test_a_request_may_cost_more_than_another(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    rules = [
        {"path": "/cheap", "serviceName": "service", "rateLimit": {"rate": "10/minute"}},
        {"path": "/dear", "serviceName": "service", "rateLimit": {"rate": "10/minute", "cost": 5}},
    ]
    gateway = await gateway_factory({"router": {"rules": rules}}, upstream=upstream)
    assert (await statuses(gateway, 12, "/cheap")).count(200) == 10
    assert (await statuses(gateway, 12, "/dear")).count(200) == 2


async def test_a_shadowed_limit_refuses_nobody(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    rule = {"rateLimit": {"rate": "1/minute", "mode": "shadow"}}
    gateway = await gateway_factory(upstream=upstream, rule=rule)
    assert await statuses(gateway, 3) == [200, 200, 200]


@pytest.mark.parametrize(
    ("is_before", "status"), [(True, 429), (False, 401)], ids=["before authentication", "after authentication"]
)
async def test_who_is_limited_before_authentication_is_not_asked_who_they_are(
    gateway_factory: GatewayFactory, upstream: Upstream, *, is_before: bool, status: int
) -> None:
    gateway = await gateway_factory(
        {"auth": {"required": True, "providers": ["apikey"], "apikey": {"keys": {"alice": {"key": "a" * 32}}}}},
        upstream=upstream,
        rule={"rateLimit": {"rate": "1/minute", "beforeAuthentication": is_before}},
    )
    assert await statuses(gateway, 2) == [401, status]


async def test_each_principal_has_a_quota_of_its_own(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    keys = {name: {"key": name * 16, "subject": name} for name in ("ab", "cd")}
    gateway = await gateway_factory(
        {"auth": {"required": True, "providers": ["apikey"], "apikey": {"keys": keys}}},
        upstream=upstream,
        rule={"rateLimit": {"rate": "1/minute", "key": "principal"}},
    )

    async def ask(name: str) -> int:
        return (await gateway.ask("GET", "/", headers={"x-api-key": name * 16})).status

    assert [await ask("ab"), await ask("ab"), await ask("cd")] == [200, 429, 200]


async def test_the_blocks_of_the_original_gateway(
    gateway_factory: GatewayFactory, upstream: Upstream, redis_factory: Any
) -> None:
    server = redis_factory()
    stores = {
        "near": {"type": "memory"},
        "far": {"type": "redis", "redis": {"host": "127.0.0.1", "port": server.port, "poolSize": 2}},
    }
    rules = [
        {"path": "/near", "serviceName": "service", "rateLimit": 2},
        {"path": "/far", "serviceName": "service", "rateLimit": 2, "rateLimitStorage": "far"},
    ]
    gateway = await gateway_factory(
        {"rateLimitStorage": {"default": "near", "stores": stores}, "router": {"rules": rules}}, upstream=upstream
    )
    assert (await statuses(gateway, 4, "/near")).count(200) == 2
    assert server.client.dbsize() == 0
    assert (await statuses(gateway, 4, "/far")).count(200) == 2
    assert server.client.dbsize() == 1


@pytest.mark.parametrize(
    ("gateway_block", "rule"),
    [
        ({"middleware": {"ratelimit": {"perIP": {"rate": 2, "period": 60}}}}, {}),
        ({"middleware": {"ratelimit": {"global": {"enabled": True, "rate": 2, "period": 60}}}}, {}),
        ({"middleware": {"ratelimit": {"algorithm": "sliding_window"}}}, {"rateLimit": {"rate": 2, "period": 60}}),
        ({}, {"metadata": {"rateLimit": {"requestsPerSecond": 2}}}),
        ({}, {"rateLimit": {"requestsPerSecond": 1, "burst": 2}}),
        ({"redis": {"port": 1}}, {"rateLimit": {"limits": "2/minute", "onError": "local"}}),
    ],
    ids=[
        "middleware per client",
        "middleware for all routes",
        "middleware as a template",
        "metadata",
        "requestsPerSecond",
        "redis",
    ],
)
async def test_spellings_of_the_original_gateway(
    gateway_factory: GatewayFactory, upstream: Upstream, gateway_block: dict[str, Any], rule: dict[str, Any]
) -> None:
    gateway = await gateway_factory(gateway_block, upstream=upstream, rule=rule)
    assert await statuses(gateway, 3) == [200, 200, 429]


@pytest.mark.parametrize(("on_error", "status"), [("local", 429), ("deny", 503), ("allow", 200)])
async def test_what_happens_without_redis(
    gateway_factory: GatewayFactory, upstream: Upstream, on_error: str, status: int
) -> None:
    block = {"redis": {"port": 1}, "onError": on_error}
    gateway = await gateway_factory({"rateLimit": block}, upstream=upstream, rule={"rateLimit": "1/minute"})
    assert (await statuses(gateway, 2))[-1] == status


@pytest.mark.parametrize(
    ("gateway", "rule"), [({"rateLimit": {"rate": 5, "expiration": 60}}, {}), ({}, {"rateLimitExpiration": 60})]
)
async def test_an_expiration_is_refused_with_the_reason(
    gateway_factory: GatewayFactory, upstream: Upstream, gateway: dict[str, Any], rule: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match="kept for as long as it says anything"):
        await gateway_factory(gateway, upstream=upstream, rule={"rateLimit": 5, **rule})


async def test_a_limit_outlives_a_reload(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    gateway = await gateway_factory(upstream=upstream, rule={"rateLimit": "2/minute"})
    assert await statuses(gateway, 3) == [200, 200, 429]
    assert (await gateway.admin("/reload", method="POST")).status in (200, 202)
    assert await statuses(gateway, 1) == [429]


async def test_a_route_without_a_limit_has_no_limiter(gateway_factory: GatewayFactory, upstream: Upstream) -> None:
    gateway = await gateway_factory({"rateLimit": {"store": "memory"}}, upstream=upstream)
    answer = await gateway.ask("GET", "/")
    assert "x-ratelimit-limit" not in answer
