"""Where instances take gRPC, if that is not where they take everything else."""

from __future__ import annotations

import dataclasses
import re
import weakref
from typing import TYPE_CHECKING

from gateway import Instance

if TYPE_CHECKING:
    from gateway import Endpoint

__all__ = ["Places"]

_PORT = re.compile(r"[1-9][0-9]{0,4}")
MAX_PORT = 65535
TLS_SCHEMES = frozenset({"grpcs", "h2", "https"})


class Places:
    """Finds the place of an instance that is meant for gRPC.

    Args:
        is_tls: Whether TLS is spoken to all, whatever their scheme (``backend.grpc.tls.enabled``).
    """

    def __init__(self, *, is_tls: bool) -> None:
        self._is_tls = is_tls
        self._others: weakref.WeakKeyDictionary[Instance, Instance] = weakref.WeakKeyDictionary()

    def of(self, instance: Instance) -> Instance:
        """Return the instance as it is to be reached: usually itself."""
        endpoint = instance.endpoint
        if not self._is_tls and not endpoint.metadata:
            return instance
        found = self._others.get(instance)
        wanted = self._endpoint(endpoint)
        if wanted == endpoint:
            return instance
        if found is None or found.endpoint != wanted:
            found = self._others[instance] = Instance(instance.service, wanted)
        return found

    def _endpoint(self, endpoint: Endpoint) -> Endpoint:
        port = str(endpoint.metadata.get("grpcPort"))
        if _PORT.fullmatch(port) and int(port) <= MAX_PORT:
            endpoint = dataclasses.replace(endpoint, port=int(port))
        if self._is_tls and endpoint.scheme not in TLS_SCHEMES:
            endpoint = dataclasses.replace(endpoint, scheme="grpcs")
        return endpoint
