"""The connector ``grpc``: makes calls at instances, or passes on those of clients, over HTTP/2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway_grpc.call import STATE
from gateway_grpc.channels.http2 import Http2Channel
from gateway_grpc.content_types import says_native
from gateway_grpc.counting import CallCounter
from gateway_grpc.native.calls import NativeCalls
from gateway_grpc.places import Places

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

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
    """

    def __init__(self, config: BackendGrpcConfig, context: BuildContext) -> None:
        self._config = config
        self._counter = CallCounter(context)

    def over(self, carrier: Connector) -> Connector:
        """Return the connector for instances that ``carrier`` reaches."""
        return GrpcConnector(carrier, self._config, self._counter)


class GrpcConnector:
    """Implements ``gateway.interfaces.Connector``: asks an instance what the client asked, or a policy made of that.

    Args:
        carrier: Speaks HTTP/2 with instances.
        config: The block ``backend.grpc``.
        counter: Counts what services answer clients of gRPC.
    """

    # Who converts long messages in threads has a task from then on; nothing else waits but the carrier's Waiter.
    waits = False

    def __init__(self, carrier: Connector, config: BackendGrpcConfig, counter: CallCounter) -> None:
        self._carrier = carrier
        self._config = config
        self._places = Places(is_tls=config.tls.enabled)
        self._native = NativeCalls(carrier, config, counter)

    def open(self, instance: Instance, exchange: Exchange) -> Coroutine[Any, Any, Response]:
        """Return what makes the call, or passes it on; not in a coroutine of its own, which each call would pay for."""
        place = self._places.of(instance)
        call: Call | None = exchange.state.get(STATE) if exchange.has_state else None
        if call is not None:
            return call.perform(Http2Channel(self._carrier, place, exchange, self._config), exchange)
        if says_native(exchange.request.headers):
            return self._native.open(place, exchange)
        raise GatewayError(
            ErrorType.NOT_IMPLEMENTED, "this route takes gRPC, not JSON", detail="no policy made a call of the request"
        )


if TYPE_CHECKING:
    from gateway.interfaces import CarriedConnector

    _: type[CarriedConnector] = GrpcBackend
    _connector: type[Connector] = GrpcConnector
