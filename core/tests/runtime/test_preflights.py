"""Preflights go to the route that the request itself will take, if something there answers them."""

import pytest

from gateway.testing import Upstream

pytestmark = pytest.mark.anyio

PLUGIN = """
from gateway import PolicyRegistration, Response, Stage, hookimpl


class Answers:
    def wrap(self, next, route):
        async def handler(exchange):
            if exchange.request.method == "OPTIONS":
                return Response.text(f"answered on {route.id}")
            return await next(exchange)

        return handler


def build(config, context):
    return Answers()


@hookimpl
def gateway_register_policies():
    return [PolicyRegistration(name="answers", build=build, stage=Stage.EDGE, answers_preflights=True)]
"""

ON, OFF = {"enabled": True}, {"enabled": False}
ASKING = {"origin": "https://shop.example", "access-control-request-method": "PUT"}


@pytest.fixture
def rules():
    """A route that answers preflights but takes no OPTIONS, over one for everything else."""
    return [
        {"id": "some", "path": "/*", "methods": ["PUT"], "serviceName": "service", "plugins": {"answers": ON}},
        {"id": "others", "path": "/*", "serviceName": "service"},
    ]


@pytest.fixture
async def gateway(gateway_factory, upstream: Upstream, tmp_path, rules):
    plugin = tmp_path / "answers.py"
    plugin.write_text(PLUGIN)
    return await gateway_factory(
        {"plugins": {"answers": OFF}, "router": {"rules": rules}}, upstream=upstream, plugin_files=[plugin]
    )


async def test_a_preflight_takes_the_route_of_the_method_it_asks_for(gateway, upstream):
    for _ in range(2):
        # What was found for one OPTIONS request must not be remembered for the next, which may ask for another method.
        assert (await gateway.ask("OPTIONS", "/", headers=ASKING)).text == "answered on some"
        other = ASKING | {"access-control-request-method": "DELETE"}
        assert (await gateway.ask("OPTIONS", "/", headers=other)).text == "ok"
    assert [request.method for request in upstream.requests] == ["OPTIONS", "OPTIONS"]


@pytest.mark.parametrize("name", ASKING)
async def test_what_is_no_preflight_is_matched_as_ever(gateway, upstream, name):
    assert (await gateway.ask("OPTIONS", "/", headers={name: ASKING[name]})).text == "ok"
    assert len(upstream.requests) == 1


async def test_a_preflight_for_nothing_is_not_found(gateway_factory, upstream, tmp_path, rules):
    plugin = tmp_path / "answers.py"
    plugin.write_text(PLUGIN)
    gateway = await gateway_factory(
        {"plugins": {"answers": OFF}, "router": {"rules": rules[:1]}}, upstream=upstream, plugin_files=[plugin]
    )
    other = ASKING | {"access-control-request-method": "DELETE"}
    assert (await gateway.ask("OPTIONS", "/", headers=other)).status == 405
