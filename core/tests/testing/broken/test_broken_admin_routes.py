"""The contract of endpoints: one that keeps it, which is the one of ``gateway new-plugin``, and those that do not."""

# What is written from templates has no types here.
# mypy: disable-error-code="valid-type,misc,has-type"

# ruff: noqa: ASYNC110, ASYNC251 - what is done badly here is done so on purpose

import asyncio
import json
import re
import time

import pytest
from core.tests.testing.broken.harness import breach, told_in_the_end, written
from pydantic import Field, SecretStr

from gateway import AdminRouteRegistration, Body, Config, ErrorType, GatewayError, Response
from gateway.testing import AdminRouteContract

Away = written("admin-route", "away", "endpoint").AwayEndpoint


class AwayConfig(Config):
    """What stands below ``plugins.away``."""

    token: SecretStr = Field(SecretStr("not-to-be-told"), description="A secret.")


class Endpoint(Away):
    def __init__(self, config, context):
        super().__init__(context)
        self.config, self.context = config, context


def build(config, context):
    return Endpoint(config, context)


class AwayContract(AdminRouteContract):
    plugin = AdminRouteRegistration(
        name="away", summary="Who is away", config=AwayConfig, build=build, admin_path="/away/{service}"
    )
    remembered = 50

    def params(self):
        return {"service": "orders"}


class TestAway(AwayContract):
    """The reference."""


class ReturnsText(Endpoint):
    async def __call__(self, request):
        return "ok"


class Streams(Endpoint):
    async def __call__(self, request):
        async def pieces():
            yield b"a"

        return Response(200, body=Body.from_iterable(pieces()))


class SaysNotWhat(Endpoint):
    async def __call__(self, request):
        return Response(200, body=b"{}")


class Fails(Endpoint):
    async def __call__(self, request):
        return Response(500)


class TrustsWhatItIsSent(Endpoint):
    async def __call__(self, request):
        if request.body:
            json.loads(request.body)
        return await super().__call__(request)


class TrustsTheQuery(Endpoint):
    async def __call__(self, request):
        number = re.search("number=(.*)$", request.query)
        if number:
            int(number[1])
        return await super().__call__(request)


class BlamesItself(Endpoint):
    async def __call__(self, request):
        if request.query:
            raise GatewayError(ErrorType.INTERNAL, "what is this?")
        return await super().__call__(request)


class DrainsByGet(Endpoint):
    async def __call__(self, request):
        response = await super().__call__(request)
        for instance in self.context.directory.instances("orders"):
            self.context.directory.mark(instance, is_healthy=False, reason="somebody looked")
        return response


class TellsSecrets(Endpoint):
    async def __call__(self, request):
        return Response.json({"token": self.config.token.get_secret_value()})


class KeepsOneResponse(Endpoint):
    kept: Response | None = None

    async def __call__(self, request):
        self.kept = self.kept or await super().__call__(request)
        return self.kept


class Swallows(Endpoint):
    async def __call__(self, request):
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            return Response(503)
        return await super().__call__(request)


class StaysLocked(Endpoint):
    is_busy = False

    async def __call__(self, request):
        while self.is_busy:
            await asyncio.sleep(0.01)
        self.is_busy = True
        await asyncio.sleep(0)
        self.is_busy = False
        return await super().__call__(request)


class RemembersQueries(Endpoint):
    def __init__(self, config, context):
        super().__init__(config, context)
        self.seen = {}

    async def __call__(self, request):
        self.seen[request.query] = [request.query] * 2
        return await super().__call__(request)


class Blocks(Endpoint):
    async def __call__(self, request):
        time.sleep(0.15)
        return await super().__call__(request)


CAPTURES_MORE = AdminRouteRegistration(
    name="away", summary="Who is away", config=AwayConfig, build=build, admin_path="/away/{service}/{instance}"
)
BESIDE = AdminRouteRegistration(
    name="away", summary="Away", build=build, admin_path="/away/{service}", paths=lambda config: ["away"]
)


@pytest.mark.parametrize(
    ("endpoint", "check", "said"),
    [
        (CAPTURES_MORE, "test_its_path_is_one", "say what, by 'params'"),
        (BESIDE, "test_its_path_is_one", "begin it with a slash"),
        (ReturnsText, "test_it_answers", "instead of a Response"),
        (Streams, "test_it_answers", "its body streams"),
        (SaysNotWhat, "test_it_answers", "no content-type"),
        (Fails, "test_it_answers", "not 200"),
        (TrustsWhatItIsSent, "test_whatever_it_is_asked_is_answered_or_refused", "raised (JSON|Unicode)DecodeError"),
        (TrustsTheQuery, "test_whatever_it_is_asked_is_answered_or_refused", "raised ValueError"),
        (BlamesItself, "test_whatever_it_is_asked_is_answered_or_refused", "failed with internal"),
        (DrainsByGet, "test_safe_methods_change_nothing", "use POST for that"),
        (TellsSecrets, "test_secrets_are_not_told", "1 secrets"),
        (KeepsOneResponse, "test_many_may_ask_at_once", "make new ones"),
        (Swallows, "test_cancellation_leaves_it_working", "let CancelledError pass"),
        (StaysLocked, "test_cancellation_leaves_it_working", "did not happen within"),
        (RemembersQueries, "test_requests_do_not_fill_the_memory", "blocks of memory"),
        (Blocks, "test_it_does_not_block", "blocked the event loop"),
    ],
)
def test_it_is_caught(endpoint, check, said, monkeypatch):
    patience = {"expectation.PATIENCE_S": 0.3, "cancelling.PATIENCE_S": 0.3}
    assert re.search(said, told_in_the_end(said, lambda: breach(AwayContract, endpoint, check), patience, monkeypatch))
