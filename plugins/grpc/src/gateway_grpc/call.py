"""What a policy hands to the connector: a call that is ready to be made, at whichever instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from gateway import Exchange, Response
    from gateway_grpc.channels.channel import Channel

__all__ = ["STATE", "Call"]

STATE = "grpc"
"""The key of ``Exchange.state`` under which it is."""


class Call(Protocol):
    """A call, and what becomes of its answer."""

    def perform(self, channel: Channel, exchange: Exchange, /) -> Coroutine[Any, Any, Response]:
        """Make it, and return its answer as the client gets it; called once for each attempt.

        Raises:
            GatewayError: If it could not be made, or came to nothing.
        """
