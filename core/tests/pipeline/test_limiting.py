from __future__ import annotations

from typing import Any

import pytest

from gateway import Decision, ErrorType, Exchange, GatewayError, Headers, Principal, Request, Stage
from gateway.pipeline.limiting import AppliedLimiter, LimitPolicy, key_function
from gateway.pipeline.quota import AppliedQuota

pytestmark = pytest.mark.anyio


class Quota:
    """A limiter with a fixed answer, which notes what it was asked."""

    def __init__(self, *, is_allowed: bool = True, limit: int = 10, remaining: int = 9, **more: float) -> None:
        more = {"reset_s": 30.2, **more}
        self.decision = Decision(is_allowed=is_allowed, limit=limit, remaining=remaining, **more)
        self.asked: list[tuple[str, int]] = []

    async def acquire(self, key: str, cost: int) -> Decision:
        self.asked.append((key, cost))
        return self.decision


class Down(Quota):
    async def acquire(self, key: str, cost: int) -> Decision:
        raise ConnectionError("redis is down")


@pytest.fixture
def limits(place, metrics, shadow_record):
    def make(*limiters: Quota, key: str = "client", is_outer: bool = False, **options: Any):
        applied = [
            AppliedLimiter(name=f"quota-{number}", key=key_function(key), limiter=each, **options)
            for number, each in enumerate(limiters)
        ]
        return place(LimitPolicy(applied, metrics, shadow_record, is_outer=is_outer), Stage.LIMIT)

    return make


def fields(exchange: Exchange) -> dict[str, str]:
    assert exchange.response is not None
    return {name: value for name, value in exchange.response.headers.items() if name.startswith(("x-rate", "retry"))}


async def test_what_is_allowed_tells_the_state_of_the_limit(gateway, limits):
    quota = Quota()
    exchange = await gateway.ask(limits(quota))
    assert exchange.response.status == 200
    assert fields(exchange) == {
        "x-ratelimit-limit": "10",
        "x-ratelimit-remaining": "9",
        "x-ratelimit-reset": "31",
    }
    assert quota.asked == [("orders|192.0.2.1", 1)]


async def test_what_is_too_much_is_429_with_retry_after(gateway, limits):
    """RFC 6585 section 4."""
    exchange = await gateway.ask(limits(Quota(is_allowed=False, remaining=-3, retry_after_s=2.1)))
    assert exchange.response.status == 429
    assert fields(exchange) == {
        "retry-after": "3",
        "x-ratelimit-limit": "10",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "31",
    }
    assert exchange.error.plugin == "quota-0"
    assert gateway.service.asked == []


async def test_the_tightest_limit_is_told(gateway, limits):
    exchange = await gateway.ask(limits(Quota(limit=5, remaining=4), Quota(limit=2, remaining=1), Quota()))
    assert fields(exchange)["x-ratelimit-limit"] == "2"


async def test_one_refusal_refuses_and_the_rest_is_not_asked(gateway, limits):
    first, second, third = Quota(), Quota(is_allowed=False), Quota()
    assert (await gateway.ask(limits(first, second, third))).response.status == 429
    assert [len(each.asked) for each in (first, second, third)] == [1, 1, 0]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1.0])
async def test_a_limiter_cannot_break_its_own_refusal(gateway, limits, value):
    exchange = await gateway.ask(limits(Quota(is_allowed=False, reset_s=value, retry_after_s=value)))
    assert exchange.response.status == 429
    assert int(fields(exchange)["x-ratelimit-reset"]) >= 0


async def test_without_limiters_it_is_free(gateway, limits):
    assert gateway.compile(limits()).handler is gateway.service


async def test_a_limiter_that_fails_fails_the_exchange(gateway, limits, caplog):
    exchange = await gateway.ask(limits(Down()))
    assert exchange.response.status == 500
    assert gateway.service.asked == []


async def test_a_limiter_that_may_fail_is_left_out_when_it_does(gateway, limits, caplog):
    """``onError: allow``: a limit that cannot be counted must not close the shop, if the operator says so."""
    quota = Quota()
    exchange = await gateway.ask(limits(Down(), quota, is_optional=True))
    assert exchange.response.status == 200
    assert fields(exchange)["x-ratelimit-limit"] == "10"
    assert "limiter 'quota-0' failed and was skipped" in caplog.text


async def test_if_all_limiters_fail_that_may_nothing_is_told(gateway, limits, caplog):
    exchange = await gateway.ask(limits(Down(), is_optional=True))
    assert (exchange.response.status, fields(exchange)) == (200, {})


