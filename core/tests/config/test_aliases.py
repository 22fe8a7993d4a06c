from __future__ import annotations

import pytest

from gateway import Config, PolicyRegistration
from gateway.config.aliases import apply_aliases
from gateway.config.places import Place, block_of, plain
from gateway.config.report import Report


@pytest.mark.parametrize(
    ("data", "aliases", "result"),
    [
        ({"endpoint": "a"}, {"endpoint": "host"}, {"host": "a"}),
        ({"tls": {"caFile": "a", "x": 1}}, {"tls.caFile": "tls.rootCAFile"}, {"tls": {"x": 1, "rootCAFile": "a"}}),
        ({"budget": {"ratio": 1}}, {"budget.ratio": "budgetRatio"}, {"budgetRatio": 1}),
        ({"ratio": 1}, {"ratio": "budget.ratio"}, {"budget": {"ratio": 1}}),
        (
            {"rate": {"perSecond": 1, "burst": 2}},
            {"rate.perSecond": "rate", "rate.burst": "burst"},
            {"rate": 1, "burst": 2},
        ),
        ({"rate": 5}, {"rate.perSecond": "rate"}, {"rate": 5}),
        ({"rate": {"other": 5}}, {"rate.perSecond": "rate"}, {"rate": {"other": 5}}),
        ({"host": "a"}, {"endpoint": "host"}, {"host": "a"}),
    ],
)
def test_old_keys_become_new_ones(data, aliases, result):
    report = Report()
    block = block_of(data, Place("f"))
    assert plain(apply_aliases(block, aliases, report)) == result
    assert plain(block) == data
    assert report.errors == ()


def test_messages_name_the_key_that_was_written(load):
    assert load.problems("gateway: {backend: {http: {tls: {caFile: [a]}}}}") == [
        "gateway.yaml:1:42: gateway.backend.http.tls.caFile: this list is not text; write a single value"
    ]


def test_both_spellings_at_once(load):
    assert load.problems("gateway: {backend: {http: {tls: {caFile: a, rootCAFile: b}}}}") == [
        (
            "gateway.yaml:1:34: gateway.backend.http.tls.caFile: is another spelling of 'tls.rootCAFile', which is "
            "given too; remove one of them"
        )
    ]


def test_a_registration_may_rename_blocks_and_keys_of_rules(load, index):
    index.add("cors", "ratelimit")
    text = load.one_rule + "        metadata: {rateLimit: 7}\n  middleware: {cors: {allowOrigins: [a]}}\n"
    (rule,) = load(text).rules
    assert rule.policies[0].config.allowed_origins == ("a",)
    assert rule.limiters[0].config.rate == 7


def test_a_single_key_may_be_a_block_of_its_own(load, index):
    index.add("ratelimit")
    (limiter,) = load.rule("rateLimit: {requestsPerSecond: 5, burst: 10}").limiters
    assert (limiter.config.rate, limiter.config.burst) == (5, 10)


def test_keys_that_are_refused_say_why(load, index):
    class Stamp(Config):
        ink: str = "black"

    stamp = PolicyRegistration(
        name="stamp",
        build=print,
        config=Stamp,
        path="stamp",
        rule_key="stamp",
        refused={
            "paper.weight": "any paper will do; remove it",
            "gateway.router.rules[].stamp.ink": "one ink is for all rules; write it in gateway.stamp",
            "gateway.router.stamps": "one stamp is for all rules; write gateway.stamp",
        },
    )
    index.install("acme", stamp)
    (policy,) = load(load.one_rule + "  stamp: {ink: red}\n").rules[0].policies
    assert policy.config.ink == "red"
    assert load.problems(
        load.one_rule + "        stamp: {ink: red, paper: {weight: 1}}\n  stamp: {paper: {weight: 80}}\n"
    ) == [
        "gateway.yaml:11:17: gateway.router.rules[0].stamp.ink: one ink is for all rules; write it in gateway.stamp",
        "gateway.yaml:11:35: gateway.router.rules[0].stamp.paper.weight: any paper will do; remove it",
        "gateway.yaml:12:19: gateway.stamp.paper.weight: any paper will do; remove it",
    ]
    assert load.problems("gateway:\n  router: {stamps: {ink: red}}\n") == [
        "gateway.yaml:2:12: gateway.router.stamps: one stamp is for all rules; write gateway.stamp"
    ]


def test_the_original_gateways_rules(load):
    assert load.rule("backend: HTTP").route.protocol == "http"
