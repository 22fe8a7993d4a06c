"""``gateway graph``."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest


@pytest.fixture
def orders(index, write):
    """A configuration in which every reason for a place occurs."""
    first = """
        from gateway import PolicyRegistration

        class Through:
            def wrap(self, next, route):
                return next

        def build(config, context):
            return Through()

        b = PolicyRegistration(name="b", summary="Second by name", build=build)
        a = PolicyRegistration(name="a", summary="First by name", build=build)
        z = PolicyRegistration(name="z", summary="First by order", build=build, default_on=True)
    """
    index.install("gateway-letters", first)
    return write(
        """
        gateway:
          pipeline:
            order: {transform: [z]}
          plugins:
            a: {}
            b: {onError: allow}
          cors: {}
          auth:
            jwt: {secret: s3cret}
          registry:
            static:
              services:
                - name: orders
                  instances: [10.0.0.1, 10.0.0.2]
                - name: other
          router:
            rules:
              - id: orders
                path: /orders/*
                methods: [GET]
                serviceName: orders
                authRequired: true
                rateLimit: 5
                stripPrefix: /orders
                auth: {scopes: [read]}
                loadBalance: random
              - id: other
                path: /other
                serviceName: other
        """
    )


REWRITE = "stripPrefix and addPrefix: before the policies further in, one of which may have the last word"
CHAIN = [
    ("", "http", "adapter", "accepts connections; on by default"),
    ("edge", "cors", "policy", "stage edge; by name within it"),
    ("", "rewrite", "core", REWRITE),
    ("authenticate", "jwt", "authenticator", "stage authenticate; tried as number 1; required"),
    ("authorize", "scopes(read)", "core", "auth.scopes or requiredScopes"),
    ("limit", "ratelimit", "limiter", "stage limit; limits come first"),
    ("transform", "z", "policy", "stage transform; number 1 of gateway.pipeline.order.transform; on by default"),
    ("transform", "a", "policy", "stage transform; by name within it, behind what gateway.pipeline.order names"),
    (
        "transform",
        "b",
        "policy",
        "stage transform; by name within it, behind what gateway.pipeline.order names; left out when it fails",
    ),
    ("", "orders", "service", "the rule's serviceName"),
    ("", "random", "balancer", "the rule's loadBalance: chooses the instance of each attempt"),
    ("", "http", "connector", "protocol http (http); on by default"),
    ("", "10.0.0.1", "instance", "listed by static"),
    ("", "10.0.0.2", "instance", "listed by static"),
]  # fmt: skip


def test_the_chain_of_a_route_says_why(gateway, orders):
    (route,) = json.loads(gateway("graph", "orders", "--json").out)
    chain = [(link["stage"] or "", link["name"], link["kind"], link["why"]) for link in route["chain"]]
    assert chain == CHAIN
    assert (route["route"], route["matches"]) == ("orders", "GET /orders/*")
    by_name = {(link["kind"], link["name"]): link for link in route["chain"]}
    assert by_name["policy", "a"]["where"].startswith("gateway.yaml:")
    assert by_name["policy", "a"]["plugin"] == "gateway-letters"
    assert "s3cret" not in gateway("graph").out


def test_people_get_a_table_for_each_route_as_they_are_tried(gateway, orders):
    out = gateway("graph").out
    titles = re.findall(r"^(\S+ \S+)  \((\w+), gateway\.yaml:\d+:\d+\)$", out, re.MULTILINE)
    assert titles == [("* /other", "other"), ("GET /orders/*", "orders")]
    assert re.search(r"^limit +ratelimit +limiter +gateway-ratelimit", out, re.MULTILINE)


def test_a_route_is_found_by_its_path_too(gateway, orders):
    (route,) = json.loads(gateway("graph", "/other", "--json").out)
    assert route["route"] == "other"
    assert [link["name"] for link in route["chain"] if link["kind"] in ("instance", "discovery provider")] == []


def test_a_route_that_is_not_there_is_a_mistake(gateway, orders):
    refused = gateway("graph", "order")
    assert refused.code == 2
    assert "there is no route 'order'; did you mean 'orders'?" in refused.err


def test_mermaid_shows_connectors_and_instances_side_by_side(gateway, orders):
    out = gateway("graph", "orders", "--format", "mermaid").out
    assert out.startswith('flowchart LR\n  subgraph r0["GET /orders/*"]\n')
    assert '    r0n3["jwt<br>authenticator, authenticate"]\n' in out
    arrows = re.findall(r"(\w+) --> (\w+)", out)
    assert arrows == [(f"r0n{at}", f"r0n{at + 1}") for at in range(12)] + [("r0n11", "r0n13")]


def test_dot_is_what_graphviz_reads(gateway, orders):
    out = gateway("graph", "--format", "dot").out
    assert 'label="GET /orders/*";' in out
    assert out.count("{") == out.count("}") == 3
    if shutil.which("dot"):
        subprocess.run(["dot", "-Tsvg"], input=out, text=True, check=True, capture_output=True)


@pytest.mark.parametrize(("form", "escaped"), [("mermaid", "#quot;"), ("dot", '\\"')])
def test_what_means_something_in_a_picture_is_escaped(form, escaped, gateway, index, write):
    write(
        """
        gateway:
          registry: {static: {services: [{name: 'a"b'}]}}
          router: {rules: [{path: /x, serviceName: 'a"b'}]}
        """
    )
    assert f"a{escaped}b" in gateway("graph", "--format", form).out


def test_without_rules_there_is_nothing_to_show(gateway, index, write):
    write("gateway: {registry: {static: {}}}")
    assert gateway("graph").out == "There are no rules.\n"
