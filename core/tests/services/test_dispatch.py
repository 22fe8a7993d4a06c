from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from typing import Any, cast

import pytest

from gateway import Body, ErrorType, GatewayError, Response
from gateway.pipeline import Observers
from gateway.services import ServiceDirectory, build_dispatch

pytestmark = pytest.mark.anyio


class Watcher:
    def __init__(self) -> None:
        self.attempts: list[Any] = []

    def exchange_finished(self, exchange):
        raise AssertionError

    def attempt_finished(self, exchange, attempt):
        self.attempts.append(attempt)


class Producer:
    def pause_body(self):
        pass

    def resume_body(self):
        pass

    def abort_body(self):
        pass


class Tunnel:
    """A tunnel as far as the core looks at it."""

    def __init__(self, *, is_over: bool = False) -> None:
        self.on_close: Any = None
        self.is_over = is_over


@pytest.fixture
def service(endpoint):
    directory = ServiceDirectory()
    directory.publish("static", {"orders": [endpoint(1), endpoint(2)]})
    return directory.service("orders")


@pytest.fixture
def dispatch_to(service, first):
    def build(connector, *observers, scheme="http", balancer=first):
        return build_dispatch(service, balancer, {scheme: connector}, Observers(observers, lambda traceback: None))

    return build


async def test_an_instance_is_chosen_and_asked(service, dispatch_to, connector, exchange):
    asked = connector()
    response = await dispatch_to(asked)(exchange)
    assert response.status == 200
    assert asked.asked == [service.instances[0]]
    assert exchange.instance is service.instances[0]
    assert exchange.attempts == 1


async def test_no_instance_at_all_is_503(dispatch_to, connector, exchange, service, endpoint):
    service.publish("static", [])
    with pytest.raises(GatewayError) as refused:
        await dispatch_to(connector())(exchange)
    assert (refused.value.type, refused.value.message) == (ErrorType.UNAVAILABLE, "no instances available")
    service.publish("static", [endpoint(1, is_healthy=False)])
    with pytest.raises(GatewayError) as refused:
        await dispatch_to(connector())(exchange)
    assert (refused.value.type, refused.value.message) == (ErrorType.UNAVAILABLE, "no healthy instances")
    assert exchange.attempts == 0


async def test_an_instance_that_no_connector_reaches_is_502(dispatch_to, connector, exchange):
    with pytest.raises(GatewayError) as refused:
        await dispatch_to(connector(), scheme="grpc")(exchange)
    assert refused.value.type is ErrorType.BAD_GATEWAY
    assert "192.0.2.1" not in refused.value.message
    assert "'http'" in refused.value.detail


async def test_a_request_body_that_somebody_read_cannot_be_forwarded(dispatch_to, connector, exchange, service):
    exchange.request.body = Body(Producer())
    exchange.request.body.abort()
    asked = connector()
    with pytest.raises(RuntimeError, match=r"assign what was read to exchange\.request\.body"):
        await dispatch_to(asked)(exchange)
    assert asked.asked == []
    assert service.instances[0].in_flight == 0


# Another instance, if one saw nothing of the request.


class Sparing:
    """A balancer that avoids what is excluded, as all do."""

    def select(self, instances, exchange):
        return next((each for each in instances if each not in exchange.excluded), instances[0])


def unreachable_but(*ports):
    asked = []

    class Connector:
        waits = False

        async def open(self, instance, exchange):
            asked.append(instance.endpoint.port)
            if instance.endpoint.port not in ports:
                raise GatewayError(ErrorType.BAD_GATEWAY, "no", is_unsent=True)
            return Response()

    return Connector(), asked


async def test_if_an_instance_cannot_be_reached_another_one_is_asked(service, dispatch_to, exchange, endpoint):
    connector, asked = unreachable_but(2)
    watcher = Watcher()
    assert (await dispatch_to(connector, watcher, balancer=Sparing())(exchange)).status == 200
    assert asked == [1, 2]
    assert exchange.attempts == len(watcher.attempts) == 2
    assert exchange.instance is service.instances[1]
    assert in_flight(service) == [0, 0]


