from __future__ import annotations

import gc
from pathlib import Path
from textwrap import dedent

import pytest

from gateway import PolicyRegistration
from gateway.config import load_configuration
from gateway.errors import ConfigurationError

QUICK_START = """\
gateway:
  router:
    rules:
      - path: /*
        serviceName: httpbin
  registry:
    static:
      services:
        - name: httpbin
          instances:
            - address: httpbin.org
              port: 443
"""

BASIC_EXAMPLE = """\
gateway:
  frontend:
    http:
      host: "0.0.0.0"
      port: 8080
      readTimeout: 30
      writeTimeout: 30

  registry:
    type: static
    static:
      services:
        - name: example-service
          instances:
            - id: example-1
              address: "127.0.0.1"
              port: 3000
              health: healthy

  router:
    rules:
      - id: example-route
        path: /api/example/*
        serviceName: example-service
        loadBalance: round_robin
        timeout: 10  # Per-route timeout in seconds
"""


def test_the_quick_start_of_the_readme_loads_as_printed(load):
    configuration = load(QUICK_START)
    (rule,) = configuration.rules
    assert (rule.route.id, rule.route.path, rule.route.service) == ("/*", "/*", "httpbin")
    assert rule.route.timeout_s == 30.0
    assert rule.balancer.name == "round_robin"
    assert [adapter.config.port for adapter in configuration.adapters] == [8080]
    assert [provider.name for provider in configuration.discovery] == ["static"]
    assert configuration.warnings == ()


def test_the_basic_example_of_the_readme_loads_as_printed(load):
    configuration = load(BASIC_EXAMPLE)
    (rule,) = configuration.rules
    assert (rule.route.id, rule.route.timeout_s) == ("example-route", 10.0)
    assert configuration.adapters[0].config.host == "0.0.0.0"  # noqa: S104 - what the example says
    assert configuration.discovery[0].config.services[0].instances[0].health == "healthy"


@pytest.mark.parametrize("name", ["base/gateway.yaml", "examples/minimal.yaml"])
def test_the_files_in_configs_load(load, index, name):
    path = Path(__file__).parents[3] / "configs" / name
    configuration = load_configuration(path, environ={}, entry_points=index.entry_points)
    assert len(configuration.rules) == 1
    assert configuration.folder == path.parent


def test_without_a_file_the_plugins_propose_the_configuration(load):
    configuration = load(None)
    assert configuration.path is None
    assert configuration.adapters[0].config.host == "127.0.0.1"
    assert configuration.rules == ()


def test_with_a_file_no_proposal_counts(load):
    assert load("gateway:\n").adapters[0].config.host == "0.0.0.0"  # noqa: S104 - the mission's default


def test_a_file_in_the_working_folder_is_found(load, index):
    (load.folder / "configs").mkdir()
    (load.folder / "configs" / "gateway.yaml").write_text("gateway: {workers: 2}")
    assert load(None).gateway.workers == 2
    (load.folder / "gateway.yaml").write_text("gateway: {workers: 3}")
    configuration = load(None)
    assert configuration.gateway.workers == 3
    assert configuration.folder == load.folder


def test_flags_come_before_the_environment_before_the_file_before_defaults(load):
    text = "gateway: {workers: 2, shutdownTimeout: 5, logging: {level: warn, format: json}}"
    environ = {"GATEWAY__WORKERS": "3", "GATEWAY__LOGGING__LEVEL": "debug"}
    gateway = load(text, environ=environ, flags={"workers": 4, "logging.format": None}).gateway
    assert gateway.workers == 4
    assert gateway.logging.level == "debug"
    assert gateway.logging.format == "json"
    assert gateway.shutdown_timeout == 5.0
    assert gateway.errors.upstream_timeout_status == 504


def test_the_environment_of_the_process_counts(load, index, monkeypatch):
    monkeypatch.setenv("GATEWAY__WORKERS", "5")
    assert load(None, environ=None).gateway.workers == 5


def test_flags_that_are_wrong_name_the_command_line(load):
    assert load.problems(
        "gateway:\n", flags={"workers": "many", "logging.levl": "x", "frontend.http": {"port": -1}}
    ) == [
        "command line: gateway.frontend.http.port: -1 is too small; write 0 or more",
        "command line: gateway.logging.levl: unknown key; did you mean 'level'?",
        "command line: gateway.workers: 'many' is neither a whole number nor 'auto'; write one of these",
    ]


