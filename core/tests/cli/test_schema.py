from __future__ import annotations

import json


def test_the_schema_is_of_the_core_and_of_what_is_installed(gateway, index):
    printed = gateway("schema")
    assert (printed.code, printed.err) == (0, "")
    below = json.loads(printed.out)["properties"]["gateway"]["properties"]
    assert {"router", "logging", "cors", "rateLimitStorage"} <= below.keys()
    assert "jwt" in below["auth"]["properties"]


def test_the_configuration_need_not_be_valid_and_may_disable_plugins(gateway, index, write):
    write("gateway:\n  routr: {}\n  disabledPlugins: [cors]\n")
    printed = gateway("schema")
    assert printed.code == 0
    assert "cors" not in json.loads(printed.out)["properties"]["gateway"]["properties"]


def test_the_environment_may_disable_plugins(gateway, index, monkeypatch):
    monkeypatch.setenv("GATEWAY__DISABLED_PLUGINS", "cors,jwt")
    below = json.loads(gateway("schema").out)["properties"]["gateway"]["properties"]
    assert "cors" not in below


def test_files_of_the_configuration_are_part_of_it(gateway, index, write):
    write(
        """
        from gateway import Config, policy

        class Greeting(Config):
            word: str = "hello"

        @policy
        async def greet(exchange, call_next, config: Greeting):
            return await call_next(exchange)
        """,
        "greet.py",
    )
    write("gateway:\n  plugins: {files: [greet.py, missing.py]}\n")
    below = json.loads(gateway("schema").out)["properties"]["gateway"]["properties"]
    assert "word" in below["plugins"]["properties"]["greet"]["properties"]


def test_a_broken_plugin_is_told_and_left_out(gateway, index):
    index.install("gateway-broken", "raise RuntimeError('not today')")
    printed = gateway("schema")
    assert printed.code == 0
    assert "plugin 'broken' of gateway-broken 0.1.0 cannot be used" in printed.err
    json.loads(printed.out)


def test_two_plugins_in_each_others_way_are_a_problem(gateway, index):
    index.install("gateway-cors2", "", name="cors")
    printed = gateway("schema")
    assert (printed.code, printed.out) == (2, "")
    assert "two plugins named 'cors'" in printed.err