@pytest.mark.parametrize(("known", "expected"), [(1, 1), (2, 2), (5, 3)])
async def test_not_all_of_them_are_asked(service, dispatch_to, exchange, endpoint, known, expected):
    service.publish("static", [endpoint(port) for port in range(1, known + 1)])
    connector, asked = unreachable_but()
    with pytest.raises(GatewayError):
        await dispatch_to(connector, balancer=Sparing())(exchange)
    assert len(asked) == expected
    assert not any(in_flight(service))


@pytest.mark.parametrize(("known", "expected"), [(5, [3, 4, 5]), (4, [3, 4]), (3, [3])])
async def test_who_is_only_to_be_avoided_was_not_asked(service, dispatch_to, exchange, endpoint, known, expected):
    """A circuit breaker excludes those whose circuits are open: others are asked all the same, and none of these."""
    service.publish("static", [endpoint(port) for port in range(1, known + 1)])
    exchange.excluded = service.instances[:2]
    connector, asked = unreachable_but()
    with pytest.raises(GatewayError):
        await dispatch_to(connector, balancer=Sparing())(exchange)
    assert asked == expected


async def test_if_an_instance_saw_something_of_it_no_other_is_asked(service, dispatch_to, connector, exchange):
    def answer():
        raise GatewayError(ErrorType.BAD_GATEWAY, "no")

    asked = connector(answer)
    with pytest.raises(GatewayError):
        await dispatch_to(asked, balancer=Sparing())(exchange)
    assert len(asked.asked) == 1


# Instances that answer nothing at all.


class BlackHoles:
    """A connector that finds out late which ports lead nowhere; the others answer at once."""

    waits = False

    def __init__(self, clock, *ports, taking_s=10.0):
        self.ports = {*ports}
        self.refusing: set[int] = set()
        self.asked: list[int] = []
        self._clock = clock
        self._taking_s = taking_s

    async def open(self, instance, exchange):
        self.asked.append(instance.endpoint.port)
        if instance.endpoint.port in self.ports:
            self._clock.advance(self._taking_s)
            exchange.connect_s += self._taking_s
            raise self.failure()
        if instance.endpoint.port in self.refusing:
            raise self.failure()
        return Response()

    def failure(self) -> BaseException:
        return GatewayError(ErrorType.UPSTREAM_TIMEOUT, "no", is_unsent=True)


@pytest.fixture
def asking(service, new_exchange, clock):
    """Ask the service, each time for another request; returns the ports that were asked."""

    async def ask(connector, *, balancer=None, timeout_s=None):
        observers = Observers((), lambda traceback: None)
        dispatch = build_dispatch(service, balancer or Sparing(), {"http": connector}, observers, clock=clock)
        exchange = new_exchange(timeout_s)
        begun = len(connector.asked)
        with contextlib.suppress(GatewayError, asyncio.CancelledError):
            await dispatch(exchange)
        return connector.asked[begun:], exchange

    return ask


async def test_who_leads_nowhere_is_left_alone_for_a_while(asking, clock):
    connector = BlackHoles(clock, 1)
    asked, exchange = await asking(connector)
    assert asked == [1, 2]
    assert [each.endpoint.port for each in exchange.excluded] == [1]
    asked, exchange = await asking(connector)
    assert asked == [2]
    assert exchange.excluded == ()  # as policies see it, nothing was tried
    clock.advance(9.9)
    assert (await asking(connector))[0] == [2]


async def test_after_that_one_request_at_a_time_tries_it(asking, clock):
    connector = BlackHoles(clock, 1)
    await asking(connector)
    clock.advance(10.0)
    assert (await asking(connector))[0] == [1, 2]
    assert (await asking(connector))[0] == [2]


