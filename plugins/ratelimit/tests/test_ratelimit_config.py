from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway_ratelimit.config import RateLimit, RateLimitConfig, limits_of
from gateway_ratelimit.store_config import RedisConfig


def limits(**block: Any) -> list[RateLimit]:
    return list(limits_of(RateLimitConfig.model_validate(block)))


def problem(**block: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        RateLimitConfig.model_validate(block)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (100, [(100, 1.0)]),
        ("100", [(100, 1.0)]),
        ("100/minute", [(100, 60.0)]),
        ("5 per 2 hours", [(5, 7200.0)]),
        ("10/second; 1000/hour", [(10, 1.0), (1000, 3600.0)]),
        ({"rate": 5, "window": "1m"}, [(5, 60.0)]),
        ([1, "2/day", {"rate": "3/minute"}], [(1, 1.0), (2, 86400.0), (3, 60.0)]),
        (0, []),
        ([], []),
    ],
)
def test_ways_to_write_limits(written: Any, meant: list[tuple[int, float]]) -> None:
    assert [(limit.rate, limit.window) for limit in limits(limits=written)] == meant


def test_a_limit_takes_from_the_block_what_it_does_not_say() -> None:
    one, two = limits(
        limits=[{"rate": 10}, {"rate": 20, "key": "route", "burst": 7, "headers": "none", "cost": 2}],
        key="principal",
        burst=15,
    )
    assert (one.key, one.burst, one.headers, one.cost) == ("principal", 15, "both", 1)
    assert (two.key, two.burst, two.headers, two.cost) == ("route", 7, "none", 2)


def test_the_burst_is_the_rate_by_default() -> None:
    assert limits(limits=30)[0].burst == 30


def test_a_block_redis_makes_redis_the_store() -> None:
    assert limits(limits=1)[0].store.type == "memory"
    assert limits(limits=1, redis={})[0].store.type == "redis"
    assert limits(limits=1, redis={}, store="memory")[0].store.type == "memory"
    assert limits(limits=1, stores={"far": {"type": "redis"}}, store="far")[0].store.type == "redis"


def test_the_original_blocks_per_client_and_per_route() -> None:
    by_client, by_route = limits(
        algorithm="sliding_window",
        limits={
            "perIP": {"enabled": True, "rate": 10, "period": 60},
            "perRoute": {"defaultRate": 100, "defaultPeriod": 60},
        },
    )
    assert (by_client.name, by_route.name) == ("perIP", "perRoute")
    assert (by_client.key, by_client.rate, by_client.window) == ("client", 10, 60.0)
    assert (by_route.key, by_route.rate, by_route.window) == ("route", 100, 60.0)
    assert limits(limits={"perIP": {"enabled": False, "rate": 1}}) == []


def test_limits_over_all_routes_stand_beside_those_of_each() -> None:
    both, own = limits(**{"limits": 5, "global": {"enabled": True, "defaultRate": 100, "period": 60}})
    assert (both.name, both.scope, both.key, both.rate, both.window) == ("global", "gateway", "route", 100, 60.0)
    assert (own.name, own.scope, own.key, own.rate) == ("ratelimit", "route", "client", 5)
    assert [limit.name for limit in limits(**{"global": ["9/second", {"rate": "99/day", "key": "client"}]})] == [
        "global-1",
        "global-2",
    ]
    assert limits(**{"global": {"enabled": False, "rate": 1}}) == limits(**{"global": 0}) == []


def test_limits_are_told_apart_by_name() -> None:
    assert [limit.name for limit in limits(limits="5/second; 99/day")] == ["ratelimit-1", "ratelimit-2"]
    assert [limit.name for limit in limits(limits=["5/second", {"rate": 9, "name": "burst"}], name="api")] == [
        "api-1",
        "burst",
    ]
    assert limits(limits=5, name="api")[0].name == "api"


