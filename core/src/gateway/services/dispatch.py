"""The innermost handler: choose an instance, ask it, keep its counters."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from gateway.body import Body
from gateway.errors import ErrorType, GatewayError
from gateway.interfaces import AttemptRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from gateway.exchange import Exchange, Handler
    from gateway.interfaces import Balancer, Connector, Instance, Tunnel
    from gateway.messages import Response
    from gateway.pipeline import Observers
    from gateway.services.service import Service

    Open = Callable[[Instance, Exchange], Coroutine[Any, Any, Response]]

__all__ = ["build_dispatch"]

logger = logging.getLogger("gateway.services")

MAX_INSTANCES_ASKED = 3
"""How many instances that cannot be reached a request tries before it is refused; nginx tries all, which adds up."""


def build_dispatch(  # noqa: C901 - one function, because every request goes through and calls cost
    service: Service,
    balancer: Balancer,
    connectors: Mapping[str, Connector],
    observers: Observers,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Handler:
    """Return the handler that asks one instance of ``service``.

    Args:
        service: The service; its instances may come and go.
        balancer: Chooses among the available ones; owned by this handler.
        connectors: Connector by the scheme of the instance.
        observers: Told about every attempt.
        clock: Monotonic seconds; tests pass a manual one.
    """
    select = balancer.select
    unreachable = service.unreachable
    open_by_scheme = {scheme: _opener(connector) for scheme, connector in connectors.items()}
    report = observers.attempt_finished if observers.wants_attempts else None
    is_wanted = observers.asked_about_attempts()

    async def dispatch(exchange: Exchange) -> Response:  # noqa: C901 - as above
        while True:  # until an instance was reached; not by recursion, which would make a cycle of every route
            instances = service.available
            if not instances:
                raise _nothing_available(service)
            if type(exchange.request.body) is not bytes:
                _check_unread(exchange.request.body)
            if unreachable:
                instance = unreachable.select(balancer, instances, exchange, clock())
            else:
                instance = select(instances, exchange)
            connect = open_by_scheme.get(instance.scheme)
            if connect is None:
                raise _unreachable(service, instance)
            exchange.instance = instance
            exchange.attempts += 1
            instance.in_flight += 1
            connected_s = exchange.connect_s
            started_s = clock()
            try:
                response = await connect(instance, exchange)
                stream = None if type(response.body) is bytes and response.tunnel is None else _under_way(response)
            except BaseException as error:
                _release(instance)
                exchange.service_s = duration_s = clock() - started_s
                if report is not None and not exchange.is_unobserved and (is_wanted is None or is_wanted(exchange)):
                    report(exchange, AttemptRecord(instance=instance, status=None, error=error, duration_s=duration_s))
                connect_s, ended_s = exchange.connect_s - connected_s, started_s + duration_s
                unreachable.note(instance, connect_s, duration_s, ended_s, exchange.route.timeout_s)
                if not _may_ask_another(error, exchange, len(instances)):
                    raise
                exchange.excluded = (*exchange.excluded, instance)
                continue
            exchange.service_s = duration_s = clock() - started_s
            if unreachable:
                unreachable.pop(instance, None)
            instance.latency_s = duration_s
            if stream is None:
                if instance.release_listeners:
                    _release(instance)
                else:
                    instance.in_flight -= 1
            else:
                stream.on_close = partial(_release, instance)
            if report is not None and not exchange.is_unobserved and (is_wanted is None or is_wanted(exchange)):
                # The constructor's keyword arguments cost more than the rest of this: set the attributes instead.
                attempt = AttemptRecord.__new__(AttemptRecord)
                attempt.instance, attempt.status, attempt.error = instance, response.status, None
                attempt.duration_s = duration_s
                report(exchange, attempt)
            return response

    return dispatch


def _check_unread(body: bytes | Body) -> None:
    if isinstance(body, Body) and body.is_consumed:
        raise RuntimeError("the request body was already consumed; assign what was read to exchange.request.body")


def _may_ask_another(error: BaseException, exchange: Exchange, instances: int) -> bool:
    """Tell whether the request can go to another instance.

    This one saw nothing of it, others remain, and it has not waited too long already.
    """
    if not isinstance(error, GatewayError) or not error.is_unsent:
        return False
    timeout_s = exchange.route.timeout_s
    if timeout_s is not None and exchange.connect_s + exchange.queue_s >= timeout_s:
        return False
    # Of those that are excluded some were asked, by this attempt or an earlier one, and some are only to be avoided.
    return exchange.attempts < MAX_INSTANCES_ASKED and len(exchange.excluded) + 1 < instances


def _opener(connector: Connector) -> Open:
    if getattr(connector, "waits", True) is False:
        return connector.open

    async def open_in_task(instance: Instance, exchange: Exchange) -> Response:
        # The connector may use asyncio or anyio as it likes, so it needs a task; the exchange may have none.
        return await asyncio.get_running_loop().create_task(connector.open(instance, exchange))

    return open_in_task


def _under_way(response: Response) -> Body | Tunnel | None:
    """Return what of a response is still to come; it may have ended while the exchange waited for its turn."""
    stream = response.tunnel or response.body
    return None if isinstance(stream, bytes) or stream.is_over else stream


def _release(instance: Instance) -> None:
    instance.in_flight -= 1
    for listener in instance.release_listeners:
        try:
            listener(instance)
        except Exception:
            # It is called from wherever a body ends, and must not break that.
            logger.exception("a balancer failed when %r had less to do", instance)


def _nothing_available(service: Service) -> GatewayError:
    message = "no healthy instances" if service.instances else "no instances available"
    return GatewayError(ErrorType.UNAVAILABLE, message, detail=f"service {service.name!r}: {message}")


def _unreachable(service: Service, instance: Instance) -> GatewayError:
    return GatewayError(
        ErrorType.BAD_GATEWAY,
        "the service cannot be reached",
        detail=f"no connector of this route's protocol reaches {instance.scheme!r} "
        f"(instance {instance.id} of service {service.name!r})",
    )