def test_a_list_from_flags_replaces_the_list(load):
    assert load("gateway: {auth: {skipPaths: [/a]}}", flags={"auth.skipPaths": ["/b"]}).gateway.auth.skip_paths == (
        "/b",
    )


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(load):
    text = """\
        gateway:
          workers: 0
          frontend:
            http: {port: abc, hots: x}
          circuitBraker: {}
          router:
            rules:
              - path: users
                serviceName: nobody
                loadBalance: robin
              - {id: a, path: /a, serviceName: users, rateLimt: 5}
              - {id: a, path: /b, serviceName: users, timeout: soon}
              - x
          registry:
            static: {services: [{name: users, instances: [{address: a}]}]}
        """
    assert load.problems(text) == [
        "gateway.yaml:2:12: gateway.workers: 0 is too small; write 1 or more",
        "gateway.yaml:4:18: gateway.frontend.http.port: 'abc' is not a whole number; write digits only",
        "gateway.yaml:4:23: gateway.frontend.http.hots: unknown key; did you mean 'host'?",
        "gateway.yaml:5:3: gateway.circuitBraker: unknown key; did you mean 'circuitBreaker'?",
        "gateway.yaml:8:15: gateway.router.rules[0].path: 'users', column 1: a path starts with '/'; write '/users'",
        (
            "gateway.yaml:10:22: gateway.router.rules[0].loadBalance: no installed plugin provides the balancer "
            "'robin'; did you mean 'round_robin'? installed are 'least_connections', 'round_robin', "
            "'weighted_round_robin'"
        ),
        "gateway.yaml:11:47: gateway.router.rules[1].rateLimt: unknown key; did you mean 'rateLimit'?",
        (
            "gateway.yaml:12:56: gateway.router.rules[2].timeout: 'soon' is not a duration; write a number or a text "
            "such as '30s', '5m' or '250ms'"
        ),
        "gateway.yaml:13:9: gateway.router.rules[3]: 'x' is not a rule; write its keys, indented, such as 'path'",
        (
            "gateway.yaml:15:51: gateway.registry.static.services[0].instances[0].port: the key is missing; "
            "write 'port: ...' here"
        ),
    ]


def test_a_file_that_is_not_there(load, index):
    with pytest.raises(ConfigurationError) as refused:
        load_configuration(Path("nowhere.yaml"), environ={}, entry_points=index.entry_points)
    assert str(refused.value) == (
        "nowhere.yaml: there is no such file; check the path, or leave it out to start with the defaults"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "gateway.yaml: is empty; it needs a block 'gateway:'"),
        ("- a\n", "gateway.yaml:1:1: does not begin with keys; it needs a block 'gateway:'"),
        ("x-common: 1\n", "gateway.yaml: there is no block 'gateway:'; everything stands below it"),
        ("gateway: 5\n", "gateway.yaml:1:1: gateway: is not a block; write the configuration below it, indented"),
        ("gateway:\nrouter: {}\n", "gateway.yaml:2:1: router: stands beside 'gateway:'; move it below, indented"),
        ("gateway:\nroutr: {}\n", "gateway.yaml:2:1: routr: unknown key; did you mean 'router' below 'gateway:'?"),
        ("gateway:\nelsewhere: {}\n", "gateway.yaml:2:1: elsewhere: unknown key; remove it"),
        (
            "gateway: {auth: 5}\n",
            "gateway.yaml:1:17: gateway.auth: 5 is not a block; write its keys below it, indented",
        ),
        (
            "gateway: {router: {rules: {}}}\n",
            "gateway.yaml:1:20: gateway.router.rules: is not a list; begin each rule with '- '",
        ),
    ],
)
def test_a_file_of_the_wrong_shape(load, text, problem):
    assert load.problems(text) == [problem]


def test_a_misspelt_root_is_suggested(load):
    assert load.problems("gatway: {}\n") == [
        "gateway.yaml:1:1: gatway: unknown key; did you mean 'gateway'?",
        "gateway.yaml: there is no block 'gateway:'; everything stands below it",
    ]


def test_extension_keys_hold_anchors(load):
    text = """\
        x-timeouts: &timeouts {readTimeout: 5, writeTimeout: 6}
        gateway:
          frontend:
            http: {<<: *timeouts, writeTimeout: 7}
        """
    config = load(text).adapters[0].config
    assert (config.read_timeout, config.write_timeout) == (5.0, 7.0)


def test_empty_blocks_are_as_good_as_none(load):
    configuration = load("gateway:\n  frontend:\n  auth:\n  router:\n    rules:\n  logging:\n")
    assert configuration.rules == ()
    assert configuration.gateway.logging.level == "info"


# Nothing can listen.


def test_the_core_alone_says_that_nothing_can_listen(load, index):
    index.remove("http", "static", "balancers")
    assert load.problems(None) == [
        (
            "nothing can listen: no installed plugin provides an adapter; "
            "it ships in gateway-http:  pip install 'gateway[http]'"
        )
    ]


def test_with_gateway_http_alone_a_gateway_without_rules_starts(load, index):
    index.remove("static", "balancers")
    assert load(None).rules == ()


def test_adapters_that_are_all_off(load):
    assert load.problems("gateway: {frontend: {http: {enabled: false}}}") == [
        "gateway.yaml: nothing can listen: every adapter is off; turn on gateway.frontend.http"
    ]


def test_an_adapter_that_is_broken(load, index):
    index.remove("http")
    index.install("gateway-http", source="raise RuntimeError('no libc')", version="0.2.0")
    (problem,) = load.problems("gateway:\n")
    assert problem.startswith("gateway.yaml: nothing can listen: plugin 'http' of gateway-http 0.2.0 provides it and")
    assert "RuntimeError: no libc" in problem


# Plugins that the configuration names.


