"""Pseudo methods: a third party's protocol has what WebSocket has, on rules that name it."""

import logging

import pytest

from gateway.errors import ConfigurationError

pytestmark = pytest.mark.anyio

PLUGIN = """
from gateway import ConnectorRegistration, hookimpl


class Tail:
    def over(self, carrier):
        return carrier


def is_tail(request):
    if "broken" in request.headers:
        raise LookupError("no tail")
    return request.upgrade == "tail/1"


@hookimpl
def gateway_register_protocols():
    return [
        ConnectorRegistration(
            name="tail",
            build=lambda config, context: Tail(),
            protocol="tail",
            over="http",
            upgrades=("tail/1",),
            pseudo_methods={"TAIL": is_tail},
        )
    ]
"""

ASKING = {"connection": "upgrade", "upgrade": "tail/1"}
RULES = [
    {"id": "tails", "path": "/log", "methods": ["TAIL"], "serviceName": "service", "addPrefix": "/tails"},
    {"id": "pages", "path": "/log", "methods": ["GET"], "serviceName": "service"},
]


@pytest.fixture
async def gateway(gateway_factory, upstream, tmp_path):
    plugin = tmp_path / "tail.py"
    plugin.write_text(PLUGIN)
    return await gateway_factory({"router": {"rules": RULES}}, upstream=upstream, plugin_files=[plugin])


async def test_each_rule_gets_what_it_names(gateway, upstream):
    for headers, path in ((ASKING, "/tails/log"), ({}, "/log"), (ASKING, "/tails/log")):
        await gateway.ask("GET", "/log", headers=headers)
        assert upstream.requests[-1].target == path


async def test_only_a_get_is_one(gateway):
    answer = await gateway.ask("POST", "/log", headers=ASKING)
    assert (answer.status, answer["allow"]) == (405, "GET, HEAD")


async def test_a_rule_that_names_it_lets_clients_change_to_it(gateway, upstream):
    tails, pages = gateway.gateway.configuration.rules
    assert (tails.route.allow_upgrade, pages.route.allow_upgrade) == ({"tail/1"}, set())
    await gateway.ask("GET", "/log", headers=ASKING)
    assert upstream.requests[-1]["upgrade"] == "tail/1"


async def test_a_function_that_fails_answers_500_and_asks_no_service(gateway, upstream, caplog):
    """Another rule, which would be the one for a plain GET, must not get it."""
    with caplog.at_level(logging.CRITICAL, "gateway"):
        answer = await gateway.ask("GET", "/log", headers={**ASKING, "broken": "1"})
    assert answer.status == 500
    assert "no tail" not in answer.text
    assert upstream.requests == []


async def test_two_plugins_cannot_have_the_same(gateway_factory, upstream, tmp_path):
    plugins = [tmp_path / "tail.py", tmp_path / "other.py"]
    plugins[0].write_text(PLUGIN)
    plugins[1].write_text(PLUGIN.replace('"tail"', '"other"'))
    with pytest.raises(ConfigurationError) as raised:
        await gateway_factory({"router": {"rules": RULES}}, upstream=upstream, plugin_files=plugins)
    assert "pseudo method 'TAIL' is offered by both" in str(raised.value)
