"""What each policy made of a request, told to who brings a token."""

from __future__ import annotations

import json
import time

import pytest

from gateway import ErrorType, GatewayError, Principal, Response, Stage
from gateway.pipeline.explaining import (
    EXPLAIN_FIELD,
    MAX_FIELD_BYTES,
    Explanation,
    explain_token,
    explained,
    token_is_valid,
)
from gateway.testing.running import ADMIN_TOKEN

pytestmark = pytest.mark.anyio


class Doing:
    """A policy made of a function ``(exchange, call_next)``."""

    waits = False

    def __init__(self, do) -> None:
        self.do = do

    def wrap(self, further_in, route):
        async def handler(exchange):
            return await self.do(exchange, further_in)

        return handler


@pytest.fixture
def watched(place):
    return lambda do, stage=Stage.LIMIT, name="p": explained(place(Doing(do), stage, name=name))


async def let_pass(exchange, call_next):
    return await call_next(exchange)


async def refuse(exchange, call_next):
    raise GatewayError(ErrorType.FORBIDDEN, "no", detail="it is Tuesday")


async def answer(exchange, call_next):
    return Response(204)


async def replace(exchange, call_next):
    await call_next(exchange)
    return Response(503)


async def twice(exchange, call_next):
    await call_next(exchange)
    return await call_next(exchange)


async def identify(exchange, call_next):
    exchange.principal = Principal(subject="jo", provider="key")
    return await call_next(exchange)


async def fail(exchange, call_next):
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize(
    ("do", "decision", "reason"),
    [
        (let_pass, "passed", ""),
        (refuse, "refused 403", "it is Tuesday"),
        (answer, "answered 204", ""),
        (replace, "changed the answer to 503", ""),
        (twice, "passed", "asked 2 times"),
        (identify, "passed", "user jo by key"),
        (fail, "failed", "ZeroDivisionError: oh"),
    ],
)
async def test_what_a_policy_did_is_told(gateway, watched, do, decision, reason):
    exchange = await gateway.ask(watched(do))
    (step,) = Explanation.of(exchange).steps
    assert (step.stage, step.name, step.decision, step.reason) == ("limit", "p", decision, reason)
    assert step.own_s >= 0


async def test_who_refused_is_told_from_who_let_pass(gateway, watched):
    exchange = await gateway.ask(watched(let_pass, Stage.AUTHENTICATE, "outer"), watched(refuse, name="inner"))
    assert [(step.name, step.decision) for step in Explanation.of(exchange).steps] == [
        ("outer", "passed"),
        ("inner", "refused 403"),
    ]


async def test_a_policy_that_does_nothing_is_not_mentioned(gateway, place):
    class Idle:
        def wrap(self, further_in, route):
            return further_in

    exchange = await gateway.ask(explained(place(Idle(), Stage.LIMIT)))
    assert Explanation.of(exchange).steps == []


# Tokens.


def test_a_token_ends_and_cannot_be_made_without_the_secret():
    token = explain_token("secret", 1000)
    assert token_is_valid(token, "secret", 999)
    assert not token_is_valid(token, "secret", 1000)
    assert not token_is_valid(token, "other", 999)
    assert not token_is_valid("fffff" + token, "secret", 999)


@pytest.mark.parametrize("token", ["", ".", "x.y", "3e8", "3e8.", "é.é", "1" * 5000])
def test_what_is_no_token_is_not_valid(token):
    assert not token_is_valid(token, "secret", 0)


# Live requests.


TUESDAY = """
from gateway import ErrorType, GatewayError, Stage, policy

@policy(stage=Stage.AUTHORIZE)
async def tuesday(exchange, call_next):
    raise GatewayError(ErrorType.FORBIDDEN, "no", detail="it is Tuesday")
"""


@pytest.fixture
async def live(gateway_factory, upstream, tmp_path):
    file = tmp_path / "tuesday.py"
    file.write_text(TUESDAY)
    rule = {"explain": True, "plugins": {"tuesday": {}}}
    return await gateway_factory(upstream=upstream, rule=rule, plugin_files=[file])


async def test_who_has_a_token_is_told(live, upstream):
    token = explain_token(ADMIN_TOKEN, int(time.time()) + 60)
    told = await live.ask("GET", "/", headers={EXPLAIN_FIELD: token})
    steps = json.loads(told[EXPLAIN_FIELD])
    assert told.status == 403
    assert [(step["policy"], step["decision"]) for step in steps][-1] == ("tuesday", "refused 403")
    assert steps[-1]["reason"] == "it is Tuesday"
    assert told["server-timing"].split(";")[0] == steps[0]["policy"]
    assert "total;dur=" in told["server-timing"]
    assert len(told[EXPLAIN_FIELD]) <= MAX_FIELD_BYTES


@pytest.mark.parametrize("token", [None, "guessed", explain_token(ADMIN_TOKEN, 1000), explain_token("x", 2**40)])
async def test_nobody_else_is_told_anything(live, token):
    answer = await live.ask("GET", "/", headers={EXPLAIN_FIELD: token} if token is not None else {})
    assert answer.status == 403
    assert EXPLAIN_FIELD not in answer
    assert "server-timing" not in answer


async def test_no_service_sees_a_token(gateway_factory, upstream):
    gateway = await gateway_factory(upstream=upstream, rule={"explain": True})
    token = explain_token(ADMIN_TOKEN, int(time.time()) + 60)
    assert (await gateway.ask("GET", "/", headers={EXPLAIN_FIELD: token})).status == 200
    assert (await gateway.ask("GET", "/", headers={EXPLAIN_FIELD: "guessed"})).status == 200
    assert not any(EXPLAIN_FIELD in request for request in upstream.requests)


async def test_a_route_that_explains_needs_the_admin_token(gateway_factory, upstream):
    with pytest.raises(Exception, match=r"set gateway\.admin\.token"):
        await gateway_factory({"admin": {}}, upstream=upstream, rule={"explain": True})
