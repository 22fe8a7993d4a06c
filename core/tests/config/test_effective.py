"""Blocks of the gateway and of rules, merged and validated together."""

from __future__ import annotations

import pytest
from pydantic import Field, field_validator

from gateway import Config, PolicyRegistration, Stage
from gateway.config.effective import decides_access


def names(offers):
    return [offer.name for offer in offers]


def test_a_block_that_is_present_is_on_unless_it_says_otherwise(load, index):
    index.add("cors")
    assert names(load(load.one_rule).rules[0].policies) == []
    assert names(load(load.one_rule + "  cors: {}\n").rules[0].policies) == ["cors"]
    assert names(load(load.one_rule + "  cors:\n").rules[0].policies) == ["cors"]
    assert names(load(load.one_rule + "  cors: {enabled: yes}\n").rules[0].policies) == ["cors"]
    assert names(load(load.one_rule + "  cors: {enabled: false}\n").rules[0].policies) == []


def test_an_offer_that_is_on_by_default_can_be_turned_off(load, index):
    index.install("acme", PolicyRegistration(name="stamp", build=print, default_on=True))
    assert names(load(load.one_rule).rules[0].policies) == ["stamp"]
    assert names(load(load.one_rule + "  plugins: {stamp: {enabled: false}}\n").rules[0].policies) == []
    assert names(load.rule("  plugins: {stamp: {enabled: false}}").policies) == []


def test_a_rules_block_lies_over_the_gateways(load, index):
    index.add("cors")
    text = load.one_rule + "        cors: {maxAge: 5}\n  cors: {allowedOrigins: [a], maxAge: 9}\n"
    (cors,) = load(text).rules[0].policies
    assert (cors.config.allowed_origins, cors.config.max_age) == (("a",), 5)
    assert cors.where == "gateway.yaml:11:9"


def test_a_rules_block_turns_an_offer_on_for_the_rule_alone(load, index):
    index.add("cors")
    configuration = load(load.one_rule + "        cors: {maxAge: 5}\n      - {path: /b, serviceName: users}\n")
    assert [names(rule.policies) for rule in configuration.rules] == [["cors"], []]
    assert configuration.edge_policies == ()


def test_a_rule_can_turn_an_offer_off(load, index):
    index.add("cors")
    configuration = load(load.one_rule + "        cors: {enabled: false}\n  cors: {}\n")
    assert configuration.rules[0].policies == ()
    assert names(configuration.edge_policies) == ["cors"]


def test_what_the_gateway_turns_off_a_rule_must_turn_on_explicitly(load, index):
    index.add("cors")
    text = load.one_rule + "        cors: {maxAge: 5}\n  cors: {enabled: false}\n"
    configuration = load(text)
    assert configuration.rules[0].policies == ()
    assert [str(warning) for warning in configuration.warnings] == [
        (
            "gateway.yaml:11:9: gateway.router.rules[0].cors: has no effect, because gateway.yaml:12:10 turns it off; "
            "add 'enabled: true' to turn it on here"
        )
    ]
    configuration = load(text.replace("maxAge: 5", "enabled: true"))
    assert names(configuration.rules[0].policies) == ["cors"]


def test_null_in_a_rule_gives_a_key_its_default_again(load, index):
    index.add("cors")
    (cors,) = load(load.one_rule + "        cors: {maxAge: null}\n  cors: {maxAge: 9}\n").rules[0].policies
    assert cors.config.max_age == 86400


def test_neither_layer_has_to_be_complete(load, index):
    class Both(Config):
        left: int
        right: int

    index.install("acme", PolicyRegistration(name="both", build=print, config=Both))
    text = load.one_rule + "        plugins: {both: {left: 1}}\n  plugins: {both: {right: 2}}\n"
    (both,) = load(text).rules[0].policies
    assert (both.config.left, both.config.right) == (1, 2)
    assert load.problems(text.replace("left: 1", "")) == [
        "gateway.yaml:11:19: gateway.router.rules[0].plugins.both.left: the key is missing; write 'left: ...' here"
    ]


def test_a_wrong_value_is_reported_where_it_stands(load, index):
    index.add("cors")
    text = load.one_rule + "        cors: {maxAge: 5}\n  cors: {allowedOrigins: 7}\n"
    assert load.problems(text) == [
        (
            "gateway.yaml:12:26: gateway.cors.allowedOrigins: 7 is not a list; write its items in [ ], or each on its "
            "own line after '- '"
        )
    ]


