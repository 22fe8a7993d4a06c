"""The gateway as an application, called as a server would."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.embedding import Gateway
from gateway_asgi import asgi_app


def configuration(upstream, **asgi):
    return {
        "frontend": {"http": {"enabled": False}, "asgi": asgi},
        "shutdownTimeout": "200ms",
        "registry": {"static": {"services": [{"name": "s", "instances": [upstream.instance]}]}},
        "router": {"rules": [{"path": "/*", "serviceName": "s"}]},
    }


class Exchange:
    """What a server tells the application about one request, and is told by it."""

    def __init__(self, app, method="GET", path="/", headers=(), **scope):
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"shop.example"), *headers],
            "client": ("192.0.2.7", 4711),
            "server": ("127.0.0.1", 80),
            **scope,
        }
        self.sent: asyncio.Queue = asyncio.Queue()
        self._told: asyncio.Queue = asyncio.Queue()
        self._app = app
        self.may_send = asyncio.Event()
        self.may_send.set()

    def __await__(self):
        return self._run().__await__()

    async def _run(self):
        await self._app(self.scope, self._told.get, self._send)

    async def _send(self, message):
        await self.may_send.wait()
        self.sent.put_nowait(message)

    def tell(self, body=b"", *, more=False):
        self._told.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self):
        self._told.put_nowait({"type": "http.disconnect"})

    async def answer(self):
        """Return status, fields and body of what was sent."""
        status, fields, body = None, {}, b""
        while not self.sent.empty():
            message = self.sent.get_nowait()
            if message["type"] == "http.response.start":
                status, fields = message["status"], dict(message["headers"])
            else:
                body += message["body"]
        return status, fields, body


@pytest.fixture
async def serve(upstream):
    """Return a function that starts an application, by its block, over its lifespan."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(gateway=None, **asgi):
            app = asgi_app(Gateway.from_mapping(gateway or configuration(upstream, **asgi)))
            await stack.enter_async_context(lifespan(app))
            return app

        yield start


@contextlib.asynccontextmanager
async def lifespan(app):
    told: asyncio.Queue = asyncio.Queue()
    sent: asyncio.Queue = asyncio.Queue()
    living = asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}}, told.get, sent.put))
    told.put_nowait({"type": "lifespan.startup"})
    message = await sent.get()
    if message["type"] != "lifespan.startup.complete":
        await living
        raise RuntimeError(message["message"])
    yield
    told.put_nowait({"type": "lifespan.shutdown"})
    await living
    assert sent.get_nowait()["type"] == "lifespan.shutdown.complete"


@pytest.fixture
def request_of():
    """Return what makes requests of an application."""
    return Exchange


@pytest.fixture
def configured():
    """Return what makes configurations."""
    return configuration


@pytest.fixture
def living():
    """Return what keeps an application alive."""
    return lifespan
