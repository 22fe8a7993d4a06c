"""In which order policies run."""

from __future__ import annotations

import random

from gateway import PolicyRegistration, Stage
from gateway.config.pipeline import sorted_policies
from gateway.pluginhost import Plugin, PluginHost

# What first-party plugins and a third party might offer, in every stage.
POLICIES = [
    ("request_id", Stage.EDGE),
    ("cors", Stage.EDGE),
    ("mtls", Stage.AUTHENTICATE),
    ("rbac", Stage.AUTHORIZE),
    ("acl", Stage.AUTHORIZE),
    ("quota", Stage.LIMIT),
    ("transform", Stage.TRANSFORM),
    ("cache", Stage.TRANSFORM),
    ("retry", Stage.RETRY),
    ("circuitbreaker", Stage.ATTEMPT),
    ("attempt_log", Stage.ATTEMPT),
]


def order(configured=None):
    """Return the names in pipeline order, whatever the order in which plugins were found."""
    offers = [PolicyRegistration(name=name, build=print, stage=stage) for name, stage in POLICIES]
    random.shuffle(offers)
    host = PluginHost([Plugin(name="all", distribution="all", registrations=tuple(offers))])
    return [policy.name for policy in sorted_policies(host, configured or {})]


def test_the_default_order_is_by_stage_then_by_name():
    """Frozen: another order would change what existing configurations do."""
    assert [stage.name for stage in Stage] == [
        "EDGE",
        "AUTHENTICATE",
        "AUTHORIZE",
        "LIMIT",
        "TRANSFORM",
        "RETRY",
        "ATTEMPT",
    ]
    assert order() == [
        "cors",
        "request_id",
        "mtls",
        "acl",
        "rbac",
        "quota",
        "cache",
        "transform",
        "retry",
        "attempt_log",
        "circuitbreaker",
    ]


def test_the_configuration_says_what_comes_first_in_a_stage():
    assert order({"edge": ("request_id",), "attempt": ("circuitbreaker", "attempt_log")}) == [
        "request_id",
        "cors",
        "mtls",
        "acl",
        "rbac",
        "quota",
        "cache",
        "transform",
        "retry",
        "circuitbreaker",
        "attempt_log",
    ]


def test_rules_have_their_policies_in_that_order(load, index):
    offers = [PolicyRegistration(name=name, build=print, stage=stage, default_on=True) for name, stage in POLICIES]
    index.install("acme", *offers)
    text = load.one_rule + "        plugins: {cache: {}}\n  pipeline: {order: {transform: [transform]}}\n"
    configuration = load(text)
    (rule,) = configuration.rules
    assert [policy.name for policy in rule.policies][5:8] == ["quota", "transform", "cache"]
    assert [policy.name for policy in configuration.edge_policies] == ["cors", "request_id"]


def test_an_order_that_is_wrong(load, index):
    index.add("cors", "rbac")
    assert load.problems("gateway: {pipeline: {order: {egde: [cors]}}}") == [
        (
            "gateway.yaml:1:29: gateway.pipeline.order: 'egde' is not a stage; the stages are edge, authenticate, "
            "authorize, limit, transform, retry, attempt"
        )
    ]
    assert load.problems("gateway: {pipeline: {order: {edge: [rbac, cros, retry]}}}") == [
        "gateway.yaml:1:37: gateway.pipeline.order.edge[0]: 'rbac' is a policy of the stage 'authorize'; list it there",
        (
            "gateway.yaml:1:43: gateway.pipeline.order.edge[1]: no installed plugin provides the policy 'cros'; "
            "did you mean 'cors'? installed are 'cors'"
        ),
        (
            "gateway.yaml:1:49: gateway.pipeline.order.edge[2]: no installed plugin provides the policy 'retry'; "
            "it ships in gateway-retry:  pip install 'gateway[retry]'"
        ),
    ]
    assert load.problems("gateway: {pipeline: {order: [cors]}}") == [
        "gateway.yaml:1:29: gateway.pipeline.order: this list is not a block; write its keys below it, indented"
    ]
