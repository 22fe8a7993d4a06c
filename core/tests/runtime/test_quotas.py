"""Limits that a component charges itself, from another plugin's limiter, in a whole gateway."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import LimitConfig, LimiterRegistration
from gateway.config.places import Block, Place, block_of
from gateway.errors import ConfigurationError
from gateway.runtime.context import ComponentContext

PLUGIN = '''
"""A limiter, and a policy that charges it by the length of answers."""

from gateway import Decision, LimitConfig, LimiterRegistration, PolicyRegistration, RateLimited, Config, Stage, hookimpl

log = []


class Budget(LimitConfig):
    rate: int
    step: int = 1
    first: int = 0


class Limiter:
    waits = False

    def __init__(self, config):
        self.config, self.used, self.is_open = config, {}, False

    async def __aenter__(self):
        self.is_open = True
        log.append(f"enter {self.config.rate}")

    async def __aexit__(self, *_):
        log.append(f"exit {self.config.rate}")

    async def acquire(self, key, cost):
        assert self.is_open
        used = self.used.get(key, 0) + cost * self.config.step
        if used <= self.config.rate:
            self.used[key] = used
        left = self.config.rate - self.used.get(key, 0)
        return Decision(is_allowed=used <= self.config.rate, limit=self.config.rate, remaining=left, reset_s=1.0)

    def refund(self, key, cost):
        self.used[key] -= cost


class ChargeConfig(Config):
    limiter: str = "budget"
    settings: dict = {}


class Charge:
    def __init__(self, config, context):
        self.quotas = context.quotas(config.limiter, config.settings)

    async def __aenter__(self):
        log.append("enter policy")

    async def __aexit__(self, *_):
        log.append("exit policy")

    def wrap(self, next, route):
        async def charge(exchange):
            (quota,) = self.quotas
            key = quota.key(exchange, exchange.request.headers.get("x-model") or "")
            decision = await quota.acquire(key, 10)
            if not decision.is_allowed:
                raise RateLimited(decision.retry_after_s)
            response = await next(exchange)
            quota.refund(key, 10 - len(response.body))
            response.headers["x-left"] = str(decision.remaining)
            return response
        return charge


def build_limiter(config, context):
    return Limiter(config)


@hookimpl
def gateway_register_limiters():
    return [LimiterRegistration(name="budget", config=Budget, build=build_limiter, sufficient_keys=("first",))]


@hookimpl
def gateway_register_policies():
    return [PolicyRegistration(name="charge", config=ChargeConfig, build=Charge, stage=Stage.LIMIT)]
'''


@pytest.fixture
def start(gateway_factory, upstream, tmp_path):
    """Return a function that starts a gateway whose policy charges by the length of answers."""
    file = tmp_path / "gateway_charging.py"
    file.write_text(PLUGIN)

    async def start_gateway(plugins):
        # What a file offers is on; nothing but the policy is to ask the limiter.
        plugins = {**plugins, "budget": {"enabled": False, **plugins.get("budget", {})}}
        return await gateway_factory({"plugins": plugins}, upstream=upstream, plugin_files=[file])

    return start_gateway


def log_of(gateway):
    (rule,) = gateway.gateway.configuration.rules
    (build,) = (policy.registration.build for policy in rule.policies if policy.name == "charge")
    return build.__init__.__globals__["log"]


@pytest.mark.anyio
async def test_a_component_charges_what_it_likes_and_gives_back_the_rest(start):
    gateway = await start({"charge": {"settings": {"rate": 15}}})
    answers = [await gateway.ask("GET", "/") for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429], "2 bytes each, and 10 to begin with"
    assert answers[0]["x-left"] == "5"


@pytest.mark.anyio
async def test_quotas_are_apart_by_key_and_by_what_the_component_says(start):
    gateway = await start({"charge": {"settings": {"rate": 10, "key": "header:x-team"}}})
    asked = [
        await gateway.ask("GET", "/", headers={"x-team": team, "x-model": model})
        for team, model in (("a", "m"), ("a", "m"), ("b", "m"), ("a", "n"), ("m|b", ""), ("b", "m|"), ("a", "x" * 999))
    ]
    assert [answer.status for answer in asked] == [200, 429, 200, 200, 200, 200, 200]


@pytest.mark.anyio
async def test_what_the_configuration_says_of_the_limiter_lies_below(start):
    gateway = await start({"budget": {"rate": 99, "step": 2}, "charge": {"settings": {"rate": 19}}})
    assert (await gateway.ask("GET", "/")).status == 429


@pytest.mark.anyio
async def test_limits_that_the_limiters_block_makes_itself_are_not_charged(start):
    gateway = await start({"budget": {"first": 3}, "charge": {"settings": {"rate": 50}}})
    assert (await gateway.ask("GET", "/")).status == 200
    assert log_of(gateway) == ["enter 50", "enter policy"]


@pytest.mark.anyio
async def test_quotas_live_as_long_as_the_component(start):
    gateway = await start({"charge": {"settings": {"rate": 50}}})
    log = log_of(gateway)
    assert log == ["enter 50", "enter policy"]
    raw = json.loads(json.dumps(gateway.gateway.configuration.raw))
    raw["admin"]["token"] = "t"
    raw["plugins"]["charge"] = {"settings": {"rate": 60}}
    await gateway.gateway.reload(json.dumps({"gateway": raw}))
    await gateway.eventually(lambda: len(log) == 4)
    assert log[2:] == ["exit policy", "exit 50"]
    assert (await gateway.ask("GET", "/")).status == 200


def is_current(context):
    return context.is_current


def test_a_component_is_not_current_any_more_when_its_quotas_mean_something_else():
    registration = LimiterRegistration(name="budget", config=LimitConfig, build=lambda config, context: object())
    block = Block(Place("gateway.yaml"))
    surroundings: Any = SimpleNamespace(
        directory=SimpleNamespace(heard_from=lambda name: None),
        configuration=SimpleNamespace(
            host=SimpleNamespace(
                find=lambda kind, name: registration, owner=lambda offer: None, of_kind=lambda kind: []
            ),
            data=block,
        ),
        **dict.fromkeys(("deadlines", "outbox", "serve", "refuse", "metrics")),
    )
    plugin: Any = SimpleNamespace(distribution="gateway-charge", name="charge")
    context = ComponentContext("policy", "charge", plugin, surroundings, lambda limit: object())
    assert is_current(context)
    (quota,) = context.quotas("budget", {"cost": 2})
    assert quota.name == "budget"
    assert is_current(context)
    block.put("plugins", block_of({"budget": {"key": "route", "enabled": False}}, block.place), block.place)
    assert not is_current(context)
    block.put("plugins", block_of({"budget": {"key": "moon"}}, block.place), block.place)
    assert not is_current(context)


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"limiter": "missing"}, "no installed plugin provides the limiter 'missing'; there is: .*budget"),
        ({}, "'budget' cannot be configured so: rate: Field required"),
        ({"settings": {"rate": 1, "key": "moon"}}, "cannot be configured so: key: .*not a limit key"),
    ],
)
@pytest.mark.anyio
async def test_what_cannot_be_had_stops_the_start(start, block, problem):
    with pytest.raises(ConfigurationError, match=problem):
        await start({"charge": block})
