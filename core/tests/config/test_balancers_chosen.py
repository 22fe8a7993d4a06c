"""Which balancer a rule uses."""

from __future__ import annotations

import pytest
from pydantic import Field

from gateway import BalancerRegistration, Config


def balancer(load, keys="", gateway=""):
    (rule,) = load(f"{load.one_rule}        {keys}\n{gateway}").rules
    return rule.balancer


def test_round_robin_is_the_default(load):
    assert balancer(load).name == "round_robin"


def test_the_default_can_be_changed_and_a_rule_can_name_another(load):
    text = load.one_rule.replace("  router:\n", "  router:\n    defaultLoadBalance: least_connections\n")
    assert load(text).rules[0].balancer.name == "least_connections"
    assert balancer(load, "loadBalance: weighted_round_robin").name == "weighted_round_robin"


def test_the_original_gateways_names(load, index):
    index.add("affinity")
    assert balancer(load, "loadBalance: weighted").name == "weighted_round_robin"
    assert balancer(load, "loadBalance: sticky").name == "sticky_session"


def test_a_balancer_is_configured_for_the_gateway_and_for_rules(load, index):
    index.add("affinity")
    gateway = "  sessionAffinity: {cookieName: a}\n"
    assert balancer(load, "loadBalance: sticky_session", gateway).config.cookie_name == "a"
    keys = "{loadBalance: sticky_session, sessionAffinity: {cookieName: b}}"
    text = load.one_rule + f"      - {keys[:-1]}, path: /b, serviceName: users}}\n{gateway}"
    assert load(text).rules[1].balancer.config.cookie_name == "b"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        (
            "robin",
            "no installed plugin provides the balancer 'robin'; did you mean 'round_robin'? installed are 'least_co",
        ),
        (
            "zzz",
            "no installed plugin provides the balancer 'zzz'; installed are 'least_connections', 'round_robin', 'weigh",
        ),
        (
            "sticky",
            "no installed plugin provides the balancer 'sticky'; it ships in gateway-affinity:  pip install 'gatew",
        ),
        ("5", "no installed plugin provides the balancer '5'; installed are 'least_connections', 'round_robin', "),
    ],
)
def test_a_balancer_that_is_not_there(load, name, problem):
    (found,) = load.problems(f"{load.one_rule}        loadBalance: {name}\n")
    assert found.startswith(f"gateway.yaml:11:22: gateway.router.rules[0].loadBalance: {problem}")


def test_without_balancers_the_first_rule_says_so(load, index):
    index.remove("balancers")
    assert load.problems(load.one_rule + "      - {path: /b, serviceName: users}\n") == [
        (
            "gateway.yaml:9:9: gateway.router.rules[0]: no installed plugin provides the balancer 'round_robin'; "
            "it ships in gateway-balancers:  pip install 'gateway[balancers]'"
        )
    ]


def test_a_default_that_is_not_there(load):
    text = load.one_rule.replace("  router:\n", "  router:\n    defaultLoadBalance: robin\n")
    (problem,) = load.problems(text + "      - {path: /b, serviceName: users}\n")
    assert problem.startswith("gateway.yaml:8:25: gateway.router.defaultLoadBalance: no installed plugin provides the")


def test_a_block_for_another_balancer_has_no_effect(load, index):
    index.add("affinity")
    assert load.warnings(load.one_rule + "        sessionAffinity: {cookieName: a}\n") == [
        (
            "gateway.yaml:11:9: gateway.router.rules[0].sessionAffinity: has no effect, because loadBalance is "
            "'round_robin' here and not 'sticky_session'"
        )
    ]


def test_a_balancer_cannot_be_turned_off(load, index):
    index.add("affinity")
    (problem,) = load.problems(
        load.one_rule + "        loadBalance: sticky\n        sessionAffinity: {enabled: false}\n"
    )
    assert problem.endswith("sessionAffinity.enabled: means nothing for a balancer, which loadBalance chooses")


def test_a_balancer_may_say_that_it_is_on(load, index):
    """As files of the original do, where this turned it on."""
    index.add("affinity")
    assert load(load.one_rule + "        loadBalance: sticky\n        sessionAffinity: {enabled: true}\n").rules


def test_a_balancer_that_is_wrong(load, index):
    index.add("affinity")
    keys = "        loadBalance: sticky\n        sessionAffinity: {cookieName: [a]}\n"
    assert load.problems(load.one_rule + keys) == [
        (
            "gateway.yaml:12:39: gateway.router.rules[0].sessionAffinity.cookieName: this list is not text; "
            "write a single value"
        )
    ]


class Needy(Config):
    zone: str = Field(description="The zone of this gateway.")


def test_a_balancer_that_lacks_its_block_is_told_where_it_belongs(load, index):
    index.install("needy", BalancerRegistration(name="needy", summary="Needs a zone", config=Needy, build=print))
    (found,) = load.problems(f"{load.one_rule}        loadBalance: needy\n")
    remedy = "write 'zone: ...' in a block gateway.plugins.needy"
    assert found == f"gateway.yaml: gateway.plugins.needy.zone: the key is missing; {remedy}"
