"""Ten thousand rules."""

from __future__ import annotations

import time

import pytest

COUNT = 10_000
MAX_CPU_S = 10.0
"""It takes about two; the rest is for slow and busy machines. Anything quadratic takes minutes."""


@pytest.fixture
def many(load, index):
    index.add("cors", "ratelimit", "jwt")
    services = "".join(f"      - {{name: s{n}, instances: [{{address: a, port: {n + 1}}}]}}\n" for n in range(50))
    rules = "".join(
        f"      - {{id: r{n}, path: /api/v{n}/*, serviceName: s{n % 50}, methods: [GET, POST], rateLimit: {n % 100}}}\n"
        for n in range(COUNT)
    )
    return (
        f"gateway:\n  auth: {{jwt: {{}}}}\n  cors: {{}}\n  registry:\n    static:\n      services:\n{services}"
        f"  router:\n    rules:\n{rules}"
    )


@pytest.mark.slow
def test_ten_thousand_rules_load_in_seconds_and_share_what_is_equal(load, many):
    started_s = time.process_time()
    rules = load(many).rules
    assert time.process_time() - started_s < MAX_CPU_S
    assert len(rules) == COUNT
    assert len({id(limiter) for rule in rules for limiter in rule.limiters}) == 100
    assert len({id(offer) for rule in rules for offer in (rule.balancer, *rule.policies, *rule.authenticators)}) == 3


@pytest.mark.slow
def test_ten_thousand_rules_that_are_all_wrong_are_all_reported(load, many):
    started_s = time.process_time()
    problems = load.problems(many.replace("rateLimit:", "rateLimt:"))
    assert time.process_time() - started_s < MAX_CPU_S
    assert len(problems) == COUNT
    assert problems[-1].endswith("gateway.router.rules[9999].rateLimt: unknown key; did you mean 'rateLimit'?")