def test_a_gateway_wide_mistake_is_reported_once_for_all_rules(load, index):
    index.add("cors")
    rules = "".join(f"      - {{path: /{n}, serviceName: users, cors: {{}}}}\n" for n in range(3))
    assert load.problems(load.one_rule + rules + "  cors: {maxAg: 5}\n") == [
        "gateway.yaml:14:10: gateway.cors.maxAg: unknown key; did you mean 'maxAge'?"
    ]


def test_the_same_mistake_in_two_rules_is_reported_twice(load, index):
    index.add("cors")
    rules = "".join(f"      - {{path: /{n}, serviceName: users, cors: {{maxAg: 5}}}}\n" for n in range(2))
    assert [problem.partition(" ")[0] for problem in load.problems(load.one_rule + rules)] == [
        "gateway.yaml:11:47:",
        "gateway.yaml:12:47:",
    ]


def test_a_block_that_no_rule_uses_is_validated_too(load, index):
    index.add("cors", "affinity")
    assert load.problems("gateway: {sessionAffinity: {cookieNam: a}}") == [
        "gateway.yaml:1:29: gateway.sessionAffinity.cookieNam: unknown key; did you mean 'cookieName'?"
    ]
    assert load("gateway: {sessionAffinity: {cookieName: a}}").rules == ()


def test_equal_configurations_are_identical(load, index):
    index.add("cors", "ratelimit")
    rules = """\
      - {path: /1, serviceName: users, rateLimit: 5, cors: {maxAge: 86400}}
      - {path: /2, serviceName: users, rateLimit: "5"}
      - {path: /3, serviceName: users, rateLimit: 6}
      - {path: /4, serviceName: users, rateLimit: 5, rateLimiting: {key: route}}
"""
    _, first, second, third, fourth = load(load.one_rule + rules + "  cors: {}\n").rules
    assert first.limiters[0] is second.limiters[0]
    assert first.limiters[0] is not third.limiters[0]
    assert fourth.limiters[0].config.key == "route"
    assert first.policies[0] is second.policies[0]
    assert second.policies is third.policies
    assert first.balancer is fourth.balancer


def test_a_failing_validator_is_the_plugins_bug(load, index):
    class Buggy(Config):
        value: int = 0

        @field_validator("value")
        @classmethod
        def _check(cls, value):
            raise KeyError(value)

    index.install("acme", PolicyRegistration(name="buggy", build=print, config=Buggy))
    (problem,) = load.problems(load.one_rule + "  plugins: {buggy: {value: 1}}\n")
    assert problem.startswith(
        "gateway.yaml:11:13: gateway.plugins.buggy: the configuration model of plugin 'acme' of acme 0.1.0 raised KeyE"
    )
    assert problem.endswith("tell its author")


# Single keys of a rule.


def test_single_keys_of_a_rule_configure_an_offer(load, index):
    index.add("ratelimit")
    (limiter,) = load.rule("  rateLimit: 10\n  rateLimitBurst: 20").limiters
    assert (limiter.config.rate, limiter.config.burst, limiter.config.store) == (10, 20, "memory")


def test_single_keys_lie_over_the_rules_block_and_the_gateways(load, index):
    index.add("ratelimit")
    text = load.one_rule + "        rateLimit: 10\n        rateLimiting: {rate: 1, burst: 2}\n"
    text += "  rateLimitStorage: {default: redis, burst: 3}\n"
    (limiter,) = load(text).rules[0].limiters
    assert (limiter.config.rate, limiter.config.burst, limiter.config.store) == (10, 2, "redis")


def test_a_single_key_that_is_null_counts_as_absent(load, index):
    index.add("ratelimit")
    assert load.rule("  rateLimit:").limiters == ()


def test_a_single_key_that_is_wrong_is_reported_as_it_is_written(load, index):
    index.add("ratelimit")
    assert load.problems(load.one_rule + "        rateLimit: -1\n") == [
        "gateway.yaml:11:20: gateway.router.rules[0].rateLimit: -1 is too small; write 0 or more"
    ]


def test_a_block_that_lacks_what_rules_set_is_a_template_for_them(load, index):
    index.add("ratelimit")
    configuration = load(
        load.one_rule
        + "      - {path: /b, serviceName: users, rateLimit: 5}\n"
        + "  rateLimitStorage: {default: redis, stores: {redis: {type: redis}}}\n"
    )
    assert [names(rule.limiters) for rule in configuration.rules] == [[], ["ratelimit"]]
    assert configuration.rules[1].limiters[0].config.store == "redis"


