from __future__ import annotations

import json
from textwrap import dedent

import pytest

SHOP_IS_VALID = """\
gateway.yaml is valid.

Rules: 3
METHODS    HOST           PATH        CONDITIONS        SERVICE  BALANCER     TIMEOUT  POLICIES              ID     WHERE
*          files.example  /*                            files    round_robin  30s      cors, jwt (optional)  files  gateway.yaml:28:9
GET, POST  *              /users/:id                    users    round_robin  250ms    cors, jwt, ratelimit  user   gateway.yaml:14:9
*          *              /users/*    x-version: v1|v2  users    random       30s      cors, jwt (optional)  beta   gateway.yaml:23:9

Services: 2
SERVICE  INSTANCES  RULES
files    0          1
users    2          2

Components beside the rules: 3
KIND                NAME    PLUGIN          WHERE
adapter             http    gateway-http    by default
connector           http    gateway-http    by default
discovery provider  static  gateway-static  gateway.yaml:8:5

Plugins: 6
balancers (gateway-balancers 0.1.0), cors (gateway-cors 0.1.0), http (gateway-http 0.1.0), jwt (gateway-jwt 0.1.0), \
ratelimit (gateway-ratelimit 0.1.0), static (gateway-static 0.1.0)
"""  # noqa: E501 - tables are as wide as they are


def test_a_valid_configuration_is_said_to_be_so_with_what_is_on(gateway, shop):
    checked = gateway("check")
    assert (checked.code, checked.err) == (0, "")
    assert checked.out == SHOP_IS_VALID


def test_without_a_configuration_what_the_plugins_propose_is_checked(gateway, index):
    checked = gateway("check")
    assert checked.code == 0
    assert checked.out.startswith("The gateway without a configuration file is valid.\n\nRules: 1\n")


def test_warnings_come_last_and_harm_nothing(gateway, index, write):
    write(
        """
        gateway:
          registry: {static: {services: [{name: s}]}}
          router: {rules: [{path: /*, serviceName: s, stripPrefix: true}]}
        """
    )
    checked = gateway("check")
    assert checked.code == 0
    assert "\nWarnings: 1\ngateway.yaml:3:" in checked.out


def test_every_problem_is_told(gateway, index, write):
    write("gateway:\n  loging: {}\n  routr: {}\n")
    checked = gateway("check")
    assert (checked.code, checked.out) == (2, "")
    first, second = checked.err.splitlines()
    assert first.startswith("gateway.yaml:2:3: gateway.loging: unknown key; did you mean 'logging'?")
    assert second.startswith("gateway.yaml:3:3: gateway.routr: unknown key; did you mean 'router'?")


def test_for_machines_it_is_json(gateway, shop):
    checked = gateway("check", "--json")
    data = json.loads(checked.out)
    assert checked.code == 0
    assert data["valid"] is True
    assert data["file"] == "gateway.yaml"
    assert [rule["id"] for rule in data["rules"]] == ["files", "user", "beta"]
    assert data["services"][1] == {"name": "users", "instances": 2, "rules": ["user", "beta"]}
    assert {"kind": "adapter", "name": "http", "plugin": "gateway-http", "where": "by default"} in data["components"]
    assert {"name": "jwt", "distribution": "gateway-jwt", "version": "0.1.0"} in data["plugins"]
    assert data["warnings"] == []


def test_for_machines_problems_are_json_too(gateway, index, write):
    write("gateway:\n  loging: {}\n")
    checked = gateway("check", "--json")
    data = json.loads(checked.out)
    assert (checked.code, checked.err, data["valid"]) == (2, "", False)
    [problem] = data["problems"]
    assert (problem["where"], problem["path"]) == ("gateway.yaml:2:3", "gateway.loging")
    assert problem["message"].startswith("unknown key")


def test_secrets_are_not_shown(gateway, shop):
    assert "hush" not in gateway("check").out + gateway("check", "--json").out


BROKEN_BUILD = """
    from gateway import PolicyRegistration

    def build(config, context):
        raise OSError("no such device")

    broken = PolicyRegistration(name="broken", build=build, default_on=True)
"""


def test_what_cannot_be_built_is_a_problem(gateway, index, shop):
    index.install("gateway-broken", BROKEN_BUILD)
    checked = gateway("check")
    assert checked.code == 2
    assert "no such device" in checked.err
    assert "gateway-broken" in checked.err
    assert "Traceback" not in checked.err


def test_a_plugins_author_can_ask_where_the_build_failed(gateway, index, shop):
    index.install("gateway-broken", BROKEN_BUILD)
    assert "in build" in gateway("check", "--log-level", "debug").err


def test_a_plugin_file_is_checked_too(gateway, shop, write):
    plugin = write("raise RuntimeError('not today')\n", "today.py")
    checked = gateway("check", "--plugin", plugin)
    assert checked.code == 2
    assert "not today" in checked.err


def test_many_rules_are_counted_not_listed(gateway, index, write):
    rules = "".join(f"      - {{path: /p{number}, serviceName: s{number}}}\n" for number in range(30))
    services = ", ".join(f"{{name: s{number}}}" for number in range(30))
    write(
        f"gateway:\n  registry: {{static: {{services: [{services}]}}}}\n  router:\n    rules:\n{rules}",
    )
    checked = gateway("check")
    assert "Rules: 30\n" in checked.out
    assert "... and 5 more; 'gateway routes' lists them all\n" in checked.out
    assert "... and 5 more\n" in checked.out


@pytest.mark.parametrize("name", ["check", "help"])
def test_a_plugin_whose_command_has_the_name_of_a_built_in_one_is_a_problem(gateway, index, shop, name):
    index.install(
        "gateway-greedy",
        dedent(f"""
            from gateway import CommandRegistration

            greedy = CommandRegistration(name="{name}", run=lambda args: 0)
        """),
    )
    checked = gateway("check")
    assert checked.code == 2
    assert f"the command '{name}' of plugin 'greedy' of gateway-greedy 0.1.0" in checked.err
    assert "a command of gateway itself" in checked.err
