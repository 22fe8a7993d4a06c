"""OTLP over gRPC. Needs the extra ``grpc``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]  # has no types of its own
import grpc.aio  # type: ignore[import-untyped]  # as above

from gateway_otel.otlp import MAX_ANSWER_BYTES, ExportError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from gateway_otel.config import ExportConfig
    from gateway_otel.otlp import Sender, Signal

__all__ = ["OverGrpc"]

RETRYABLE_CODES = frozenset(
    ("CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
)
"""OTLP specification 1.5, "Failures" of OTLP/gRPC."""
PORTS = {"http": 4317, "https": 443}


class OverGrpc:
    """Sends over gRPC.

    Args:
        config: Where to, and how.
        signal: What is sent.
        ca_file: Authorities instead of the system's.
    """

    def __init__(self, config: ExportConfig, signal: Signal, ca_file: Path | None) -> None:
        parts = urlsplit(config.url)
        host = parts.hostname or ""
        self._target = f"{f'[{host}]' if ':' in host else host}:{parts.port or PORTS[parts.scheme]}"
        self._credentials: grpc.ChannelCredentials | None = None
        if parts.scheme == "https":
            self._credentials = grpc.ssl_channel_credentials(ca_file.read_bytes() if ca_file is not None else None)
        self._method = signal.method
        self._metadata = tuple(config.all_headers.items())
        self._timeout_s = config.timeout
        is_compressed = config.compression == "gzip"
        self._compression = grpc.Compression.Gzip if is_compressed else grpc.Compression.NoCompression
        self._channel: grpc.aio.Channel | None = None

    async def send(self, message: bytes) -> None:
        """Send an encoded export request."""
        assert self._channel is not None  # noqa: S101 - entered first
        call = self._channel.unary_unary(self._method)
        try:
            await call(message, timeout=self._timeout_s, metadata=self._metadata, compression=self._compression)
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            raise ExportError(f"{code}: {error.details()}", is_retryable=code in RETRYABLE_CODES) from error

    async def __aenter__(self) -> Self:
        # No proxy: grpc would ask the environment.
        options = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", MAX_ANSWER_BYTES))
        if self._credentials is None:
            self._channel = grpc.aio.insecure_channel(self._target, options)
        else:
            self._channel = grpc.aio.secure_channel(self._target, self._credentials, options)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._channel is not None:
            await self._channel.close(grace=0)


if TYPE_CHECKING:
    _: type[Sender] = OverGrpc
