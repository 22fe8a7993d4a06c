from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from typing import TYPE_CHECKING, Any, cast

import pytest

from gateway import Body, ErrorType, Exchange, GatewayError, Headers, Request, Response, Route, Waiter
from gateway.pipeline import CompiledRoute, Containment, Observers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gateway import Handler
    from gateway.exchange import Responder

pytestmark = pytest.mark.anyio

ROUTE = Route(id="r", path="/")


class Client:
    """A responder that notes what it is told to answer."""

    def __init__(self) -> None:
        self.responses: list[Response] = []

    def respond(self, exchange: Exchange, response: Response) -> None:
        self.responses.append(response)

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        raise AssertionError

    @property
    def response(self) -> Response:
        (response,) = self.responses
        return response


class Notes:
    """An observer that notes which exchanges are finished."""

    def __init__(self) -> None:
        self.finished: list[Exchange] = []

    def exchange_finished(self, exchange: Exchange) -> None:
        self.finished.append(exchange)


def compiled(handler: Handler, *, needs_task: bool = False, observer: Notes | None = None) -> CompiledRoute:
    return CompiledRoute(
        route=ROUTE,
        handler=handler,
        needs_task=needs_task,
        observers=Observers([observer] if observer is not None else [], lambda traceback: None),
        containment=Containment(lambda traceback: None),
        on_finish=lambda: None,
    )


def start(handler: Handler, *, needs_task: bool = False, client: Responder | None = None) -> Exchange:
    exchange = Exchange(Request("GET", "/"), client or Client())
    exchange.start(compiled(handler, needs_task=needs_task))
    return exchange


def client_of(exchange: Exchange) -> Client:
    return cast("Client", exchange.responder)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def until(is_so: Callable[[], object]) -> None:
    """Wait for what takes time, however long a busy machine makes it."""
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.001)


both = pytest.mark.parametrize("needs_task", [False, True], ids=["direct", "task"])


# Answers.


async def test_without_a_task_an_answer_that_needs_no_wait_is_there_at_once():
    async def handler(exchange: Exchange) -> Response:
        return Response.text("hi")

    tasks = asyncio.all_tasks()
    exchange = start(handler)
    assert client_of(exchange).response.body == b"hi"
    assert exchange.response is client_of(exchange).response
    assert exchange.route is ROUTE
    assert asyncio.all_tasks() == tasks


async def test_without_a_task_a_waiter_resumes_it_at_once():
    waiter: Waiter[str] = Waiter()

    async def handler(exchange: Exchange) -> Response:
        return Response.text(await waiter)

    tasks = asyncio.all_tasks()
    exchange = start(handler)
    assert client_of(exchange).responses == []
    waiter.set_result("hi")
    assert client_of(exchange).response.body == b"hi"
    assert asyncio.all_tasks() == tasks


async def test_one_wait_after_the_other():
    waiters: list[Waiter[str]] = [Waiter(), Waiter(), Waiter()]
    waiters[1].set_result("b")

    async def handler(exchange: Exchange) -> Response:
        return Response.text("".join([await waiter for waiter in waiters]))

    exchange = start(handler)
    waiters[0].set_result("a")
    assert client_of(exchange).responses == []
    waiters[2].set_result("c")
    assert client_of(exchange).response.body == b"abc"


@both
async def test_an_error_from_a_waiter_reaches_the_handler(needs_task):
    waiter: Waiter[str] = Waiter()

    async def handler(exchange: Exchange) -> Response:
        try:
            return Response.text(await waiter)
        except OSError as error:
            return Response.text(str(error))

    exchange = start(handler, needs_task=needs_task)
    await settle()
    waiter.set_error(OSError("gone"))
    await settle()
    assert client_of(exchange).response.body == b"gone"


@both
async def test_a_refusal_becomes_its_response(needs_task):
    async def handler(exchange: Exchange) -> Response:
        raise GatewayError(ErrorType.FORBIDDEN, "no")

    exchange = start(handler, needs_task=needs_task)
    await settle()
    assert client_of(exchange).response.status == 403
    assert isinstance(exchange.error, GatewayError)


