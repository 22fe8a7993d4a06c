"""The contract of policies: one that keeps it, and those that do not."""

# ruff: noqa: ASYNC110, ASYNC251, BLE001 - what is done badly here is done so on purpose

import asyncio
import re
import time

import pytest
from core.tests.testing.broken.harness import breach, told_in_the_end
from pydantic import Field

from gateway import Body, Config, PolicyRegistration, Response
from gateway.testing import PolicyContract


class NoteConfig(Config):
    note: str = Field("hello", description="What is added; empty adds nothing.")


class Notes:
    """Adds a field to responses."""

    waits = False

    def __init__(self, config, context):
        self.note = config.note
        self.met: dict = {}

    def wrap(self, call_next, route):
        if not self.note:
            return call_next

        async def handler(exchange):
            return await self.handle(exchange, call_next)

        return handler

    async def handle(self, exchange, call_next):
        response = await call_next(exchange)
        response.headers["x-note"] = self.note
        return response


def build(config, context):
    return Notes(config, context)


class NoteContract(PolicyContract):
    plugin = PolicyRegistration(name="notes", summary="Adds a field", config=NoteConfig, build=build)
    remembered = 500

    def off(self):
        return {"note": ""}, self.route()


class TestNotes(NoteContract):
    """The reference."""


class IsAlwaysThere(Notes):
    def wrap(self, call_next, route):
        async def handler(exchange):
            return await self.handle(exchange, call_next)

        return handler


class AsksTwice(Notes):
    async def handle(self, exchange, call_next):
        await call_next(exchange)
        return await call_next(exchange)


class LosesAPiece(Notes):
    async def handle(self, exchange, call_next):
        body = exchange.request.body
        if isinstance(body, Body):

            async def pieces():
                count = 0
                async for piece in body:
                    count += 1
                    if count != 3:
                        yield piece

            exchange.request.body = Body.from_iterable(pieces())
        return await call_next(exchange)


class LosesTrailers(Notes):
    async def handle(self, exchange, call_next):
        response = await call_next(exchange)
        if isinstance(response.body, Body):
            source = response.body

            async def pieces():
                async for piece in source:
                    yield piece

            response.body = Body.from_iterable(pieces())
        return response


class Collects(Notes):
    async def handle(self, exchange, call_next):
        response = await call_next(exchange)
        if isinstance(response.body, Body):
            response.body = await response.body.read(10_000_000)
        return response


class Buffers(Notes):
    """Passes bodies on, and takes them off the service as fast as it sends them."""

    async def handle(self, exchange, call_next):
        response = await call_next(exchange)
        if isinstance(response.body, Body):
            response.body = Reservoir(response.body).body
        return response


class Reservoir:
    def __init__(self, source):
        self.body = Body(self)
        source.attach(self)

    def body_data(self, chunk):
        self.body.feed(chunk)

    def body_end(self, trailers):
        self.body.end(trailers)

    def body_error(self, error):
        self.body.end()

    def pause_body(self):
        pass

    def resume_body(self):
        pass

    def abort_body(self):
        pass


class Swallows(Notes):
    async def handle(self, exchange, call_next):
        try:
            return await call_next(exchange)
        except BaseException:
            return Response(503)


class NeverRecovers(Notes):
    is_busy = False

    async def handle(self, exchange, call_next):
        while self.is_busy:
            await asyncio.sleep(0.01)
        self.is_busy = True
        response = await call_next(exchange)
        self.is_busy = False
        return response


class HidesErrors(Notes):
    async def handle(self, exchange, call_next):
        try:
            return await call_next(exchange)
        except Exception:
            return Response(200)


class ReturnsNothing(Notes):
    async def handle(self, exchange, call_next):
        await call_next(exchange)


class Mixes(Notes):
    async def handle(self, exchange, call_next):
        self.now = exchange
        response = await call_next(exchange)
        response.body = self.now.request.path.encode()
        return response


class WaitsAfterAll(Notes):
    async def handle(self, exchange, call_next):
        await asyncio.sleep(0)
        return await call_next(exchange)


class Blocks(Notes):
    async def handle(self, exchange, call_next):
        time.sleep(0.15)
        return await call_next(exchange)


class RemembersEverybody(Notes):
    async def handle(self, exchange, call_next):
        self.met[exchange.request.client] = exchange.request.path
        return await call_next(exchange)


class LeavesATask(Notes):
    async def handle(self, exchange, call_next):
        self.met[exchange] = asyncio.ensure_future(asyncio.sleep(100))
        return await call_next(exchange)


@pytest.mark.parametrize(
    ("policy", "check", "said"),
    [
        (IsAlwaysThere, "test_where_it_is_off_it_is_not_there", "let wrap return next itself"),
        (AsksTwice, "test_a_request_reaches_the_service_once", "asked 2 times"),
        (ReturnsNothing, "test_a_request_reaches_the_service_once", "returned None"),
        (LosesAPiece, "test_bodies_of_requests_arrive_whole", "arrived otherwise"),
        (LosesTrailers, "test_bodies_of_responses_arrive_whole", "the trailers of the response"),
        (Collects, "test_responses_stream", "do not collect bodies"),
        (Buffers, "test_a_slow_client_slows_the_service_down", "were taken off the service"),
        (Buffers, "test_a_body_that_breaks_off_does_not_end_well", "saw a complete body"),
        (Buffers, "test_a_client_that_leaves_releases_the_service", "was not aborted"),
        (Swallows, "test_cancellation_reaches_the_service_and_leaves_it_working", "let CancelledError pass"),
        (
            NeverRecovers,
            "test_cancellation_reaches_the_service_and_leaves_it_working",
            "after another one was cancelled",
        ),
        (LeavesATask, "test_cancellation_reaches_the_service_and_leaves_it_working", "left behind: task"),
        (HidesErrors, "test_errors_stay_errors", "was answered <Response 200>"),
        (Mixes, "test_exchanges_do_not_mix", "of another"),
        (WaitsAfterAll, "test_it_waits_only_if_it_says_so", "says waits = False"),
        (Blocks, "test_it_does_not_block", "blocked the event loop"),
        (RemembersEverybody, "test_clients_do_not_fill_the_memory", "bound what is kept"),
    ],
)
def test_it_is_caught(policy, check, said, monkeypatch):
    patience = {"expectation.PATIENCE_S": 0.3, "leaks.SETTLE_S": 0.05}
    assert re.search(said, told_in_the_end(said, lambda: breach(NoteContract, policy, check), patience, monkeypatch))
