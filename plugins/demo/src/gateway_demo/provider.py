"""The discovery provider ``demo``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Endpoint

if TYPE_CHECKING:
    from gateway.interfaces import Publish

__all__ = ["DemoProvider"]


class DemoProvider:
    """Publishes the service ``demo`` and its one instance, which is reached without a network."""

    async def watch(self, publish: Publish) -> None:
        """Publish it and return: it never changes."""
        publish({"demo": (Endpoint(scheme="demo", address="in-process", port=0, id="demo"),)})


if TYPE_CHECKING:
    from gateway.interfaces import DiscoveryProvider

    _: type[DiscoveryProvider] = DemoProvider