async def test_once_it_is_reached_again_it_is_like_any_other(asking, clock, service):
    connector = BlackHoles(clock, 1)
    await asking(connector)
    connector.ports.clear()
    clock.advance(10.0)
    assert [(await asking(connector))[0] for _ in range(3)] == [[1], [1], [1]]
    assert not service.unreachable


async def test_if_all_lead_nowhere_all_are_asked(asking, clock):
    connector = BlackHoles(clock, 1, 2)
    await asking(connector)
    assert len((await asking(connector))[0]) == 2


async def test_who_is_left_alone_is_asked_before_who_failed_already(asking, clock):
    connector = BlackHoles(clock, 2)
    connector.refusing.add(1)
    assert (await asking(connector))[0] == [1, 2]
    connector.ports.clear()
    assert (await asking(connector))[0] == [1, 2]


async def test_who_is_left_alone_is_asked_if_all_others_are_excluded(asking, clock, service, new_exchange, dispatch_to):
    """So a circuit breaker finds out whether an instance works again."""
    connector = BlackHoles(clock, 2)
    connector.refusing.add(1)
    await asking(connector)
    connector.ports.clear()
    exchange = new_exchange()
    exchange.excluded = service.instances[:1]
    await dispatch_to(connector, balancer=Sparing())(exchange)
    assert connector.asked == [1, 2, 2]


async def test_a_client_need_not_wait_until_the_end_for_it_to_be_known(asking, clock, service):
    """Most have less patience than a connection may take."""

    class Impatient(BlackHoles):
        def failure(self):
            return asyncio.CancelledError()

    connector = Impatient(clock, 1, taking_s=5.0)
    await asking(connector)
    assert [each.endpoint.port for each in service.unreachable] == [1]
    assert (await asking(connector))[0] == [2]


async def test_nor_until_more_than_its_route_allows(asking, clock, service):
    connector = BlackHoles(clock, 1, taking_s=0.3)
    await asking(connector, timeout_s=0.3)
    assert [each.endpoint.port for each in service.unreachable] == [1]
    assert (await asking(connector, timeout_s=0.3))[0] == [2]


async def test_who_was_reached_and_is_slow_to_answer_is_asked_again(asking, clock, service):
    class Slow(BlackHoles):
        async def open(self, instance, exchange):
            exchange.connect_s += 2.0
            clock.advance(7.0)
            raise asyncio.CancelledError

    await asking(Slow(clock))
    assert not service.unreachable


async def test_who_refuses_at_once_is_asked_again(asking, clock, service):
    connector = BlackHoles(clock, 1, taking_s=0.5)
    await asking(connector)
    assert not service.unreachable
    assert (await asking(connector))[0] == [1, 2]


async def test_who_is_only_busy_is_asked_again(asking, clock, service):
    class Busy(BlackHoles):
        async def open(self, instance, exchange):
            clock.advance(10.0)
            exchange.queue_s += 10.0
            raise self.failure()

    await asking(Busy(clock, 1))
    assert not service.unreachable


async def test_who_is_gone_is_forgotten(asking, clock, service, endpoint):
    connector = BlackHoles(clock, 1)
    await asking(connector)
    service.publish("static", [endpoint(2)])
    clock.advance(20.0)
    await asking(connector)
    assert not service.unreachable


async def test_of_few_it_is_known(asking, clock, service, endpoint):
    service.publish("static", [endpoint(port) for port in range(1, 101)])
    connector = BlackHoles(clock, *range(1, 101), taking_s=1.0)
    balancer = Turns()
    for _ in range(70):
        await asking(connector, balancer=balancer)
    assert len(service.unreachable) <= 64


class Turns:
    """A balancer that takes one after the other, whatever is excluded."""

    def __init__(self):
        self._turn = 0

    def select(self, instances, exchange):
        self._turn += 1
        return instances[self._turn % len(instances)]


async def test_no_other_is_asked_when_the_time_of_the_route_is_over(asking, clock):
    """Ten seconds for each of three add up."""
    assert (await asking(BlackHoles(clock, 1), timeout_s=5.0))[0] == [1]
    assert (await asking(BlackHoles(clock, 1, 2), timeout_s=15.0))[0] == [2, 1]


