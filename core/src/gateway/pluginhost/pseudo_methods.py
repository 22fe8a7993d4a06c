"""Pseudo methods: uses of GET that rules name in ``methods`` beside real ones; connectors bring them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.registrations import ConnectorRegistration

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.messages import Request
    from gateway.pluginhost.host import PluginHost

__all__ = ["PseudoMethods"]


class PseudoMethods:
    """Tells which of the pseudo methods that rules name a request has.

    Args:
        host: The plugins.
        methods: Everything that rules have in ``methods``.

    Attributes:
        names: The pseudo methods among them.
    """

    def __init__(self, host: PluginHost, methods: Collection[str]) -> None:
        connectors = [offer for offer in host.of_kind("connector") if isinstance(offer, ConnectorRegistration)]
        # Wanting to change the protocol says more about a request than anything else; sorting is stable.
        connectors.sort(key=lambda offer: not offer.upgrades)
        self._tests = [
            (name, is_meant)
            for offer in connectors
            for name, is_meant in offer.pseudo_methods.items()
            if name in methods
        ]
        self.names = frozenset(name for name, _ in self._tests)

    def method_of(self, request: Request) -> str:
        """Return the method as rules may name it.

        Raises:
            Exception: Whatever a plugin's function raised. What the request is cannot be known then, nor which rule
                it should have.
        """
        if request.method == "GET":
            for name, is_meant in self._tests:
                if is_meant(request):
                    return name
        return request.method
