"""One client request and its response, and how the exchange is driven from one to the other.

An adapter makes the ``Exchange`` and hands it to the gateway; the compiled handler of the matched route runs as a
coroutine; its response goes back to the adapter:

```
adapter: Exchange(request, responder) ──serve──▶ route.handler(exchange) ──▶ responder.respond(exchange, response)
                                                        │ client gone: exchange.cancel()
adapter, when everything is sent or lost: exchange.finish(...) ──▶ observers
```
"""

from __future__ import annotations

import asyncio
import logging
import time
import types
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from gateway.body import Body
from gateway.errors import ErrorType, GatewayError
from gateway.messages import Response
from gateway.waiter import Waiter

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from gateway.interfaces import Instance, Route
    from gateway.messages import Request
    from gateway.principal import Principal

__all__ = ["Exchange", "Handler", "Responder"]

logger = logging.getLogger("gateway.exchange")

NO_PARAMS: Mapping[str, str] = types.MappingProxyType({})


class Responder(Protocol):
    """The adapter's side of an exchange."""

    def respond(self, exchange: Exchange, response: Response) -> None:
        """Send the final response; called once, unless the exchange was cancelled.

        If it raises, nothing may have been sent yet: it is called once more, with an error response.
        """

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Send an interim (1xx) response (RFC 9110 section 15.2); ignored where the client cannot take it."""


class _Compiled(Protocol):
    """What an exchange needs of its compiled route."""

    route: Route
    needs_task: bool
    handler: Handler

    def fail(self, exchange: Exchange, error: BaseException) -> Response: ...
    def finished(self, exchange: Exchange) -> None: ...


class Exchange:
    """One request on its way through the gateway. Owned by one event loop.

    Attributes:
        request: What the client asked for.
        route: The matched route; set before the handler runs.
        params: The captured path parameters.
        principal: Who is calling; ``None`` while nobody was identified.
        instance: The instance of the current attempt.
        attempts: How many times a service has been asked so far.
        excluded: Instances that a retry must avoid, as long as others remain.
        service_s: How long the last attempt took to the end of the response head, or until it failed.
        queue_s: How long it has waited for its turn where an instance may have no more connections, all attempts
            together; set by connectors.
        connect_s: How long it has waited for new connections to be opened, likewise.
        response: The response, once it is known.
        started_s: Monotonic time of the arrival.
        sent_bytes: Body bytes that went to the client.
        duration_s: From its arrival to its end; 0.0 until then.
        error: What broke the exchange off after the response had begun, or what was answered as an error.
        has_state: Whether a plugin keeps something in ``state``; asking for that makes one.
        upstream_path: The path that is forwarded; ``request.path`` unless the route rewrites it.
        is_cancelled: Whether the client went away before the response began.
        is_unobserved: Whether every observer said when it started that it wants to know nothing more of it.
    """

    # One is made per request: defaults in the class spare setting them, where nothing reads them before they are set.
    # What is read of every exchange has none: reading a default takes three times as long.
    route: Route
    params: Mapping[str, str] = NO_PARAMS
    principal: Principal | None
    instance: Instance | None = None
    excluded: tuple[Instance, ...]
    service_s = 0.0
    queue_s: float
    connect_s: float
    response: Response | None = None
    sent_bytes = 0
    duration_s = 0.0
    error: BaseException | None
    has_state: bool
    _compiled: _Compiled | None = None
    _coroutine: Coroutine[Any, Any, Response] | None = None
    _waiter: Any = None
    _task: asyncio.Task[None] | None = None
    _state: dict[str, Any] | None = None

    def __init__(self, request: Request, responder: Responder) -> None:
        self.request = request
        self.responder = responder
        self.started_s = time.monotonic()
        self.upstream_path = request.path
        self.attempts = 0
        self.excluded = ()
        self.is_unobserved = self.is_cancelled = self._is_finished = self.has_state = False
        self.principal = self.error = None
        self.queue_s = self.connect_s = 0.0

    @property
    def state(self) -> dict[str, Any]:
        """A place for plugins to keep what belongs to this exchange; use the plugin's name as the key."""
        if self._state is None:
            self._state = {}
            self.has_state = True
        return self._state

    # The core's side.

    def start(self, compiled: _Compiled) -> None:
        """Run the handler of the matched route; its response goes to the responder."""
        self._compiled = compiled
        self.route = compiled.route
        if compiled.needs_task:
            self._task = asyncio.get_running_loop().create_task(self._run(compiled.handler, self))
            return
        try:
            self._coroutine = compiled.handler(self)
        except Exception as error:  # noqa: BLE001 - whatever escapes a plugin is contained here
            self._fail(error)
        else:
            self._step()

    def _step(self) -> None:
        """Run the handler until it waits or answers, without a task."""
        coroutine = self._coroutine
        assert coroutine is not None  # noqa: S101 - set by start()
        try:
            waiter = coroutine.send(None)
        except StopIteration as stop:
            self._answer(stop.value)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever escapes a plugin is contained here
            self._fail(error)
        else:
            self._waiter = waiter
            if type(waiter) is Waiter:
                waiter.resume = self._step
            else:
                # A component that promised not to wait waits for something of asyncio's: finish in a task.
                self._task = asyncio.get_running_loop().create_task(self._run(_continued, coroutine, waiter))

    async def _run(self, begin: Callable[..., Awaitable[Response]], *arguments: object) -> None:
        """Run the handler, or the rest of it, inside a task, for components that use asyncio or anyio themselves."""
        try:
            response = await begin(*arguments)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                # Not this task was cancelled, but something that a plugin waited for.
                self._fail(error)
                return
            self._fail(GatewayError(ErrorType.UNAVAILABLE, "the gateway is shutting down"))
            raise
        except Exception as error:  # noqa: BLE001 - whatever escapes a plugin is contained here
            self._fail(error)
        else:
            self._answer(response)

    def _answer(self, response: Response) -> None:
        """Hand what the handler returned to the responder, if it is a response that can be sent."""
        if type(response) is not Response or type(response.body) is not bytes:
            fault = _fault(response)
            if fault is not None:
                self._fail(fault)
                return
        if self.is_cancelled:
            response.discard()
            return
        self.response = response
        try:
            self.responder.respond(self, response)
        except Exception as error:  # noqa: BLE001 - such as a field that is no bytes: a plugin's bug like others
            response.discard()
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        assert self._compiled is not None  # noqa: S101 - set by start()
        if self.is_cancelled:
            return
        self.response = self._compiled.fail(self, error)
        try:
            self.responder.respond(self, self.response)
        except Exception:
            logger.exception("the response could not be sent", extra={"request_id": self.request.id})

    # The adapter's side.

    def cancel(self) -> None:
        """Stop: the client went away before the response began. Later calls are ignored."""
        if self.is_cancelled:
            return
        self.is_cancelled = True
        if self._task is not None:
            # Not at once: a task that is cancelled before its first step never runs, and would leave an adopted
            # handler where it waits, with all it holds.
            asyncio.get_running_loop().call_soon(self._task.cancel)
        elif self._waiter is not None:
            self._waiter.cancel()

    def finish(self, sent_bytes: int, error: BaseException | None = None) -> None:
        """Say that the exchange is over; called once by the adapter, later calls are ignored.

        Args:
            sent_bytes: How many body bytes went out.
            error: What cut it short; ``None`` when everything was sent.
        """
        if self._is_finished:
            return
        self._is_finished = True
        self.duration_s = time.monotonic() - self.started_s
        self.sent_bytes = sent_bytes
        if error is not None:
            self.error = error
        if self._compiled is not None:
            self._compiled.finished(self)

    def __repr__(self) -> str:
        return f"<Exchange {self.request!r} {self.response!r}>"


def _fault(response: object) -> Exception | None:
    """Return what is wrong with what a handler returned; ``None`` if it can be sent."""
    if not isinstance(response, Response):
        return TypeError(f"a handler returned {response!r} instead of a Response")
    body: object = response.body
    if isinstance(body, Body):
        if body.is_consumed:
            return RuntimeError(f"the body of {response!r} was already consumed; put what was read in its place")
    elif not isinstance(body, bytes):
        return TypeError(f"the body of {response!r} is {body!r}, neither bytes nor a Body")
    return None


@types.coroutine
def _continued(coroutine: Coroutine[Any, Any, Response], waits_for: Any) -> Generator[Any, Any, Response]:  # noqa: ANN401 - whatever asyncio yields
    """Go on with a coroutine that has begun and waits for something; ``await`` refuses such a one.

    What it waits for is yielded once more, to the task; it is still marked as being waited for. Then everything goes
    straight through, a cancellation too.
    """
    while True:
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001 - passed on as it is
            try:
                waits_for = coroutine.throw(error)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # what the coroutine returned
        else:
            response: Response = yield from coroutine
            return response


Handler = Callable[[Exchange], Coroutine[Any, Any, Response]]
"""What answers an exchange; a policy wraps one handler in another."""
