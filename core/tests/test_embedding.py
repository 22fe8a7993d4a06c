"""A gateway inside another program."""

import pytest

from gateway.embedding import Gateway
from gateway.errors import ConfigurationError
from gateway.testing import Client

pytestmark = pytest.mark.anyio

DEMO = """
gateway:
  frontend: {http: {port: 0}}
  plugins: {demo: {}}
  router: {rules: [{id: %s, path: /*, serviceName: demo}]}
"""


async def ask(gateway, target):
    async with Client(*gateway.addresses[0]) as client:
        return await client.ask("GET", target)


async def test_it_serves_while_it_is_entered():
    async with Gateway.from_yaml(DEMO % "one") as gateway:
        assert (await ask(gateway, "/status/204")).status == 204
        assert gateway.url == f"http://127.0.0.1:{gateway.addresses[0][1]}"
        address = gateway.addresses[0]
    with pytest.raises(OSError, match="Connect"):
        await Client(*address).__aenter__()


async def test_it_reads_a_file(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text(DEMO % "one")
    async with Gateway.from_file(path) as gateway:
        assert [rule.route.id for rule in gateway.configuration.rules] == ["one"]
        path.write_text(DEMO % "two")
        await gateway.reload()
        assert [rule.route.id for rule in gateway.configuration.rules] == ["two"]


async def test_it_is_given_another_configuration():
    async with Gateway.from_yaml(DEMO % "one") as gateway:
        await gateway.reload(DEMO % "two")
        assert [rule.route.id for rule in gateway.configuration.rules] == ["two"]
        with pytest.raises(ConfigurationError, match="rulez"):
            await gateway.reload("gateway: {router: {rulez: []}}")
        assert (await ask(gateway, "/get")).status == 200


async def test_it_hands_out_its_adapters():
    async with Gateway.from_yaml(DEMO % "one") as gateway:
        assert gateway.adapter("http").listeners()
        with pytest.raises(LookupError, match="'carrier-pigeon' is not on"):
            gateway.adapter("carrier-pigeon")


async def test_what_cannot_be_served_is_not_entered():
    with pytest.raises(ConfigurationError, match="no registry is on"):
        async with Gateway.from_mapping({"router": {"rules": [{"path": "/*", "serviceName": "nowhere"}]}}):
            raise AssertionError