def test_a_plugin_file_is_on_by_default(load):
    (load.folder / "hello.py").write_text(
        dedent("""\
            import gateway

            @gateway.policy
            async def hello(exchange, call_next):
                return await call_next(exchange)
            """)
    )
    configuration = load(load.one_rule + "  plugins: {files: [hello.py]}\n")
    assert [policy.name for policy in configuration.rules[0].policies] == ["hello"]
    off = load(load.one_rule + "  plugins: {files: hello.py, hello: {enabled: false}}\n")
    assert off.rules[0].policies == ()


def test_a_plugin_file_can_be_given_as_a_flag(load, tmp_path):
    path = tmp_path / "hello.py"
    path.write_text("import gateway\n\n@gateway.policy\nasync def hello(exchange, call_next): ...\n")
    (rule,) = load(load.one_rule, plugin_files=[path]).rules
    assert [policy.plugin.file for policy in rule.policies] == [path]


def test_a_plugin_file_that_is_not_there(load):
    assert load.problems("gateway: {plugins: {files: [hello.py]}}", plugin_files=[Path("other.py")]) == [
        (
            "gateway.yaml:1:29: gateway.plugins.files[0]: there is no file 'hello.py'; "
            "write its path from the folder of this file"
        ),
        "command line: there is no plugin file 'other.py'; check the path",
    ]


def test_a_plugin_file_that_is_broken_is_always_a_problem(load):
    (load.folder / "hello.py").write_text("import nothing_of_that_name")
    (problem,) = load.problems("gateway: {plugins: {files: [hello.py]}}")
    assert problem.startswith("plugin 'hello' of hello.py cannot be used: importing gateway_plugin_files.hello raised ")
    assert "No module named 'nothing_of_that_name'" in problem


@pytest.mark.parametrize("name", ["cors", "gateway-cors", "gateway_cors"])
def test_a_disabled_plugin_is_not_there(load, index, name):
    index.install("gateway-cors", source="raise RuntimeError('imported after all')")
    configuration = load(f"gateway: {{disabledPlugins: [{name}]}}")
    assert [plugin.name for plugin in configuration.host.disabled] == ["cors"]
    assert [str(warning) for warning in configuration.warnings] == []


def test_plugins_can_be_disabled_by_the_environment(load, index):
    index.add("cors")
    environ = {"GATEWAY__DISABLED_PLUGINS": "cors, log"}
    configuration = load("gateway:\n", environ=environ)
    assert [plugin.name for plugin in configuration.host.disabled] == ["cors"]
    assert [str(warning) for warning in configuration.warnings] == [
        (
            "GATEWAY__DISABLED_PLUGINS: gateway.disabledPlugins[1]: no plugin 'log' is installed; "
            "known are 'balancers', 'http', 'static'"
        )
    ]


def test_a_broken_plugin_that_nobody_needs_is_a_warning(load, index):
    index.install("gateway-cors", source="1 / 0")
    (warning,) = load.warnings("gateway:\n")
    assert warning.startswith(
        "plugin 'cors' of gateway-cors 0.1.0 cannot be used: importing gateway_cors raised ZeroDiv"
    )


def test_two_providers_of_one_name_are_refused(load, index):
    index.add("cors")
    index.install("acme-cors", PolicyRegistration(name="cors", build=print), version="2.0")
    assert (
        "policy 'cors' is offered by both acme-cors 2.0 (plugin 'acme-cors') and gateway-cors 0.1.0 (plugin 'cors'); "
        "uninstall one of them, or name its plugin in gateway.disabledPlugins" in load.problems("gateway:\n")
    )


# What is built gateway-wide.


def test_offers_that_are_no_rules_business_are_configured_once(load, index):
    index.add("log", "healthcheck", "cors", "docker")
    configuration = load("gateway: {health: {}, cors: {maxAge: 5}, registry: {docker: {host: tcp://d}}}")
    assert [observer.name for observer in configuration.observers] == ["log"]
    assert [checker.name for checker in configuration.health_checkers] == ["active"]
    assert [route.name for route in configuration.admin_routes] == ["checks"]
    assert [policy.config.max_age for policy in configuration.edge_policies] == [5]
    assert [provider.config.host for provider in configuration.discovery] == ["tcp://d"]
    assert configuration.edge_policies[0].where == "gateway.yaml:1:23"
    assert configuration.edge_policies[0].plugin.name == "cors"


def test_secrets_do_not_show_in_raw(load, index):
    index.add("jwt", "apikey")
    text = """\
        gateway:
          admin: {token: t0psecret}
          auth:
            jwt: {secret: "${JWT_SECRET}", issuer: "https://user:pw@idp"}
            apikey: {keys: {mobile: abc}}
        """
    raw = load(text, environ={"JWT_SECRET": "s3cret"}).raw
    assert raw == {
        "admin": {"token": "***"},
        "auth": {"jwt": {"secret": "***", "issuer": "https://***@idp"}, "apikey": {"keys": {"mobile": "***"}}},
    }


def test_the_garbage_collector_runs_again_afterwards(load):
    load("gateway:\n")
    assert gc.isenabled()
    gc.disable()
    try:
        load("gateway:\n")
        assert not gc.isenabled()
    finally:
        gc.enable()
