"""A cache before a service that is a function, with clocks that stand still."""

from __future__ import annotations

import logging
from email.utils import formatdate
from typing import Any

import pytest

from gateway import Exchange, Headers, Principal, Request, Response, Route
from gateway.metrics import Metrics
from gateway_cache.config import CacheConfig
from gateway_cache.policy import CachePolicy


class Context:
    """What of BuildContext the policy uses."""

    def __init__(self):
        self.metrics = Metrics()
        self.logger = logging.getLogger("gateway.plugins.gateway-cache")
        self.background = self
        self.kept = {}
        self.exposed = {}
        self.work = []

    def keep(self, key, make):
        return self.kept.setdefault(key, make())

    def start(self, name, work):
        self.work.append(work)

    def expose(self, key, make):
        self.exposed[key] = make


class Client:
    """Asks the cache, and keeps what reached the service."""

    def __init__(self, clock, **block):
        self.clock = clock
        self.context = Context()
        context: Any = self.context
        self.policy = CachePolicy(CacheConfig.model_validate(block), context, clock, clock)
        self.policy.store.open(self.policy.config.max_size)
        self.asked = []
        self.answer = lambda request: self.reply("max-age=60")
        self.route = Route(id="r", path="/*", service="service")
        self.handle = self.policy.wrap(self._serve, self.route)

    def reply(self, cache_control=None, status=200, body=b"content", **fields):
        """Make an answer of the service; underscores in names are hyphens, None leaves a field out."""
        given = {"date": formatdate(self.clock(), usegmt=True), "cache_control": cache_control, **fields}
        pairs = [(name.replace("_", "-"), value) for name, value in given.items() if value is not None]
        return Response(status, headers=Headers.of(pairs), body=body)

    async def _serve(self, exchange):
        asked = exchange.request
        # As it is now: afterwards the request has the client's fields again.
        self.asked.append(Request(asked.method, asked.path, query=asked.query, headers=asked.headers.copy()))
        made = self.answer(exchange.request)
        return made if isinstance(made, Response) else await made

    def exchange(self, method="GET", target="/a", principal=None, body=b"", **headers):
        path, _, query = target.partition("?")
        fields = Headers.of([(name.replace("_", "-"), value) for name, value in headers.items()])
        request = Request(method, path, query=query, headers=fields, host="shop", scheme="https", body=body)
        nobody: Any = None
        exchange = Exchange(request, nobody)
        exchange.route = self.route
        exchange.principal = Principal(subject=principal) if principal else None
        return exchange

    async def ask(self, method="GET", target="/a", **options):
        return await self.handle(self.exchange(method, target, **options))

    async def told(self, *arguments, **options):
        """Return what Cache-Status says, without the name."""
        response = await self.ask(*arguments, **options)
        return response.headers["cache-status"].removeprefix("gateway; ")


@pytest.fixture
def client_of(clock):
    """Give a function that makes clients of caches, by their block."""
    return lambda **block: Client(clock, **block)


@pytest.fixture
def client(client_of):
    """Give the client of a cache as it is by default."""
    return client_of()