def test_what_is_written_alike_is_one_limit_for_the_gateway_wherever_it_stands() -> None:
    def identity(*more: Any, **limit: Any) -> str:
        return limits(limits=[*more, {"rate": 9, "name": "all", "scope": "gateway", **limit}])[-1].identity

    assert identity() == identity("5/day")
    assert len({identity(), identity(rate=8), identity(burst=8), identity(name="some"), identity(window="1m")}) == 5


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"limits": "often"}, "'often' is not a rate; write a number, '100/minute'"),
        ({"limits": {"rate": "5/minute", "window": 3}}, "says the window already"),
        ({"limits": {}}, "limits.0.rate"),
        ({"limits": -1}, "greater than or equal to 1"),
        ({"limits": True}, "True is not a rate"),
        ({"limits": 5, "store": "far"}, "there is no store 'far'; write one of memory, redis"),
        ({"limits": 5, "window": 0}, "is no window"),
        ({"limits": 5, "window": "1000d"}, "is no window"),
        ({"limits": {"rate": 5, "cost": 6}}, "a request costs 6, more than the 5"),
        ({"limits": {"rate": 5, "burst": 9}, "algorithm": "fixed_window"}, "a fixed_window has no burst"),
        ({"limits": 5, "algorithm": "leaky"}, "algorithm"),
        ({"limits": 5_000_000}, "more than 1000000 a second"),
        ({"limits": {"rate": "1/day", "burst": 10_000_000}}, "more than ten years"),
        ({"limits": {"rate": 5, "key": "nobody"}}, "'nobody' is not a limit key"),
        ({"limits": {"rate": 5, "key": "principal", "beforeAuthentication": True}}, "nobody is known before"),
        ({"limits": {"rate": 5, "headers": "some"}}, "headers"),
        ({"limits": {"rate": 5, "cost": 0}}, "cost"),
        ({"global": {"rate": 1, "scope": "route"}}, "a global limit is over all routes"),
        ({"limits": 5, "global": {"rate": 1, "name": "ratelimit"}}, "two limits are called 'ratelimit'"),
        ({"limits": {"rate": 5, "name": 'a"b'}}, "is no name of a limit"),
        ({"limits": {"rate": 5, "scope": "world"}}, "scope"),
        ({"limits": {"perIP": 5}}, "perIP is not a block"),
        ({"limits": {"rate": 1, "perIP": {"rate": 1}}}, "perIP"),
        ({"limits": 1, "memory": {"size": "1KB"}}, "between 64KB and 4GB"),
        ({"limits": 1, "onOutage": "panic"}, "onOutage"),
    ],
)
def test_what_cannot_be_meant_is_refused(block: dict[str, Any], message: str) -> None:
    assert message in problem(**block)


def test_spellings_of_the_original_redis_block(caplog: pytest.LogCaptureFixture) -> None:
    config = RedisConfig.model_validate(
        {"host": "r", "poolSize": 9, "dialTimeout": 2, "readTimeout": "50ms", "maxIdle": 3, "writeTimeout": 1}
    )
    assert (config.max_connections, config.connect_timeout, config.timeout) == (9, 2.0, 0.05)
    assert "maxIdle, writeTimeout: no effect" in caplog.text
    cluster = RedisConfig.model_validate({"cluster": {"enabled": True, "addresses": ["a:1", "[::1]:2"]}})
    assert (cluster.cluster, cluster.cluster_nodes) == (True, (("a", 1), ("::1", 2)))
    sentinel = RedisConfig.model_validate({"sentinel": True, "addresses": ["a:1"]})
    assert sentinel.sentinel_nodes == (("a", 1),)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"cluster": True, "sentinel": True, "sentinelNodes": ["a:1"]}, "not both"),
        ({"sentinel": True}, "list them in sentinelNodes"),
        ({"sentinelNodes": ["a:1"]}, "add 'sentinel: true'"),
        ({"clusterNodes": ["a:1"]}, "add 'cluster: true'"),
        ({"cluster": True, "db": 1}, "only database 0"),
        ({"clusterNodes": ["a"], "cluster": True}, "'a' is not an address"),
        ({"clusterNodes": ["a:0"], "cluster": True}, "'a:0' is not an address"),
        ({"timeout": 0}, "no time to wait"),
        ({"tls": {"certFile": "x"}}, "go together"),
        ({"hots": "x"}, "hots"),
    ],
)
def test_what_cannot_be_meant_of_redis_is_refused(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RedisConfig.model_validate(block)
    assert message in str(caught.value)


def test_a_password_shows_nowhere() -> None:
    config = RateLimitConfig.model_validate({"limits": 1, "redis": {"password": "open-sesame"}})
    assert "open-sesame" not in repr(config) + repr(limits_of(config)) + config.model_dump_json()
