"""The plugin behind ``client_factory``: an adapter without addresses, a connector to services that are functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from gateway.hookspecs import hookimpl
from gateway.plugin_config import Config, NoConfig
from gateway.registrations import AdapterRegistration, ConnectorRegistration
from gateway.testing.memory import MemoryClient, MemoryConnector

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from gateway.interfaces import BuildContext, Listener


class MemoryConfig(Config):
    """What stands below ``plugins.memory``."""

    client: str = Field(description="Whose gateway it is.")


class MemoryAdapter:
    """Hands a client the gateway's door.

    Args:
        config: Says which client.
        context: The gateway.
    """

    def __init__(self, config: MemoryConfig, context: BuildContext) -> None:
        MemoryClient.called(config.client).serve = context.serve

    def listeners(self) -> Sequence[Listener]:
        """Return nothing: there are no sockets."""
        return ()

    def connection(self, listener: Listener) -> asyncio.BaseProtocol:
        """Never called, since nothing listens."""
        raise NotImplementedError

    def drain(self) -> None:
        """There is nothing to close."""

    def connections(self) -> int:
        """Return none."""
        return 0

    def close(self) -> None:
        """There is nothing to cut."""


@hookimpl
def gateway_register_protocols() -> Sequence[AdapterRegistration | ConnectorRegistration]:
    """Offer both sides."""
    return [
        AdapterRegistration(name="memory", summary="Requests of a test", config=MemoryConfig, build=MemoryAdapter),
        ConnectorRegistration(
            name="memory",
            summary="Services of a test",
            build=build_connector,
            path="backend.memory",
            protocol="http",
            schemes=("memory",),
        ),
    ]


def build_connector(config: NoConfig, context: BuildContext) -> MemoryConnector:
    """Build the connector."""
    return MemoryConnector()
