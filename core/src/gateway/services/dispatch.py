"""The innermost handler: choose an instance, ask it, keep its counters."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from gateway.errors import ErrorType, GatewayError
from gateway.interfaces import AttemptRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from typing import Any

    from gateway.exchange import Exchange, Handler, Response
    from gateway.interfaces import Balancer, Connector, Instance, Observer
    from gateway.services.directory import Service

    Open = Callable[[Instance, Exchange], Coroutine[Any, Any, Response]]

__all__ = ["build_dispatch"]

LATENCY_DECAY = 0.1
"""The share of a new measurement in ``Instance.latency_s``; the seed's value for its response-time balancer."""


def build_dispatch(
    service: Service, balancer: Balancer, connectors: Mapping[str, Connector], observers: Sequence[Observer]
) -> Handler:
    """Return the handler that asks one instance of ``service``.

    Args:
        service: The service; its instances may come and go.
        balancer: Chooses among the available ones; owned by this handler.
        connectors: Connector by the scheme of the instance.
        observers: Told about every attempt.
    """
    select = balancer.select
    open_by_scheme = {scheme: _opener(connector) for scheme, connector in connectors.items()}
    report = _reporter(observers)
    monotonic = time.monotonic

    async def dispatch(exchange: Exchange) -> Response:
        instances = service.available
        if not instances:
            raise _nothing_available(service)
        instance = select(instances, exchange)
        connect = open_by_scheme.get(instance.endpoint.scheme)
        if connect is None:
            raise _unreachable(service, instance)
        exchange.instance = instance
        exchange.attempts += 1
        instance.in_flight += 1
        started_s = monotonic()
        try:
            response = await connect(instance, exchange)
        except BaseException as error:
            _release(instance)
            if report is not None:
                report(exchange, instance, None, error, monotonic() - started_s)
            raise
        duration_s = monotonic() - started_s
        instance.latency_s += (duration_s - instance.latency_s) * (LATENCY_DECAY if instance.latency_s else 1.0)
        body = response.body
        if response.tunnel is not None:
            response.tunnel.on_close = partial(_release, instance)
        elif isinstance(body, bytes) or body.is_over:
            _release(instance)
        else:
            body.on_close = partial(_release, instance)
        if report is not None:
            report(exchange, instance, response.status, None, duration_s)
        return response

    return dispatch


def _opener(connector: Connector) -> Open:
    if getattr(connector, "waits", True) is False:
        return connector.open

    async def open_in_task(instance: Instance, exchange: Exchange) -> Response:
        # The connector may use asyncio or anyio as it likes, so it needs a task; the exchange may have none.
        return await asyncio.get_running_loop().create_task(connector.open(instance, exchange))

    return open_in_task


def _reporter(
    observers: Sequence[Observer],
) -> Callable[[Exchange, Instance, int | None, BaseException | None, float], None] | None:
    if not observers:
        return None

    def report(
        exchange: Exchange, instance: Instance, status: int | None, error: BaseException | None, duration_s: float
    ) -> None:
        record = AttemptRecord(instance=instance, status=status, error=error, duration_s=duration_s)
        for observer in observers:
            observer.attempt_finished(exchange, record)

    return report


def _release(instance: Instance) -> None:
    instance.in_flight -= 1
    for listener in instance.release_listeners:
        listener(instance)


def _nothing_available(service: Service) -> GatewayError:
    message = "no healthy instances" if service.instances else "no instances available"
    return GatewayError(ErrorType.UNAVAILABLE, message, detail=f"service {service.name!r}: {message}")


def _unreachable(service: Service, instance: Instance) -> GatewayError:
    return GatewayError(
        ErrorType.BAD_GATEWAY,
        "the service cannot be reached",
        detail=f"no connector of this route's protocol reaches {instance.endpoint.scheme!r} "
        f"(instance {instance.id} of service {service.name!r})",
    )