# in_flight goes down again, whatever happens.


def in_flight(service) -> list[int]:
    return [instance.in_flight for instance in service.instances]


async def test_while_a_connector_works_the_attempt_is_in_flight(service, dispatch_to, connector, exchange):
    seen = []

    def answer():
        seen.append(in_flight(service))
        return Response(body=b"whole")

    await dispatch_to(connector(answer))(exchange)
    assert (seen, in_flight(service)) == ([[1, 0]], [0, 0])


@pytest.mark.parametrize("end", ["end", "fail", "abort"])
async def test_a_streamed_answer_is_in_flight_until_its_body_is_over(service, dispatch_to, connector, exchange, end):
    body = Body(Producer())
    await dispatch_to(connector(lambda: Response(body=body)))(exchange)
    assert in_flight(service) == [1, 0]
    {"end": body.end, "fail": lambda: body.fail(OSError()), "abort": body.abort}[end]()
    assert in_flight(service) == [0, 0]


async def test_a_streamed_answer_may_be_over_at_once(service, dispatch_to, connector, exchange):
    body = Body(Producer())
    body.feed(b"x")
    body.end()
    await dispatch_to(connector(lambda: Response(body=body)))(exchange)
    assert in_flight(service) == [0, 0]


async def test_a_tunnel_is_in_flight_until_it_is_gone(service, dispatch_to, connector, exchange):
    tunnel = Tunnel()
    await dispatch_to(connector(lambda: Response(101, tunnel=cast("Any", tunnel))))(exchange)
    assert in_flight(service) == [1, 0]
    tunnel.on_close()
    assert in_flight(service) == [0, 0]


async def test_a_tunnel_may_be_gone_at_once(service, dispatch_to, connector, exchange):
    tunnel: Any = Tunnel(is_over=True)
    await dispatch_to(connector(lambda: Response(101, tunnel=tunnel)))(exchange)
    assert in_flight(service) == [0, 0]


@pytest.mark.parametrize(
    "error", [GatewayError(ErrorType.BAD_GATEWAY, "no"), KeyError("bug"), asyncio.CancelledError()], ids=repr
)
async def test_a_failed_attempt_is_not_in_flight(service, dispatch_to, connector, exchange, error):
    def answer():
        raise error

    watcher = Watcher()
    with pytest.raises(type(error)):
        await dispatch_to(connector(answer), watcher)(exchange)
    assert in_flight(service) == [0, 0]
    (attempt,) = watcher.attempts
    assert (attempt.instance, attempt.status, attempt.error) == (service.instances[0], None, error)


@pytest.mark.parametrize("answer", [None, "text", Response(body=7)], ids=repr)  # type: ignore[arg-type]  # which is what is tested
async def test_an_answer_that_is_none_is_not_in_flight(service, dispatch_to, connector, exchange, answer):
    watcher = Watcher()
    with pytest.raises((TypeError, AttributeError)):
        await dispatch_to(connector(lambda: answer), watcher)(exchange)
    assert in_flight(service) == [0, 0]
    assert len(watcher.attempts) == 1


async def test_a_cancelled_attempt_is_not_in_flight(service, dispatch_to, connector, exchange):
    class Slow:
        waits = True

        async def open(self, instance, exchange):
            await asyncio.Event().wait()

    task = asyncio.ensure_future(dispatch_to(Slow())(exchange))
    for _ in range(3):
        await asyncio.sleep(0)
    assert in_flight(service) == [1, 0]
    task.cancel()
    await asyncio.wait([task])
    assert in_flight(service) == [0, 0]


async def test_a_balancer_that_fails_is_not_in_flight(service, dispatch_to, connector, exchange):
    class Broken:
        def select(self, instances, exchange):
            raise IndexError

    with pytest.raises(IndexError):
        await dispatch_to(connector(), balancer=Broken())(exchange)
    assert in_flight(service) == [0, 0]


