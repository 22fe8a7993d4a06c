"""A service that speaks gRPC and sends back every message, whatever the method is called."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

__all__ = ["GrpcEcho"]

_GRACE_S = 0.2


class GrpcEcho:
    """``with GrpcEcho() as service: service.port``, or the fixture ``grpc_upstream``. Needs ``grpcio``.

    Unary calls and streams in either direction are answered alike: each message comes back, as the bytes it is.

    Attributes:
        host: Where it listens.
        port: Where it listens.
        calls: The methods that were called, ``/package.Service/Method``, with the metadata that came along.
    """

    def __init__(self) -> None:
        self._grpc: Any = pytest.importorskip("grpc")
        self.host = "127.0.0.1"
        self.port = 0
        self.calls: list[tuple[str, dict[str, str | bytes]]] = []
        self._server: Any = self._grpc.server(ThreadPoolExecutor(4, thread_name_prefix="gateway testing grpc"))

    @property
    def instance(self) -> dict[str, Any]:
        """It, as an instance in the configuration of ``registry.static``."""
        return {"address": self.host, "port": self.port, "scheme": "http"}

    def __enter__(self) -> Self:
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port(f"{self.host}:0")
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop(_GRACE_S).wait()

    def service(self, details: Any) -> Any:  # noqa: ANN401 - of grpcio, which has no types
        """Take a call: grpcio's ``GenericRpcHandler``."""
        metadata = {each.key: each.value for each in details.invocation_metadata}
        self.calls.append((details.method, metadata))
        # A unary call is a stream of one message; on the wire there is no difference.
        return self._grpc.stream_stream_rpc_method_handler(_echo)


def _echo(messages: Iterable[bytes], context: Any) -> Iterable[bytes]:  # noqa: ANN401 - of grpcio, which has no types
    yield from messages
