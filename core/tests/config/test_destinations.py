"""Services, registries and protocols."""

from __future__ import annotations

from gateway import Config, ConnectorRegistration, DiscoveryRegistration, PolicyRegistration


def test_a_service_that_no_static_registry_knows(load):
    assert load.problems(load.one_rule.replace("serviceName: users", "serviceName: user")) == [
        (
            "gateway.yaml:10:22: gateway.router.rules[0].serviceName: no registry knows the service 'user'; "
            "did you mean 'users'?"
        )
    ]


def test_other_registries_may_come_to_know_any_service(load, index):
    index.add("docker")
    text = load.one_rule.replace("serviceName: users", "serviceName: later").replace(
        "  registry:\n", "  registry:\n    docker: {}\n"
    )
    assert load(text).rules[0].route.service == "later"


def test_a_registry_whose_services_have_no_names_may_know_any(load, index):
    class Odd(Config):
        services: tuple[str, ...] = ("users",)

    index.install("acme", DiscoveryRegistration(name="odd", build=print, config=Odd, default_on=True))
    assert load(load.one_rule.replace("serviceName: users", "serviceName: later")).rules[0].route.service == "later"


def test_without_a_registry_the_first_rule_says_so(load):
    text = "gateway: {router: {rules: [{path: /a, serviceName: a}, {path: /b, serviceName: b}]}}"
    assert load.problems(text) == [
        (
            "gateway.yaml:1:52: gateway.router.rules[0].serviceName: no registry is on that could know the service; "
            "add a block gateway.registry.static"
        )
    ]


def test_a_registry_that_is_missing_is_reported_alone(load, index):
    index.remove("static")
    (problem,) = load.problems(load.one_rule)
    assert "gateway.registry.static: no installed plugin provides 'static'" in problem


def test_a_registry_that_is_wrong_is_reported_alone(load):
    (problem,) = load.problems(load.one_rule.replace("port: 3000", "port: x"))
    assert "gateway.registry.static.services[0].instances[0].port: 'x' is not a whole number" in problem


def test_a_rule_needs_a_service_unless_a_plugin_of_its_own_answers(load, index):
    index.install("acme", PolicyRegistration(name="hello", build=print))
    assert load.problems("gateway: {router: {rules: [{path: /}]}}") == [
        ("gateway.yaml:1:28: gateway.router.rules[0].serviceName: the key is missing; write 'serviceName: ...' here")
    ]
    (rule,) = load("gateway: {router: {rules: [{path: /, plugins: {hello: {}}}]}}").rules
    assert rule.route.service == ""


# registry.type


def providers(load, registry):
    configuration = load(f"gateway: {{registry: {registry}}}")
    return [provider.name for provider in configuration.discovery], [str(each) for each in configuration.warnings]


def test_registries_are_on_if_their_blocks_are_there(load, index):
    index.add("docker")
    assert providers(load, "{}") == ([], [])
    assert providers(load, "{static: {}, docker: {}}") == (["docker", "static"], [])
    assert providers(load, "{static: {}, docker: {enabled: false}}") == (["static"], [])


def test_the_type_chooses_among_them(load, index):
    index.add("docker")
    assert providers(load, "{type: docker}") == (["docker"], [])
    assert providers(load, "{type: [Static, docker], static: {}}") == (["docker", "static"], [])
    assert providers(load, "{type: docker, static: {}}") == (
        ["docker"],
        [
            (
                "gateway.yaml:1:36: gateway.registry.static: has no effect, because gateway.registry.type does not "
                "name 'static'"
            )
        ],
    )


def test_the_type_leaves_registries_alone_that_stand_elsewhere(load, index):
    index.install("acme", DiscoveryRegistration(name="etcd", build=print))
    configuration = load("gateway: {registry: {type: static}, plugins: {etcd: {}}}")
    assert [provider.name for provider in configuration.discovery] == ["etcd", "static"]


def test_a_type_that_is_missing(load):
    (problem,) = load.problems("gateway: {registry: {type: dockercompose}}")
    assert problem.startswith(
        "gateway.yaml:1:28: gateway.registry.type: no installed plugin provides the discovery provider 'dockercompose'"
    )
    assert load.problems("gateway: {registry: {type: consul}}")[0].endswith("'consul'; installed are 'static'")


# Protocols.


def test_a_protocol_that_nobody_speaks(load):
    assert load.problems(load.one_rule + "        protocol: grpc\n") == [
        (
            "gateway.yaml:11:19: gateway.router.rules[0].protocol: no installed plugin provides the protocol 'grpc'; "
            "it ships in gateway-grpc:  pip install 'gateway[grpc]'"
        )
    ]
    (problem,) = load.problems(load.one_rule + "        protocol: gopher\n")
    assert problem.endswith("no installed plugin provides the protocol 'gopher'; installed are 'http'")


def test_a_connector_that_is_off(load):
    assert load.problems(load.one_rule + "  backend: {http: {enabled: false}}\n") == [
        ("gateway.yaml:9:9: gateway.router.rules[0]: the connector 'http' for the protocol 'http' is off; turn it on")
    ]


def test_a_connector_that_is_wrong_is_reported_alone(load):
    (problem,) = load.problems(load.one_rule + "  backend: {http: {responseHeaderTimeout: x}}\n")
    assert "gateway.backend.http.responseHeaderTimeout: 'x' is not a duration" in problem


def test_several_connectors_may_speak_one_protocol(load, index):
    index.install(
        "acme",
        ConnectorRegistration(name="a", build=print, protocol="http", schemes=("a",), default_on=True),
    )
    configuration = load(load.one_rule + "  backend: {http: {responseHeaderTimeout: 7}}\n")
    assert [connector.name for connector in configuration.connectors] == ["a", "http"]
    assert configuration.rules[0].route.timeout_s == 7.0


def test_a_connector_without_a_timeout_leaves_the_cores_default(load, index):
    index.install(
        "acme",
        ConnectorRegistration(name="a", build=print, protocol="a", schemes=("a",), default_on=True),
    )
    assert load.rule("protocol: A").route.timeout_s == 30.0
