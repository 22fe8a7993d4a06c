"""A gateway in memory, and one policy by itself, used as plugin authors use them."""

import asyncio
import time

import pytest
from pydantic import Field

from gateway import Body, Config, ErrorType, Exchange, GatewayError, Handler, Headers, Request, Response, policy
from gateway.testing import Reply, run_policy

pytestmark = pytest.mark.anyio


async def test_requests_go_through_a_whole_gateway_without_a_socket(client):
    client.answer = lambda request: Reply(201, headers={"x-here": "yes"}, body=request.body)
    answer = await client.ask("POST", "/things?a=1", headers={"x-there": "no"}, body=b"hello")
    assert (answer.status, answer["x-here"], answer.body) == (201, "yes", b"hello")
    (request,) = client.requests
    assert (request.method, request.target, request["x-there"]) == ("POST", "/things?a=1", "no")


async def test_many_requests_take_no_time(client):
    began_s = time.process_time()
    answers = await asyncio.gather(*(client.ask("GET", f"/{number}") for number in range(500)))
    assert {answer.status for answer in answers} == {200}
    assert len({request.target for request in client.requests}) == 500
    assert time.process_time() - began_s < 5


async def test_gateways_in_memory_are_configured_as_others(client_factory):
    client = await client_factory(rule={"path": "/api/*", "stripPrefix": "/api"})
    assert (await client.ask("GET", "/other")).status == 404
    assert (await client.ask("GET", "/api/things")).status == 200
    assert [request.target for request in client.requests] == ["/things"]


class TestConfiguredByAFixture:
    @pytest.fixture
    def gateway_block(self):
        return {"auth": {"required": False}, "errors": {"upstreamTimeoutStatus": 408}}

    async def test_the_client_is_of_that_gateway(self, client):
        client.answer = failing
        assert (await client.ask("GET", "/")).status == 408


def failing(request):
    raise GatewayError(ErrorType.UPSTREAM_TIMEOUT, "too slow")


async def test_services_in_memory_do_what_others_do(client):
    async def pieces():
        yield b"one"
        yield b"two"

    client.answer = lambda request: Reply(body=pieces())
    assert (await client.ask("POST", "/", body=pieces())).text == "onetwo"
    assert client.requests[0].body == b"onetwo"
    client.answer = lambda request: Reply(body=[b"three", b"four"], delay_s=0.001)
    assert (await client.ask("GET", "/")).text == "threefour"
    client.answer = lambda request: Reply(drop=True, body=b"")
    assert (await client.ask("GET", "/")).status == 502
    client.answer = lambda request: Reply(drop=True, body=b"hello")
    with pytest.raises(ConnectionError):
        await client.ask("GET", "/")
    client.answer = lambda request: Response.text("plain")
    assert (await client.ask("GET", "/")).text == "plain"


async def test_clients_that_give_up_are_cancelled(client):
    left = asyncio.Event()
    limit = asyncio.timeout(None)

    async def wait(request):
        limit.reschedule(asyncio.get_running_loop().time())  # it must not end before somebody is asked
        try:
            await asyncio.sleep(60)
        finally:
            left.set()

    client.answer = wait
    with pytest.raises(TimeoutError):
        async with limit:
            await client.ask("GET", "/")
    async with asyncio.timeout(30):
        await left.wait()


# One policy.


class TeaConfig(Config):
    status: int = Field(418, description="The status.")


@policy
async def teapot(exchange: Exchange, call_next: Handler, config: TeaConfig) -> Response:
    """Refuses coffee."""
    if exchange.request.headers.get("accept") == "text/coffee":
        return Response.text("short and stout", status=config.status)
    response = await call_next(exchange)
    response.headers["x-tea"] = "yes"
    return response


async def test_a_policy_is_run_around_a_service():
    run = await run_policy(teapot, Request("POST", "/brew", query="n=2", body=b"leaves"))
    assert (run.status, run.body, run.response.headers["x-tea"], run.error) == (200, b"ok", "yes", None)
    (seen,) = run.requests
    assert (seen.method, seen.path, seen.query, seen.body) == ("POST", "/brew", "n=2", b"leaves")


async def test_a_policy_that_refuses_reaches_nobody():
    coffee = Request("GET", "/", headers=Headers.of([("accept", "text/coffee")]))
    run = await run_policy(teapot, coffee, config={"status": 406})
    assert (run.status, run.body, run.requests) == (406, b"short and stout", [])


async def test_errors_are_seen_as_they_are_and_as_they_are_answered():
    run = await run_policy(teapot, service=GatewayError(ErrorType.BAD_GATEWAY, "no kettle"))
    assert run.status == 502
    assert isinstance(run.error, GatewayError)
    run = await run_policy(teapot, service=ZeroDivisionError())
    assert run.status == 500
    assert isinstance(run.error, ZeroDivisionError)


async def test_services_may_be_functions_of_the_exchange():
    async def pieces():
        yield b"a"
        yield b"b"

    async def service(exchange):
        return Response(body=Body.from_iterable(pieces()))

    streamed = Request("POST", "/", body=Body.from_iterable(pieces()))
    run = await run_policy(teapot, streamed, service)
    assert (run.body, run.requests[0].body) == (b"ab", b"ab")
    run = await run_policy(teapot, service=lambda exchange: Response(204))
    assert run.status == 204


async def test_a_component_can_be_run_too():
    class Nothing:
        def wrap(self, call_next, route):
            return call_next

    run = await run_policy(Nothing(), service=Response.text("tea"))
    assert run.body == b"tea"
