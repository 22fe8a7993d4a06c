"""``latencyBudget`` and ``quarantine`` in a configuration."""

from __future__ import annotations

import pytest

from gateway.config.budgets import BudgetConfig


def test_a_policys_block_takes_both(load, index):
    index.add("cors")
    block = "cors: {latencyBudget: 5ms, quarantine: {failures: 3, within: 10s, for: 1m}}"
    (policy,) = load(f"{load.one_rule}  {block}\n").rules[0].policies
    rule = policy.budget.quarantine
    assert policy.budget.latency_budget == 0.005
    assert (rule.failures, rule.within, rule.rest) == (3, 10, 60)


def test_a_rules_block_is_merged_over_the_gateways(load, index):
    index.add("cors")
    text = (
        load.one_rule + "        cors: {latencyBudget: 1ms}\n  cors: {latencyBudget: 5ms, quarantine: {failures: 3}}\n"
    )
    (policy,) = load(text).rules[0].policies
    assert (policy.budget.latency_budget, policy.budget.quarantine.failures) == (0.001, 3)


def test_without_them_there_is_no_budget(load, index):
    index.add("cors")
    (policy,) = load(f"{load.one_rule}  cors: {{}}\n").rules[0].policies
    assert policy.budget == BudgetConfig()


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("cors: {latencyBudget: 0}", "gateway.cors.latencyBudget: 0"),
        ("cors: {latencyBudget: soon}", "gateway.cors.latencyBudget: 'soon' is not a duration"),
        ("cors: {quarantine: {failures: 0}}", "gateway.cors.quarantine.failures: 0"),
        ("cors: {quarantine: {failure: 3}}", "gateway.cors.quarantine.failure: unknown key; did you mean 'failures'?"),
        ("cors: {quarantine: 3}", "gateway.cors.quarantine: "),
        (
            "auth: {jwt: {quarantine: {}}}",
            "gateway.auth.jwt.quarantine: would let requests pass unchecked while 'jwt' is put aside; remove it",
        ),
        (
            "auth: {rbac: {quarantine: {}}}",
            "gateway.auth.rbac.quarantine: would let requests pass unchecked while 'rbac' is put aside; remove it",
        ),
        (
            "auth: {jwt: {latencyBudget: 5ms}}",
            "gateway.auth.jwt.latencyBudget: means nothing here, for this is no policy (authenticator); remove it",
        ),
        (
            "health: {quarantine: {}}",
            "gateway.health.quarantine: means nothing here, for this is no policy (health checker); remove it",
        ),
    ],
)
def test_what_must_not_be_is_refused_with_its_place(load, index, block, problem):
    index.add("cors", "jwt", "rbac", "healthcheck")
    problems = load.problems(f"{load.one_rule}  {block}\n")
    assert any(line.startswith("gateway.yaml:11:") and problem in line for line in problems), problems


def test_a_limiter_is_never_put_aside(load, index):
    index.add("ratelimit")
    text = load.one_rule + "        rateLimit: 5\n  rateLimitStorage: {quarantine: {}}\n"
    assert any("pass unchecked while 'ratelimit' is put aside" in line for line in load.problems(text))