async def test_a_refusal_is_no_failure(gateway, limits):
    class Strict(Quota):
        async def acquire(self, key: str, cost: int) -> Decision:
            raise GatewayError(ErrorType.UNAVAILABLE, "try later")

    assert (await gateway.ask(limits(Strict(), is_optional=True))).response.status == 503


async def test_a_task_is_needed_only_if_a_limiter_waits(gateway, limits):
    quota = Quota()
    assert gateway.compile(limits(quota)).needs_task
    quota.waits = False  # type: ignore[attr-defined]  # what a component may say
    assert not gateway.compile(limits(quota)).needs_task


# Whose quota.


def whose(key: str, *, client: str = "192.0.2.1", principal: Principal | None = None, **headers: str) -> str:
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    exchange = Exchange(Request("GET", "/", client=client, headers=Headers.of(fields)), None)  # type: ignore[arg-type]  # never answered
    exchange.principal = principal
    return key_function(key)(exchange)


def test_by_address():
    assert whose("client") == "192.0.2.1"
    assert whose("client", client="") == ""


def test_an_ipv6_client_counts_by_its_network():
    """RFC 6177: a subscriber has at least a /64, and so any number of addresses."""
    one, same = whose("client", client="2001:db8:1:2::1"), whose("client", client="2001:db8:1:2:ffff::9")
    assert one == same == "2001:db8:1:2::"
    assert whose("client", client="2001:db8:1:3::1") != one
    assert whose("client", client="fe80::1%eth0") == "fe80::"


def test_ipv4_clients_of_a_socket_for_both_do_not_share_one_quota():
    """RFC 4291 section 2.5.5.2: they come as ``::ffff:a.b.c.d``, all of one /64."""
    assert whose("client", client="::ffff:192.0.2.1") == "192.0.2.1"
    assert whose("client", client="::ffff:192.0.2.2") == "192.0.2.2"


def test_what_is_no_address_counts_as_it_is():
    assert whose("client", client="unix:") == "unix:"


def test_by_principal_else_by_address():
    assert whose("principal", principal=Principal(subject="jo", provider="jwt")) == "jwt:jo"
    assert whose("principal") == "192.0.2.1"


def test_by_route():
    assert whose("route") == ""


def test_by_header_else_by_address():
    assert whose("header:X-Api-Key", x_api_key="abc") == "abc"
    assert whose("header:X-Api-Key") == "192.0.2.1"


def test_a_header_of_any_length_makes_a_short_key():
    """What a limiter keeps for each key must be bounded, and clients choose what they send."""
    long, other = whose("header:x", x="a" * 60_000), whose("header:x", x="a" * 59_999)
    assert len(long) < 100
    assert long != other
    assert whose("header:x", x="a" * 60_000) == long


def test_a_subject_of_any_length_makes_a_short_key_too():
    long = whose("principal", principal=Principal(subject="a" * 60_000, provider="jwt"))
    assert len(long) < 100
    assert long != whose("principal", principal=Principal(subject="a" * 59_999, provider="jwt"))


@pytest.mark.parametrize("key", ["ip", "header", "header:", "cookie:session", ""])
def test_an_unknown_key_is_refused(key):
    with pytest.raises(ValueError, match="not a limit key"):
        key_function(key)


# What the configuration says of any limit.


