"""The contract of a discovery provider that asks a service, which the fixture ``upstream`` plays."""

from __future__ import annotations

import asyncio
import json

import httpcore
import pytest
from pydantic import Field

from gateway import Config, DiscoveryRegistration, Duration, Endpoint
from gateway.testing import DiscoveryContract, Reply


class ListedConfig(Config):
    url: str = Field(description="Where the instances are listed.")
    interval: Duration = Field(5.0, description="Seconds between two looks at it.", gt=0)


class Listed:
    def __init__(self, config, context):
        self._config = config

    async def watch(self, publish):
        while True:
            async with httpcore.AsyncConnectionPool() as pool:
                answer = await pool.request("GET", self._config.url)
            listed = json.loads(answer.content)
            publish({name: [Endpoint(address=at, port=80) for at in found] for name, found in listed.items()})
            await asyncio.sleep(self._config.interval)


class TestListed(DiscoveryContract):
    plugin = DiscoveryRegistration(name="listed", summary="Asks for a list", config=ListedConfig, build=Listed)

    @pytest.fixture(autouse=True)
    def _list(self, upstream):
        self.upstream = upstream
        upstream.answer = lambda request: Reply(body='{"orders": ["10.0.0.1"]}')

    def config(self):
        return {"url": f"http://{self.upstream.host}:{self.upstream.port}/", "interval": "5ms"}

    def services(self):
        return {"orders"}

    async def change(self):
        self.upstream.answer = lambda request: Reply(body='{"orders": ["10.0.0.2"]}')
        return True

    async def fail(self):
        self.upstream.answer = lambda request: Reply(drop=True)
        return True

    async def mend(self):
        self.upstream.answer = lambda request: Reply(body='{"orders": ["10.0.0.3"]}')
