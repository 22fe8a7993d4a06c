"""The connector ``grpc``: makes calls at instances, or passes on those of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from gateway import ErrorType, GatewayError
from gateway_grpc.call import STATE
from gateway_grpc.channels.pool import ChannelPool
from gateway_grpc.content_types import content_type_of, is_native
from gateway_grpc.counting import CallCounter
from gateway_grpc.native.calls import NativeCalls

if TYPE_CHECKING:
    from types import TracebackType

    from gateway import BuildContext, Exchange, Instance, Response
    from gateway.interfaces import Connector
    from gateway_grpc.call import Call
    from gateway_grpc.config import BackendGrpcConfig

__all__ = ["GrpcBackend"]


class GrpcBackend:
    """Implements ``gateway.interfaces.CarriedConnector``: makes connectors of those for HTTP/2.

    Args:
        config: The block ``backend.grpc``.
        context: The gateway.

    Raises:
        ValueError: If a file of its TLS cannot be used.
    """

    def __init__(self, config: BackendGrpcConfig, context: BuildContext) -> None:
        self._config = config
        self._pool = ChannelPool(config, context)
        self._counter = CallCounter(context)

    def over(self, carrier: Connector) -> Connector:
        """Return the connector for instances that ``carrier`` reaches."""
        return GrpcConnector(self._pool, NativeCalls(carrier, self._config, self._counter))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._pool.close()

    def is_current(self) -> bool:
        """Tell whether the files of its TLS are still those that it read; asked at a reload."""
        return self._pool.is_current()


class GrpcConnector:
    """Implements ``gateway.interfaces.Connector``: asks an instance what the client asked, or a policy made of that.

    Args:
        pool: For calls that a policy made.
        native: For those of clients.
    """

    # Who makes calls of requests waits too, so there is a task already; nothing else waits but the carrier's Waiter.
    waits = False

    def __init__(self, pool: ChannelPool, native: NativeCalls) -> None:
        self._pool = pool
        self._native = native

    async def open(self, instance: Instance, exchange: Exchange) -> Response:
        """Make the call, or pass it on."""
        call: Call | None = exchange.state.get(STATE) if exchange.has_state else None
        if call is not None:
            return await call.perform(self._pool.channel(instance), exchange)
        if is_native(content_type_of(exchange.request.headers)):
            return await self._native.open(instance, exchange)
        raise GatewayError(
            ErrorType.NOT_IMPLEMENTED, "this route takes gRPC, not JSON", detail="no policy made a call of the request"
        )


if TYPE_CHECKING:
    from gateway.interfaces import CarriedConnector

    _: type[CarriedConnector] = GrpcBackend
    _connector: type[Connector] = GrpcConnector