# Who is told.


async def test_balancers_are_told_of_every_release(service, dispatch_to, connector, exchange):
    told: list[object] = []
    service.instances[0].release_listeners = (told.append,)
    await dispatch_to(connector())(exchange)
    assert told == [service.instances[0]]


async def test_a_listener_that_fails_harms_nobody(service, dispatch_to, connector, exchange, caplog):
    """It is called from wherever a body ends: in the middle of reading from a service."""
    told: list[object] = []

    def broken(instance):
        raise KeyError("bug")

    service.instances[0].release_listeners = (broken, told.append)
    body = Body(Producer())
    await dispatch_to(connector(lambda: Response(body=body)))(exchange)
    body.end()
    assert told == [service.instances[0]]
    assert in_flight(service) == [0, 0]
    assert "bug" in caplog.text


async def test_observers_are_told_of_every_attempt(service, dispatch_to, connector, exchange):
    watcher = Watcher()
    await dispatch_to(connector(lambda: Response(503)), watcher)(exchange)
    (attempt,) = watcher.attempts
    assert (attempt.instance, attempt.status, attempt.error) == (service.instances[0], 503, None)
    assert 0 <= attempt.duration_s < 1


@pytest.mark.parametrize("is_answered", [True, False])
async def test_observers_that_fail_do_not_reach_the_exchange(
    service, dispatch_to, connector, exchange, is_answered, caplog
):
    class Broken(Watcher):
        def attempt_finished(self, exchange, attempt):
            raise ValueError("bad label")

    def answer():
        if not is_answered:
            raise GatewayError(ErrorType.BAD_GATEWAY, "no")
        return Response()

    dispatch = dispatch_to(connector(answer), Broken())
    if is_answered:
        assert (await dispatch(exchange)).status == 200
    else:
        with pytest.raises(GatewayError):
            await dispatch(exchange)
    assert in_flight(service) == [0, 0]
    assert "bad label" in caplog.text


# Latency.


async def test_the_latency_of_the_last_answer_is_kept(service, connector, exchange, first):
    now = iter([0.0, 1.0, 10.0, 12.0])
    observers = Observers((), lambda traceback: None)
    dispatch = build_dispatch(service, first, {"http": connector()}, observers, clock=lambda: next(now))
    await dispatch(exchange)
    assert service.instances[0].latency_s == 1.0
    await dispatch(exchange)
    assert service.instances[0].latency_s == 2.0


# Connectors that wait for other things than waiters.


async def test_a_connector_that_waits_gets_a_task_of_its_own(service, dispatch_to, connector, exchange):
    class Waiting:
        waits = True

        async def open(self, instance, exchange):
            async with asyncio.timeout(30):
                await asyncio.sleep(0)
            return Response.text("later")

    assert (await dispatch_to(Waiting())(exchange)).body == b"later"


async def test_context_variables_reach_a_connector(service, dispatch_to, connector, exchange):
    variable: ContextVar[str] = ContextVar("variable", default="")
    seen = []

    class Waiting:
        waits = True

        async def open(self, instance, exchange):
            seen.append(variable.get())
            return Response()

    variable.set("trace")
    await dispatch_to(Waiting())(exchange)
    assert seen == ["trace"]


@pytest.mark.parametrize("answer", [Response, ConnectionError])
async def test_the_time_of_the_last_attempt_stands_on_the_exchange(service, connector, exchange, first, answer):
    def respond():
        if answer is ConnectionError:
            raise ConnectionError("gone")
        return Response()

    now = iter([0.0, 1.0, 10.0, 12.0])
    observers = Observers((), lambda traceback: None)
    dispatch = build_dispatch(service, first, {"http": connector(respond)}, observers, clock=lambda: next(now))
    for expected_s in (1.0, 2.0):
        with contextlib.suppress(ConnectionError):
            await dispatch(exchange)
        assert exchange.service_s == expected_s
