"""What every adapter promises, kept by this one behind uvicorn."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway import ErrorType, GatewayError, Response
from gateway.testing import HttpAdapterContract


class TestAdapter(HttpAdapterContract):
    plugin = "gateway_asgi.plugin"
    test_trailers_of_requests_arrive = None  # type: ignore[assignment]  # ASGI has none

    def config(self):
        return {"maxRequestSize": "100MB"}

    @contextlib.asynccontextmanager
    async def serving(self, adapter):
        settings = uvicorn.Config(
            adapter.handle, interface="asgi3", http="h11", ws="none", lifespan="off", log_config=None
        )
        settings.proxy_headers = False  # the gateway decides whom it believes
        settings.load()
        state = uvicorn.Server(settings).server_state

        def connection():
            return H11Protocol(settings, state, {})

        listening = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
        try:
            yield listening.sockets[0].getsockname()
        finally:
            listening.close()
            for each in list(state.connections):
                each.transport.abort()

    async def test_draining_ends_what_is_idle_and_nothing_else(self):
        """What is under way is answered, and what comes then is refused; idle connections are the server's."""
        async with self.served() as served:
            may_answer = asyncio.Event()

            async def answer(exchange):
                await may_answer.wait()
                return Response(200, body=b"/5")

            served.gateway.answer = answer
            asking = asyncio.ensure_future(self.ask(served.address, 5))
            await served.gateway.until(lambda: served.gateway.begun, "a request was not served")
            served.adapter.drain()
            with pytest.raises(ConnectionError):
                await self.ask(served.address, 6)
            (refused,) = served.gateway.refused
            assert isinstance(refused.error, GatewayError)
            assert refused.error.type is ErrorType.UNAVAILABLE
            may_answer.set()
            assert await asking == b"/5"