@both
async def test_a_bug_becomes_500(needs_task, caplog):
    async def handler(exchange: Exchange) -> Response:
        raise KeyError("oops")

    exchange = start(handler, needs_task=needs_task)
    await settle()
    assert client_of(exchange).response.status == 500
    assert "oops" in caplog.text


@both
async def test_a_handler_that_fails_before_it_is_a_coroutine_becomes_500(needs_task, caplog):
    def handler(exchange: Exchange) -> Any:
        raise TypeError("takes 3 positional arguments")

    exchange = start(handler, needs_task=needs_task)
    await settle()
    assert client_of(exchange).response.status == 500


@both
@pytest.mark.parametrize("answer", [None, "text", Exception], ids=repr)
async def test_what_is_no_response_becomes_500(needs_task, answer, caplog):
    async def handler(exchange: Exchange) -> Any:
        return answer

    exchange = start(handler, needs_task=needs_task)
    await settle()
    assert client_of(exchange).response.status == 500
    assert "instead of a Response" in caplog.text


@both
async def test_a_handler_that_is_no_coroutine_becomes_500(needs_task, caplog):
    def handler(exchange: Exchange) -> Any:
        return Response()

    exchange = start(handler, needs_task=needs_task)
    await settle()
    assert client_of(exchange).response.status == 500


@both
async def test_a_response_whose_body_somebody_read_already_becomes_500(needs_task, caplog):
    """Half a response must not be sent, and the adapter finds out too late."""

    async def handler(exchange: Exchange) -> Response:
        response = Response(body=Body.from_iterable(pieces()))
        assert isinstance(response.body, Body)
        await response.body.read(10)
        return response

    exchange = start(handler, needs_task=needs_task)
    await settle()
    assert client_of(exchange).response.status == 500
    assert "already consumed" in caplog.text


@both
@pytest.mark.parametrize("body", ["text", None, bytearray(b"x")], ids=repr)
async def test_a_response_whose_body_is_none_becomes_500(needs_task, body, caplog):
    async def handler(exchange: Exchange) -> Response:
        return Response(body=body)

    exchange = start(handler, needs_task=needs_task)
    await settle()
    assert client_of(exchange).response.status == 500
    assert "neither bytes nor a Body" in caplog.text


async def pieces() -> AsyncIterator[bytes]:
    yield b"1"


@both
async def test_a_response_that_cannot_be_sent_becomes_500(needs_task, caplog):
    class Choosy(Client):
        def respond(self, exchange: Exchange, response: Response) -> None:
            b"".join([name + value for name, value in response.headers.pairs])
            super().respond(exchange, response)

    async def handler(exchange: Exchange) -> Response:
        return Response(headers=Headers(cast("Any", [("text", "text")])))

    exchange = start(handler, needs_task=needs_task, client=Choosy())
    await settle()
    assert client_of(exchange).response.status == 500
    assert exchange.response is client_of(exchange).response


async def test_an_adapter_that_can_send_nothing_harms_nobody_else(caplog):
    class Broken(Client):
        def respond(self, exchange: Exchange, response: Response) -> None:
            raise RuntimeError("closed")

    async def handler(exchange: Exchange) -> Response:
        return Response()

    start(handler, client=Broken())
    assert "could not be sent" in caplog.text


@both
async def test_a_cancellation_that_nobody_asked_for_is_a_bug(needs_task, caplog):
    """A component whose own task was cancelled by somebody passes that on to whoever waits for it."""

    async def handler(exchange: Exchange) -> Response:
        raise asyncio.CancelledError

    exchange = start(handler, needs_task=needs_task)
    await settle()
    assert client_of(exchange).response.status == 500
    assert "CancelledError" in caplog.text


async def test_when_the_loop_ends_what_is_under_way_is_answered_with_503():
    async def handler(exchange: Exchange) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    others = asyncio.all_tasks()
    exchange = start(handler, needs_task=True)
    await settle()
    (task,) = asyncio.all_tasks() - others
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert client_of(exchange).response.status == 503


# Adoption: a handler that promised to wait for nothing, and waits for something of asyncio's.