def test_a_template_that_is_complete_is_on_everywhere(load, index):
    index.add("ratelimit")
    (limiter,) = load(load.one_rule + "  rateLimitStorage: {rate: 7}\n").rules[0].limiters
    assert limiter.config.rate == 7


def test_a_key_that_suffices_makes_no_template(load, index):
    index.add("ratelimit")
    assert load.problems(load.one_rule + "  rateLimitStorage: {total: 7}\n") == [
        "gateway.yaml:11:3: gateway.rateLimitStorage.rate: the key is missing; write 'rate: ...' here"
    ]


def test_a_template_that_no_rule_uses_is_validated_as_far_as_it_goes(load, index):
    index.add("ratelimit")
    assert load(load.one_rule + "  rateLimitStorage: {}\n").rules[0].limiters == ()
    assert load.problems(load.one_rule + "  rateLimitStorage: {stors: {}}\n") == [
        "gateway.yaml:11:22: gateway.rateLimitStorage.stors: unknown key; did you mean 'stores'?"
    ]


def test_authorisation_is_never_a_template(load, index):
    class Permission(Config):
        permission: str

    policy = PolicyRegistration(
        name="perm",
        build=print,
        config=Permission,
        path="perm",
        rule_keys={"permission": "permission"},
        stage=Stage.AUTHORIZE,
    )
    index.install("acme", policy)
    assert load.problems(load.one_rule + "  perm: {}\n") == [
        "gateway.yaml:11:3: gateway.perm.permission: the key is missing; write 'permission: ...' here"
    ]


# Keys that the core reads of every block.


def test_on_error_is_taken_from_the_block(load, index):
    index.add("cors", "ratelimit")
    text = load.one_rule + "        rateLimit: 5\n  cors: {onError: allow}\n  rateLimitStorage: {onError: allow}\n"
    (rule,) = load(text).rules
    assert [offer.on_error for offer in (*rule.policies, *rule.limiters)] == ["allow", "allow"]
    assert load(load.one_rule + "  cors: {onError: deny}\n").rules[0].policies[0].on_error == "deny"
    assert load(load.one_rule + "  cors: {onError: }\n").rules[0].policies[0].on_error == "deny"


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (
            "cors: {onError: ignore}",
            "19: gateway.cors.onError: 'ignore' is not one of 'deny' or 'allow'; write one of these",
        ),
        ("cors: {enabled: perhaps}", "19: gateway.cors.enabled: 'perhaps' is not true or false; write one of these"),
        ("cors: on", "3: gateway.cors: is not a block; write its keys below it, indented, or 'enabled: true'"),
        (
            "auth: {jwt: {onError: allow}}",
            "25: gateway.auth.jwt.onError: 'allow' would let anybody in when 'jwt' fails; remove it",
        ),
        (
            "auth: {rbac: {onError: allow}}",
            "26: gateway.auth.rbac.onError: 'allow' would let anybody in when 'rbac' fails; remove it",
        ),
        (
            "health: {onError: allow}",
            (
                "12: gateway.health.onError: means nothing here, for this is no part of an exchange (health checker); "
                "remove it"
            ),
        ),
    ],
)
def test_reserved_keys_that_are_wrong(load, index, block, problem):
    index.add("cors", "jwt", "rbac", "healthcheck")
    assert f"gateway.yaml:11:{problem}" in load.problems(f"{load.one_rule}  {block}\n")


def test_authenticators_may_say_that_they_deny(load, index):
    index.add("jwt")
    (authenticator,) = load(load.one_rule + "  auth: {jwt: {onError: deny}}\n").rules[0].authenticators
    assert authenticator.on_error == "deny"


def test_who_decides_access():
    assert decides_access(PolicyRegistration(name="a", build=print, stage=Stage.AUTHENTICATE))
    assert decides_access(PolicyRegistration(name="a", build=print, stage=Stage.AUTHORIZE))
    assert not decides_access(PolicyRegistration(name="a", build=print, stage=Stage.LIMIT))


def test_defaults_of_mutable_fields_do_not_confuse_sharing(load, index):
    class Listed(Config):
        values: list[int] = Field(default_factory=list)
        odd: object = Field(default_factory=dict)

    index.install("acme", PolicyRegistration(name="listed", build=print, config=Listed))
    rules = "      - {path: /1, serviceName: users, plugins: {listed: {values: [1]}}}\n"
    rules += "      - {path: /2, serviceName: users, plugins: {listed: {values: ['1']}}}\n"
    _, first, second = load(load.one_rule + rules).rules
    assert first.policies[0] is second.policies[0]
