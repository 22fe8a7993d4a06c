"""What a service offers: which port, how to speak to it, how much of the traffic. Annotations say so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway_kubernetes.problems import ObjectError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway_kubernetes.objects import Service, ServicePort

__all__ = ["Exposed", "Exposure"]

MAX_WEIGHT = 1_000_000
_ON = frozenset({"true", "enabled"})
_OFF = frozenset({"false", "disabled", ""})
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,31}")
_HTTPS_PORT = 443
# KEP-3726, and what came before it.
_TLS_PROTOCOLS = frozenset({"https", "kubernetes.io/wss"})


@dataclass(frozen=True, slots=True)
class Exposed:
    """What a service offers.

    Attributes:
        port: Which of its ports.
        scheme: How to speak to it.
        weight: The share of the traffic of each of its instances.
    """

    port: ServicePort
    scheme: str
    weight: int


class Exposure:
    """Reads annotations.

    Args:
        annotation: The one that says whether a service is served; empty serves every one.
        prefix: What the others begin with, without the slash.
        port_name: Which port of services that have several; empty is the first.
    """

    def __init__(self, annotation: str, prefix: str, port_name: str) -> None:
        self._annotation = annotation
        self._prefix = prefix
        self._port_name = port_name

    def is_on(self, service: Service) -> bool:
        """Return whether a service is served.

        Raises:
            ObjectError: If it is not clear.
        """
        if not self._annotation:
            return True
        value = service.annotations.get(self._annotation, "").strip().lower()
        if value not in _ON | _OFF:
            msg = f"annotation {self._annotation} is {quoted(value)}; write 'true' or 'false'"
            raise ObjectError(msg)
        return value in _ON

    def of(self, service: Service) -> Exposed:
        """Return what a service that is served offers.

        Raises:
            ObjectError: If it does not say so in a way that can be used.
        """
        port = self._port(service)
        return Exposed(port=port, scheme=self._scheme(service.annotations, port), weight=self._weight(service))

    def _port(self, service: Service) -> ServicePort:
        if not service.ports:
            raise ObjectError("it has no TCP port")
        wanted = service.annotations.get(f"{self._prefix}/port", "").strip()
        if wanted:
            for port in service.ports:
                if wanted in {port.name, str(port.number)}:
                    return port
            msg = f"annotation {self._prefix}/port is {quoted(wanted)}; it has {_names(service)}"
            raise ObjectError(msg)
        if not self._port_name or len(service.ports) == 1:
            return service.ports[0]
        for port in service.ports:
            if port.name == self._port_name:
                return port
        msg = f"it has no port called {self._port_name!r}; it has {_names(service)}"
        raise ObjectError(msg)

    def _scheme(self, annotations: Mapping[str, str], port: ServicePort) -> str:
        scheme = annotations.get(f"{self._prefix}/scheme", "").strip().lower()
        if not scheme:
            return "https" if _is_tls(port) else "http"
        if not _SCHEME.fullmatch(scheme):
            msg = f"annotation {self._prefix}/scheme is {quoted(scheme)}; write 'http' or 'https'"
            raise ObjectError(msg)
        return scheme

    def _weight(self, service: Service) -> int:
        text = service.annotations.get(f"{self._prefix}/weight", "1").strip()
        if not re.fullmatch(r"[0-9]{1,7}", text) or int(text) > MAX_WEIGHT:
            msg = f"annotation {self._prefix}/weight is {quoted(text)}; write a number from 0 to {MAX_WEIGHT}"
            raise ObjectError(msg)
        return int(text)


def _is_tls(port: ServicePort) -> bool:
    # The port's own word first; then, as Traefik does, its name and its number.
    if port.app_protocol:
        return port.app_protocol.lower() in _TLS_PROTOCOLS
    return port.number == _HTTPS_PORT or port.name == "https" or port.name.startswith("https-")


def _names(service: Service) -> str:
    return ", ".join(f"{port.name or 'one without a name'} ({port.number})" for port in service.ports[:10])