async def test_a_handler_that_waits_for_a_future_goes_on_in_a_task():
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> Response:
        return Response.text(await future)

    exchange = start(handler)
    await settle()
    future.set_result("hi")
    await settle()
    assert client_of(exchange).response.body == b"hi"


async def test_a_handler_that_waits_for_a_future_that_is_done_meanwhile():
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> Response:
        return Response.text(await future)

    exchange = start(handler)
    future.set_result("hi")
    await settle()
    assert client_of(exchange).response.body == b"hi"


async def test_a_handler_that_waits_for_a_future_that_fails():
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> Response:
        try:
            return Response.text(await future)
        except OSError as error:
            return Response.text(str(error))

    exchange = start(handler)
    await settle()
    future.set_exception(OSError("gone"))
    await settle()
    assert client_of(exchange).response.body == b"gone"


async def test_a_handler_that_only_lets_others_run():
    async def handler(exchange: Exchange) -> Response:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return Response.text("hi")

    exchange = start(handler)
    await settle()
    assert client_of(exchange).response.body == b"hi"


async def test_waiters_and_futures_in_turn():
    first: Waiter[str] = Waiter()
    third: Waiter[str] = Waiter()

    async def handler(exchange: Exchange) -> Response:
        text = await first
        await asyncio.sleep(0.001)
        async with asyncio.timeout(30):
            text += await third
        return Response.text(text)

    exchange = start(handler)
    first.set_result("a")
    await asyncio.sleep(0.01)
    third.set_result("b")
    await settle()
    assert client_of(exchange).response.body == b"ab"


async def test_a_time_limit_of_the_handlers_own_works_after_adoption():
    async def handler(exchange: Exchange) -> Response:
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return Response.text("late")
        raise AssertionError

    exchange = start(handler)
    await until(lambda: client_of(exchange).responses)
    assert client_of(exchange).response.body == b"late"


# Cancellation: the client went away.


class Steps:
    """A handler that waits, and notes how it is ended."""

    def __init__(self, awaitable: Any) -> None:
        self.notes: list[str] = []
        self._awaitable = awaitable

    async def __call__(self, exchange: Exchange) -> Response:
        try:
            await self._awaitable
        except asyncio.CancelledError:
            self.notes.append("cancelled")
            raise
        finally:
            self.notes.append("finally")
        raise AssertionError


async def test_cancelling_without_a_task():
    handler = Steps(Waiter())
    exchange = start(handler)
    exchange.cancel()
    assert handler.notes == ["cancelled", "finally"]
    assert exchange.is_cancelled
    assert client_of(exchange).responses == []


async def test_cancelling_in_a_task():
    handler = Steps(asyncio.Event().wait())
    exchange = start(handler, needs_task=True)
    await settle()
    exchange.cancel()
    exchange.cancel()
    await settle()
    assert handler.notes == ["cancelled", "finally"]
    assert client_of(exchange).responses == []


async def test_cancelling_in_a_task_before_it_runs():
    handler = Steps(Waiter())
    exchange = start(handler, needs_task=True)
    exchange.cancel()
    await settle()
    assert handler.notes == ["cancelled", "finally"]
    assert client_of(exchange).responses == []


@pytest.mark.parametrize("turns", [0, 3])
async def test_cancelling_an_adopted_handler(turns):
    """It must see the cancellation as any other does, not be closed: connectors clean up on ``CancelledError``."""
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    handler = Steps(future)
    exchange = start(handler)
    for _ in range(turns):
        await asyncio.sleep(0)
    exchange.cancel()
    await settle()
    assert handler.notes == ["cancelled", "finally"]
    assert client_of(exchange).responses == []
    assert future.cancelled()


async def test_an_adopted_handler_may_wait_while_it_is_cancelled():
    done: list[str] = []

    async def handler(exchange: Exchange) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            done.append("cleaned up")
        raise AssertionError

    exchange = start(handler)
    await settle()
    exchange.cancel()
    await until(lambda: done)
    assert done == ["cleaned up"]


