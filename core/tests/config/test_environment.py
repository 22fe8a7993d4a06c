from __future__ import annotations

import pytest


def raw(load, text="gateway:\n", **environ):
    return load(text, environ=environ).raw


@pytest.mark.parametrize(
    "name",
    [
        "GATEWAY__FRONTEND__HTTP__READTIMEOUT",
        "GATEWAY__FRONTEND__HTTP__READ_TIMEOUT",
        "gateway__frontend__http__readTimeout",
        "GATEWAY_GATEWAY_FRONTEND_HTTP_READTIMEOUT",
        "GATEWAY_GATEWAY_FRONTEND_HTTP_READ_TIMEOUT",
    ],
)
def test_a_variable_is_spelt_in_many_ways(load, name):
    assert load("gateway:\n", environ={name: "5s"}).adapters[0].config.read_timeout == 5.0


def test_values_become_what_the_key_takes(load, index):
    index.add("cors", "jwt")
    environ = {
        "GATEWAY__WORKERS": "3",
        "GATEWAY__ROUTER__ENCODED_SLASHES": "true",
        "GATEWAY__SHUTDOWN_TIMEOUT": "1m",
        "GATEWAY__AUTH__JWT__SECRET": "12345",
        "GATEWAY__AUTH__SKIP_PATHS": "/a, /b",
        "GATEWAY__CORS__ALLOWED_ORIGINS": '["c", "d"]',
        "GATEWAY__CORS__MAX_AGE": "null",
    }
    configuration = load("gateway: {cors: {maxAge: 1}}", environ=environ)
    gateway = configuration.gateway
    assert (gateway.workers, gateway.router.encoded_slashes, gateway.shutdown_timeout) == (3, True, 60.0)
    assert gateway.auth.skip_paths == ("/a", "/b")
    (cors,) = configuration.edge_policies
    assert (cors.config.allowed_origins, cors.config.max_age) == (("c", "d"), 86400)
    assert configuration.raw["auth"]["jwt"] == {"secret": "***"}


def test_text_that_looks_like_a_list_stays_text_where_only_text_is_taken(load):
    assert load("gateway:\n", environ={"GATEWAY__FRONTEND__HTTP__HOST": "[::1]"}).adapters[0].config.host == "[::1]"


def test_a_block_is_laid_over_the_one_in_the_file(load, index):
    index.add("cors")
    text = "gateway: {cors: {maxAge: 5, allowedOrigins: [a]}}"
    assert raw(load, text, GATEWAY__CORS="{maxAge: 6}") == {"cors": {"maxAge": 6, "allowedOrigins": ["a"]}}


def test_a_variable_can_turn_a_plugin_on_and_off(load, index):
    index.add("cors")
    assert load("gateway:\n", environ={"GATEWAY__CORS": "{}"}).edge_policies != ()
    assert load("gateway: {cors: {}}", environ={"GATEWAY__CORS__ENABLED": "false"}).edge_policies == ()


def test_numbers_are_positions_in_a_list(load):
    (rule,) = load(load.one_rule, environ={"GATEWAY__ROUTER__RULES__0__TIMEOUT": "7"}).rules
    assert rule.route.timeout_s == 7.0


def test_whole_rules(load):
    rules = '[{"path": "/a", "serviceName": "users"}]'
    (rule,) = load(load.one_rule, environ={"GATEWAY__ROUTER__RULES": rules}).rules
    assert rule.route.path == "/a"


def test_keys_that_nobody_knows_beforehand(load, index):
    index.add("apikey", "ratelimit")
    configuration = load(
        "gateway: {auth: {apikey: {keys: {Mobile-App: a}}}}",
        environ={
            "GATEWAY__AUTH__APIKEY__KEYS__MOBILEAPP": "b",
            "GATEWAY__AUTH__APIKEY__KEYS__WEB": "c",
            "GATEWAY__RATE_LIMIT_STORAGE__STORES__MAIN__TYPE": "memory",
        },
    )
    assert configuration.raw["auth"]["apikey"]["keys"] == {"Mobile-App": "***", "web": "***"}
    assert configuration.raw["rateLimitStorage"] == {"stores": {"main": {"type": "memory"}}}


def test_an_empty_variable_counts_as_not_set(load):
    assert raw(load, GATEWAY__WORKERS="", GATEWAY_GATEWAY_NONSENSE="") == {}


def test_the_form_with_double_underscores_wins(load):
    assert load("gateway:\n", environ={"GATEWAY__WORKERS": "2", "GATEWAY_GATEWAY_WORKERS": "3"}).gateway.workers == 2


def test_variables_in_variables_are_not_expanded(load):
    environ = {"GATEWAY__FRONTEND__HTTP__HOST": "${HOST}", "HOST": "a"}
    assert load("gateway:\n", environ=environ).adapters[0].config.host == "${HOST}"


def test_other_variables_do_not_matter(load):
    assert raw(load, GATEWAY_PORT="tcp://10.0.0.1:80", GATEWAY="x", PATH="/bin", MY_GATEWAY__WORKERS="9") == {}


@pytest.mark.parametrize(
    "name", ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR"]
)
def test_what_kubernetes_sets_for_a_service_named_gateway_gateway_is_no_override(load, name):
    configuration = load("gateway:\n", environ={f"GATEWAY_GATEWAY_{name}": "tcp://10.0.0.1:80"})
    assert configuration.warnings == ()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("GATEWAY__FRONTED__HTTP__PORT", "1", "there is no 'FRONTED' in gateway; did you mean 'FRONTEND'?"),
        ("GATEWAY__FRONTEND__HTTP__PRT", "1", "there is no 'PRT' in gateway.frontend.http; did you mean 'PORT'?"),
        ("GATEWAY__ZZZ", "1", "there is no 'ZZZ' in gateway; unset it"),
        ("GATEWAY__", "1", "there is no '' in gateway; unset it"),
        ("GATEWAY__ROUTER__RULES__1__PATH", "/", "there is no '1' in gateway.router.rules; unset it"),
        (
            "GATEWAY__AUTH__JWT__SECRET",
            "x",
            "no installed plugin provides 'jwt'; it ships in gateway-jwt:  pip install 'gateway[jwt]'",
        ),
        (
            "GATEWAY__FRONTEND__HTTP__PORT",
            "http",
            "gateway.frontend.http.port: 'http' is not a whole number; write digits only",
        ),
        ("GATEWAY__FRONTEND", "[", "not YAML: did not find expected node content while parsing a flow node"),
        ("GATEWAY__FRONTEND", "[\udcff", "the character U+DCFF may not stand in YAML; remove it"),
        ("GATEWAY__FRONTEND", "5", "gateway.frontend: '5' is not a block; write its keys below it, indented"),
    ],
)
def test_variables_that_are_wrong_are_named(load, name, value, problem):
    (found,) = load.problems(load.one_rule, environ={name: value})
    assert found.startswith(f"{name}: {problem}")


def test_a_variable_in_the_original_form_that_leads_nowhere_is_a_warning(load):
    assert load.warnings("gateway:\n", environ={"GATEWAY_GATEWAY_NONSENSE": "1"}) == [
        (
            "GATEWAY_GATEWAY_NONSENSE: leads to no key of the configuration; "
            "write GATEWAY__... with the keys that lead there"
        )
    ]
