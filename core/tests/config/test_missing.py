"""What is said of plugins that are not there."""

from __future__ import annotations

import pytest

from gateway import PolicyRegistration
from gateway.config.catalogue import BLOCKS, OFFERS, RULE_KEYS


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (
            "cors: {}",
            "cors: no installed plugin provides 'cors'; it ships in gateway-cors:  pip install 'gateway[cors]'",
        ),
        (
            "middleware: {authz: {rbac: {}}}",
            "middleware.authz: no installed plugin provides 'authz'; it ships in gateway-rb",
        ),
        ("corss: {}", "corss: unknown key; did you mean 'cors'?"),
        ("auth: {jwtt: {}}", "auth.jwtt: unknown key; did you mean 'jwt'?"),
        ("nothing: {}", "nothing: unknown key; remove it"),
        (
            "plugins: {acme: {}}",
            "plugins.acme: no installed plugin provides 'acme'; install the one that does, or remove",
        ),
        (
            "plugins: {roundrobin: {}}",
            "plugins.roundrobin: no installed plugin provides 'roundrobin'; did you mean 'round",
        ),
        ("plugins: {http: {}}", "plugins.http: 'http' has a place of its own; write it as gateway.frontend.http"),
    ],
)
def test_blocks_that_nobody_reads(load, block, problem):
    (found,) = load.problems(f"gateway: {{{block}}}")
    assert f": gateway.{problem}" in found


def test_a_missing_plugin_is_named_with_its_place_and_how_to_install_it(load):
    assert load.problems("gateway:\n  auth:\n    jwt: {}\n") == [
        (
            "gateway.yaml:3:5: gateway.auth.jwt: no installed plugin provides 'jwt'; "
            "it ships in gateway-jwt:  pip install 'gateway[jwt]'"
        )
    ]


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (
            "rateLimit: 5",
            "rateLimit: no installed plugin provides 'rateLimit'; it ships in gateway-ratelimit:  pip install",
        ),
        ("rateLimt: 5", "rateLimt: unknown key; did you mean 'rateLimit'?"),
        (
            "auth: {jwt: {}}",
            "auth.jwt: no installed plugin provides 'jwt'; it ships in gateway-jwt:  pip install 'gatewa",
        ),
        ("auth: {scope: a}", "auth.scope: unknown key; did you mean 'scopes'?"),
        ("plugins: {hello: {}}", "plugins.hello: no installed plugin provides 'hello'; install the one that does, or "),
        ("plugins: {cors: {}}", "plugins.cors: 'cors' has a place of its own; write it as cors"),
        ("service_name: a", "service_name: unknown key; did you mean 'serviceName'?"),
    ],
)
def test_keys_of_a_rule_that_nobody_reads(load, index, key, problem):
    index.add("cors")
    (found,) = load.problems(f"{load.one_rule}        {key}\n")
    assert f"gateway.router.rules[0].{problem}" in found
    assert found.startswith("gateway.yaml:11:")


def test_a_broken_plugin_that_is_needed(load, index):
    index.install("gateway-jwt", source="import joserfc_that_is_not_there", version="0.3.0")
    (problem,) = load.problems("gateway: {auth: {jwt: {}}}")
    assert problem.startswith(
        "gateway.yaml:1:18: gateway.auth.jwt: plugin 'jwt' of gateway-jwt 0.3.0 provides it and cannot be used: "
        "importing gateway_jwt raised ModuleNotFoundError: No module named 'joserfc_that_is_not_there'"
    )
    assert problem.endswith("; mend it or install it again")


def test_a_third_partys_broken_plugin_that_is_needed(load, index):
    index.install("acme-plugin", source="raise ValueError('oh')", name="acme")
    (problem,) = load.problems("gateway: {plugins: {acme: {}}}")
    assert (
        "plugin 'acme' of acme-plugin 0.1.0 provides it and cannot be used: importing acme_plugin raised Val" in problem
    )


def test_a_disabled_plugin_that_is_needed(load, index):
    index.add("jwt")
    assert load.problems("gateway: {auth: {jwt: {}}, disabledPlugins: [jwt]}") == [
        (
            "gateway.yaml:1:18: gateway.auth.jwt: plugin 'jwt' of gateway-jwt 0.1.0 provides it and is named in "
            "gateway.disabledPlugins; remove it there"
        )
    ]


def test_an_older_plugin_that_does_not_provide_it_yet(load, index):
    index.install("gateway-cors", PolicyRegistration(name="other", build=print))
    assert load.problems("gateway: {cors: {}}") == [
        (
            "gateway.yaml:1:11: gateway.cors: plugin 'cors' of gateway-cors 0.1.0 does not provide it; another version "
            "may:  pip install --upgrade 'gateway[cors]'"
        )
    ]


def test_a_broken_balancer_that_every_rule_needs(load, index):
    index.remove("balancers")
    index.install("gateway-balancers", source="1 / 0")
    (problem,) = load.problems(load.one_rule + "      - {path: /b, serviceName: users}\n")
    assert problem.startswith(
        "gateway.yaml:9:9: gateway.router.rules[0]: plugin 'balancers' of gateway-balancers 0.1.0"
    )


def test_the_catalogue_knows_the_first_party_distributions():
    assert {*BLOCKS.values(), *RULE_KEYS.values(), *OFFERS.values()} == {
        *("http", "http2", "static", "balancers", "websocket", "sse", "grpc", "jwt", "apikey", "oauth2", "rbac"),
        *("ratelimit", "cors", "transform", "versioning", "openapi", "circuitbreaker", "retry", "affinity"),
        *("healthcheck", "docker", "kubernetes", "otel", "prometheus", "management"),
    }
