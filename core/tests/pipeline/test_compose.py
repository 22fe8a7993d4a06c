from __future__ import annotations

import asyncio

import pytest

from gateway import ErrorType, GatewayError, Response, Stage, Waiter

pytestmark = pytest.mark.anyio


def noting(policy_of, notes, name):
    async def note(exchange, call_next):
        notes.append(f"{name} in")
        response = await call_next(exchange)
        notes.append(f"{name} out {response.status}")
        return response

    return policy_of(note)


async def test_policies_run_from_the_outside_in_and_back(gateway, place, policy_of):
    notes: list[str] = []
    policies = [place(noting(policy_of, notes, stage.name), stage) for stage in Stage]
    exchange = await gateway.ask(*policies)
    names = [stage.name for stage in Stage]
    assert notes == [*(f"{name} in" for name in names), *(f"{name} out 200" for name in reversed(names))]
    assert exchange.response.body == b"from the service"


async def test_the_stages_stand_in_the_documented_order():
    assert [stage.name for stage in sorted(Stage)] == [
        "EDGE",
        "AUTHENTICATE",
        "AUTHORIZE",
        "LIMIT",
        "TRANSFORM",
        "RETRY",
        "ATTEMPT",
    ]


async def test_a_policy_may_answer_by_itself(gateway, place, policy_of):
    async def answer(exchange, call_next):
        return Response.text("cached")

    exchange = await gateway.ask(place(policy_of(answer)))
    assert exchange.response.body == b"cached"
    assert gateway.service.asked == []


@pytest.mark.parametrize(
    "error",
    [GatewayError(ErrorType.FORBIDDEN, "no"), GatewayError(ErrorType.BAD_GATEWAY, "no"), KeyError("bug")],
    ids=["refusal", "failure", "bug"],
)
async def test_the_edge_sees_errors_as_the_responses_they_become(gateway, place, policy_of, error, caplog):
    """A 401 and a 500 need CORS headers too."""

    async def mark(exchange, call_next):
        response = await call_next(exchange)
        response.headers.add("access-control-allow-origin", "*")
        return response

    async def fail(exchange, call_next):
        raise error

    exchange = await gateway.ask(place(policy_of(mark), Stage.EDGE), place(policy_of(fail), Stage.AUTHENTICATE))
    assert exchange.response.status == (error.type.status if isinstance(error, GatewayError) else 500)
    assert exchange.response.headers["access-control-allow-origin"] == "*"
    assert exchange.error is error


async def test_an_error_of_the_edge_itself_is_contained_too(gateway, place, policy_of, caplog):
    async def fail(exchange, call_next):
        await call_next(exchange)
        raise KeyError("bug")

    exchange = await gateway.ask(place(policy_of(fail), Stage.EDGE))
    assert exchange.response.status == 500


async def test_inner_stages_see_errors_as_errors(gateway, place, policy_of):
    seen = []

    async def look(exchange, call_next):
        try:
            return await call_next(exchange)
        except GatewayError as error:
            seen.append(error.type)
            raise

    async def fail(exchange, call_next):
        raise GatewayError(ErrorType.BAD_GATEWAY, "no")

    exchange = await gateway.ask(place(policy_of(look), Stage.RETRY), place(policy_of(fail), Stage.ATTEMPT))
    assert (seen, exchange.response.status) == ([ErrorType.BAD_GATEWAY], 502)


async def test_the_forwarded_path_is_rewritten_and_the_matched_one_stays(gateway):
    exchange = await gateway.ask(rewrite=lambda path: path.removeprefix("/orders"))
    assert (exchange.request.path, exchange.upstream_path) == ("/orders/1", "/1")


# Whether a task is needed.


async def pass_on(exchange, call_next):
    return await call_next(exchange)


def needs_task(gateway, *policies):
    return gateway.compile(*policies).needs_task


async def test_a_route_without_policies_needs_no_task(gateway):
    assert not needs_task(gateway)


async def test_a_policy_that_may_wait_needs_a_task(gateway, place, policy_of):
    assert needs_task(gateway, place(policy_of(pass_on)))
    assert needs_task(gateway, place(policy_of(pass_on, waits=True)))
    assert needs_task(gateway, place(policy_of(pass_on, waits=False)), place(policy_of(pass_on)))
    assert not needs_task(gateway, place(policy_of(pass_on, waits=False)))


@pytest.mark.parametrize("is_optional", [False, True])
async def test_a_policy_that_returns_the_next_handler_is_free(gateway, place, is_optional):
    class Nothing:
        def wrap(self, next, route):  # noqa: A002 - the interface's name
            return next

    compiled = gateway.compile(place(Nothing(), is_optional=is_optional), place(Nothing(), Stage.EDGE))
    assert not compiled.needs_task
    assert compiled.handler is gateway.service


async def test_without_a_task_everything_happens_at_once(gateway, place, policy_of):
    waiter: Waiter[Response] = Waiter()

    async def wait(exchange):
        return await waiter

    asking = asyncio.ensure_future(gateway.ask(place(policy_of(pass_on, waits=False)), terminal=wait))
    await asyncio.sleep(0)
    tasks = asyncio.all_tasks()
    waiter.set_result(Response())
    assert asyncio.all_tasks() == tasks
    assert (await asking).response.status == 200
    assert gateway.finished == 1