class Giving(Quota):
    """One that can give back."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.given_back: list[tuple[str, int]] = []

    def refund(self, key: str, cost: int) -> None:
        self.given_back.append((key, cost))


async def test_a_request_may_cost_more(gateway, limits):
    quota = Quota()
    await gateway.ask(limits(quota, cost=5))
    assert quota.asked == [("orders|192.0.2.1", 5)]


async def test_what_was_taken_for_a_request_that_is_refused_is_given_back(gateway, limits):
    first, second, third = Giving(), Quota(), Giving(is_allowed=False, retry_after_s=1)
    assert (await gateway.ask(limits(first, second, third, cost=2))).response.status == 429
    assert first.given_back == [("orders|192.0.2.1", 2)]
    assert third.given_back == []


async def test_standard_fields_tell_the_policy_too(gateway, limits):
    """draft-ietf-httpapi-ratelimit-headers-11."""
    exchange = await gateway.ask(limits(Quota(limit=100, remaining=50, reset_s=30, window_s=60), fields="ratelimit"))
    assert fields(exchange) == {}
    assert exchange.response.headers["ratelimit-policy"] == '"quota-0";q=100;w=60'
    assert exchange.response.headers["ratelimit"] == '"quota-0";r=50;t=30'


async def test_each_limit_is_told_under_its_name(gateway, limits):
    """draft-ietf-httpapi-ratelimit-headers-11, sections 3 and 4: lists of limits, each with its name."""
    exchange = await gateway.ask(limits(Quota(remaining=4, window_s=1), Quota(limit=100, remaining=50)))
    assert exchange.response.headers["ratelimit-policy"] == '"quota-0";q=10;w=1, "quota-1";q=100'
    assert exchange.response.headers["ratelimit"] == '"quota-0";r=4;t=31, "quota-1";r=50;t=31'
    assert fields(exchange)["x-ratelimit-remaining"] == "4"


async def test_a_refusal_names_the_limit_and_when_there_is_more(gateway, limits):
    """As above, section 6: Retry-After is no earlier than the effective window ends."""
    policy = limits(Quota(), Quota(is_allowed=False, limit=3, remaining=2, retry_after_s=7.5), cost=3)
    exchange = await gateway.ask(policy)
    assert exchange.response.headers["ratelimit-policy"] == '"quota-0";q=10, "quota-1";q=3'
    assert exchange.response.headers["ratelimit"] == '"quota-1";r=2;t=8'
    assert fields(exchange)["retry-after"] == "8"


async def test_a_limit_may_have_a_name_of_its_own(gateway, limits, metrics):
    exchange = await gateway.ask(limits(Quota(is_allowed=False, retry_after_s=1), told_as="daily"))
    assert exchange.response.headers["ratelimit-policy"] == '"daily";q=10'
    assert exchange.error.plugin == "quota-0"
    (family,) = [each for each in metrics.snapshot() if each.name == "gateway_rate_limit_rejected_total"]
    assert family.series == {("orders", "daily"): 1.0}


@pytest.mark.parametrize("number", [1, 2])
async def test_a_limit_of_the_gateway_is_no_routes_own(gateway, limits, number):
    quotas = [Quota() for _ in range(number)]
    await gateway.ask(limits(*quotas, is_shared=True))
    assert quotas[-1].asked == [("|192.0.2.1", 1)]


async def test_clients_may_be_told_nothing(gateway, limits):
    exchange = await gateway.ask(limits(Quota(), fields="none"))
    assert not [name for name in exchange.response.headers if "ratelimit" in name]
    refused = await gateway.ask(limits(Quota(is_allowed=False, retry_after_s=1), fields="none"))
    assert fields(refused) == {"retry-after": "1"}


async def test_limits_before_and_after_authentication_tell_once(gateway, limits):
    exchange = await gateway.ask(limits(Quota(remaining=1), is_outer=True), limits(Quota(remaining=5)))
    assert exchange.response.headers.get_all("x-ratelimit-remaining") == ["5"]
    # A list in several lines (RFC 9651 section 3.1).
    assert exchange.response.headers.get_all("ratelimit") == ['"quota-0";r=5;t=31', '"quota-0";r=1;t=31']


async def test_refusals_and_failures_are_counted(gateway, limits, metrics):
    await gateway.ask(limits(Quota(is_allowed=False, retry_after_s=1)))
    await gateway.ask(limits(Down(), is_optional=True))
    counted = {family.name: dict(family.series) for family in metrics.snapshot() if "limit" in family.name}
    assert counted == {
        "gateway_rate_limit_hits_total": {("orders", "quota-0"): 2.0},
        "gateway_rate_limit_rejected_total": {("orders", "quota-0"): 1.0},
        "gateway_limiter_failures_total": {("orders", "quota-0"): 1.0},
    }


async def test_one_that_is_only_watched_refuses_nobody(gateway, limits, metrics):
    watched = Giving(is_allowed=False, retry_after_s=1)
    exchange = await gateway.ask(limits(watched, is_shadow=True))
    assert exchange.response.status == 200
    assert "retry-after" not in exchange.response.headers
    (family,) = [each for each in metrics.snapshot() if each.name == "gateway_shadow_decisions_total"]
    assert family.series == {("orders", "quota-0", "refuse 429"): 1.0}


async def test_clients_are_told_nothing_of_one_that_is_only_watched(gateway, limits):
    exchange = await gateway.ask(limits(Quota(), is_shadow=True))
    assert fields(exchange) == {}


async def test_a_quota_may_change_from_one_request_to_the_next(gateway, limits):
    quota = Quota(limit=10)
    policy = limits(quota)
    compiled = gateway.compile(policy)
    assert fields(await gateway.ask(compiled=compiled))["x-ratelimit-limit"] == "10"
    quota.decision.limit = 20
    assert fields(await gateway.ask(compiled=compiled))["x-ratelimit-limit"] == "20"


async def test_the_failure_of_one_that_is_only_watched_harms_nobody(gateway, limits):
    assert (await gateway.ask(limits(Down(), is_shadow=True))).response.status == 200


# Limiters that never wait.


class AtOnce(Giving):
    """One with ``acquire_now``; whoever awaits ``acquire`` of it has missed that."""

    waits = False

    async def acquire(self, key: str, cost: int) -> Decision:
        raise AssertionError("acquire_now is called in its place")

    def acquire_now(self, key: str, cost: int) -> Decision:
        self.asked.append((key, cost))
        return self.decision


class DownAtOnce(AtOnce):
    def acquire_now(self, key: str, cost: int) -> Decision:
        raise TimeoutError("the lock is held")


async def test_one_that_never_waits_is_asked_at_once(gateway, limits):
    quota = AtOnce()
    exchange = await gateway.ask(limits(quota, cost=2))
    assert exchange.response.status == 200
    assert fields(exchange)["x-ratelimit-remaining"] == "9"
    assert quota.asked == [("orders|192.0.2.1", 2)]


async def test_what_it_refuses_at_once_is_429(gateway, limits, metrics):
    exchange = await gateway.ask(limits(AtOnce(is_allowed=False, remaining=0, retry_after_s=2.1)))
    assert exchange.response.status == 429
    assert (fields(exchange)["retry-after"], exchange.error.plugin) == ("3", "quota-0")
    assert gateway.service.asked == []
    (family,) = [each for each in metrics.snapshot() if each.name == "gateway_rate_limit_rejected_total"]
    assert family.series == {("orders", "quota-0"): 1.0}


async def test_one_that_fails_at_once_fails_the_exchange(gateway, limits, caplog):
    exchange = await gateway.ask(limits(DownAtOnce()))
    assert exchange.response.status == 500
    assert gateway.service.asked == []


async def test_one_that_fails_at_once_and_may_is_left_out(gateway, limits, caplog):
    exchange = await gateway.ask(limits(DownAtOnce(), is_optional=True))
    assert (exchange.response.status, fields(exchange)) == (200, {})
    assert "limiter 'quota-0' failed and was skipped" in caplog.text


async def test_what_is_no_decision_lets_nobody_pass(gateway, limits, caplog):
    quota = AtOnce()
    quota.decision = None  # type: ignore[assignment]  # a bug of the limiter
    assert (await gateway.ask(limits(quota, is_optional=True))).response.status == 500
    assert gateway.service.asked == []


async def test_one_that_is_only_watched_refuses_nobody_at_once(gateway, limits, metrics):
    watched = AtOnce(is_allowed=False, retry_after_s=1)
    exchange = await gateway.ask(limits(watched, is_shadow=True))
    assert (exchange.response.status, fields(exchange)) == (200, {})
    assert len(watched.asked) == 1
    (family,) = [each for each in metrics.snapshot() if each.name == "gateway_shadow_decisions_total"]
    assert family.series == {("orders", "quota-0", "refuse 429"): 1.0}


async def test_among_several_too_it_is_asked_at_once(gateway, limits):
    first, second, third = AtOnce(remaining=3), Quota(remaining=5), AtOnce(remaining=1)
    exchange = await gateway.ask(limits(first, second, third))
    assert fields(exchange)["x-ratelimit-remaining"] == "1"
    assert [each.asked for each in (first, second, third)] == [[("orders|192.0.2.1", 1)]] * 3


async def test_what_was_taken_at_once_is_given_back(gateway, limits):
    first, second = AtOnce(), AtOnce(is_allowed=False, retry_after_s=1)
    assert (await gateway.ask(limits(first, second, cost=2))).response.status == 429
    assert (first.given_back, second.given_back) == ([("orders|192.0.2.1", 2)], [])


async def test_among_several_one_that_fails_at_once_is_left_out_only_if_it_may(gateway, limits, caplog):
    assert (await gateway.ask(limits(DownAtOnce(), AtOnce()))).response.status == 500
    assert gateway.service.asked == []
    assert (await gateway.ask(limits(DownAtOnce(), AtOnce(), is_optional=True))).response.status == 200


async def test_before_authentication_it_is_asked_at_once(gateway, limits):
    quota = AtOnce()
    assert (await gateway.ask(limits(quota, is_outer=True))).response.status == 200
    assert len(quota.asked) == 1


@pytest.mark.parametrize("kind", [Quota, AtOnce])
async def test_a_quota_is_charged_as_the_limiter_is_asked(kind):
    limiter = kind(remaining=4)
    quota = AppliedQuota("owner", "quota-0", limiter, key_function("route"))
    assert (await quota.acquire("owner||", 3)).remaining == 4
    assert limiter.asked == [("owner||", 3)]
    assert quota.waits is (kind is Quota)
