"""OTLP 1.5: what is sent where, and how it may fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from gateway_otel.config import ExportConfig

__all__ = ["MAX_ANSWER_BYTES", "METRICS", "TRACES", "ExportError", "Sender", "Signal", "make_sender"]

MAX_ANSWER_BYTES = 64 * 1024
"""An answer says how much was refused, and why."""


class Signal:
    """What is sent.

    Attributes:
        path: Of OTLP over HTTP.
        method: Of OTLP over gRPC.
    """

    __slots__ = ("method", "path")

    def __init__(self, path: str, method: str) -> None:
        self.path = path
        self.method = method


_COLLECTOR = "/opentelemetry.proto.collector"
TRACES = Signal("/v1/traces", f"{_COLLECTOR}.trace.v1.TraceService/Export")
METRICS = Signal("/v1/metrics", f"{_COLLECTOR}.metrics.v1.MetricsService/Export")


class ExportError(Exception):
    """Something was not taken.

    Attributes:
        is_retryable: Whether the same may be taken later.
        retry_after_s: When the collector wants it again; 0.0 if it did not say.
    """

    def __init__(self, message: str, *, is_retryable: bool, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.is_retryable = is_retryable
        self.retry_after_s = retry_after_s


class Sender(Protocol):
    """Sends, one after the other. To be entered."""

    async def send(self, message: bytes) -> None:
        """Send an encoded export request.

        Raises:
            ExportError: If it is not taken.
        """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def make_sender(config: ExportConfig, signal: Signal, ca_file: Path | None) -> Sender:
    """Return what sends a signal.

    Args:
        config: Where to, and how.
        signal: What is sent.
        ca_file: Authorities instead of the system's.

    Raises:
        ValueError: If gRPC is asked for and not installed.
        OSError: If the authorities cannot be read.
    """
    if config.protocol == "http/protobuf":
        from gateway_otel.over_http import OverHttp  # noqa: PLC0415 - only what is used is loaded

        return OverHttp(config, signal, ca_file)
    try:
        from gateway_otel.over_grpc import OverGrpc  # noqa: PLC0415 - an extra
    except ImportError as error:
        msg = "protocol 'grpc' needs grpcio; install it:  pip install 'gateway-otel[grpc]'"
        raise ValueError(msg) from error
    return OverGrpc(config, signal, ca_file)