async def test_an_adopted_handler_may_answer_although_it_is_cancelled():
    """What it answers is given up: nobody is there to take it."""
    produced = Body.from_iterable(pieces())

    async def handler(exchange: Exchange) -> Response:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return Response(body=produced)

    exchange = start(handler)
    await settle()
    exchange.cancel()
    await settle()
    assert client_of(exchange).responses == []
    assert produced.is_over


@both
async def test_an_error_after_the_client_went_is_nobodys_answer(needs_task):
    waiter: Waiter[str] = Waiter()

    async def handler(exchange: Exchange) -> Response:
        try:
            await waiter
        except asyncio.CancelledError as error:
            raise OSError("in the clean-up") from error
        raise AssertionError

    exchange = start(handler, needs_task=needs_task)
    await settle()
    exchange.cancel()
    await settle()
    assert client_of(exchange).responses == []


# The end.


async def test_observers_learn_once_how_it_ended():
    observer = Notes()

    async def handler(exchange: Exchange) -> Response:
        return Response()

    exchange = Exchange(Request("GET", "/"), Client())
    exchange.start(compiled(handler, observer=observer))
    assert observer.finished == []
    error = ConnectionResetError()
    exchange.finish(17, error)
    exchange.finish(18)
    await asyncio.sleep(0)  # they are told at the end of the turn
    assert observer.finished == [exchange]
    assert (exchange.sent_bytes, exchange.error) == (17, error)
    assert exchange.duration_s > 0


async def test_an_exchange_that_never_began_can_be_finished():
    Exchange(Request("GET", "/"), Client()).finish(0)


async def test_what_was_refused_is_still_known_when_all_was_sent():
    async def handler(exchange: Exchange) -> Response:
        raise GatewayError(ErrorType.FORBIDDEN, "no")

    exchange = start(handler)
    exchange.finish(10)
    assert isinstance(exchange.error, GatewayError)


async def test_plugins_keep_what_belongs_to_the_exchange():
    exchange, other = (Exchange(Request("GET", "/a"), Client()) for _ in range(2))
    exchange.state["mine"] = 1
    assert exchange.state == {"mine": 1}
    assert other.state == {}
    assert exchange.upstream_path == "/a"


@both
@pytest.mark.parametrize("refusal", [None, GatewayError(ErrorType.BAD_GATEWAY, "no")], ids=["answered", "refused"])
async def test_a_finished_exchange_leaves_nothing_to_the_garbage_collector(needs_task, refusal):
    """A service that is down must not fill the memory with the requests it does not answer."""

    async def handler(exchange: Exchange) -> Response:
        waiter: Waiter[Response] = Waiter()
        asyncio.get_running_loop().call_soon(waiter.set_result, Response())
        response = await waiter
        if refusal is not None:
            try:
                int("cause")
            except ValueError as error:
                raise GatewayError(ErrorType.BAD_GATEWAY, "no") from error
        return response

    async def one() -> weakref.ref[Exchange]:
        exchange = start(handler, needs_task=needs_task)
        await settle()
        exchange.finish(0)
        return weakref.ref(exchange)

    gc.collect()
    gc.disable()
    try:
        reference = await one()
        await settle()
        assert reference() is None
    finally:
        gc.enable()


# Messages.


def test_ready_made_responses():
    assert Response.text("ä").body == "ä".encode()
    assert Response.json({"a": [1]}, status=201).body == b'{"a": [1]}'
    assert Response.json(1).headers["content-type"] == "application/json"
    with pytest.raises(TypeError):
        Response.json(object())


async def test_a_discarded_response_releases_what_produces_it():
    dropped: list[str] = []

    class Tunnel:
        def abort(self) -> None:
            dropped.append("tunnel")

    body = Body.from_iterable(pieces())
    Response(body=body, tunnel=cast("Any", Tunnel())).discard()
    await settle()
    assert dropped == ["tunnel"]
    assert body.is_over
    Response(body=b"x").discard()


def test_pictures_show_no_secrets():
    request = Request("GET", "/a", query="token=secret", headers=Headers.of([("cookie", "secret")]), id="7")
    exchange = Exchange(request, Client())
    assert repr(exchange) == "<Exchange <Request GET /a id=7> None>"
    assert repr(Response(status=204)) == "<Response 204>"
