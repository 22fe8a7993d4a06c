"""Calls by grpcio."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # has no types of its own
import grpc.aio  # type: ignore[import-untyped]  # as above

from gateway_grpc.channels.channel import Answer, CallError
from gateway_grpc.status import GrpcStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from gateway_grpc.channels.channel import Channel, Metadata, Stream, TlsIdentity

__all__ = ["GrpcioChannel"]

_STATUSES: Mapping[object, GrpcStatus] = {code: GrpcStatus(code.value[0]) for code in grpc.StatusCode}

# What the library says by itself: it does not tell such a status from one of the service's. It begins so ...
_LOCAL = re.compile(
    r"failed to connect|DNS resolution failed|Stream removed|Socket closed|Connection reset|recvmsg|Broken pipe|"
    r"Deadline Exceeded$|Channel closed|GOAWAY|(CLIENT: )?(Received|Sent) message larger|"
    r"Received http2|Received RST_STREAM|received initial metadata size|received trailing metadata size|"
    r"keepalive watchdog|ping timeout|Error in the HTTP2 framing|Data frame with|Failed parsing HTTP/2",
    re.IGNORECASE,
)
# ... or has this in it.
_ADDRESS = re.compile(r"ipv[46]:|unix:|\(CLIENT: ")


class GrpcioChannel:
    """Implements ``Channel``.

    Args:
        target: ``host:port``.
        tls: For TLS; ``None`` is plain.
        options: Of grpcio.
    """

    def __init__(self, target: str, tls: TlsIdentity | None, options: Sequence[tuple[str, object]]) -> None:
        if tls is None:
            self._channel = grpc.aio.insecure_channel(target, options)
        else:
            credentials = grpc.ssl_channel_credentials(tls.authorities, tls.key, tls.chain)
            self._channel = grpc.aio.secure_channel(target, credentials, options)
        # One for each method that is known, so they are not many.
        self._unary: dict[str, Any] = {}
        self._streams: dict[str, Any] = {}

    async def call(self, path: str, message: bytes, *, metadata: Metadata, timeout_s: float | None) -> Answer:
        """Call a method that takes and gives one message."""
        method = self._unary.get(path)
        if method is None:
            # check-plugin: allow growth: one for each method that is known
            method = self._unary[path] = self._channel.unary_unary(path)
        call = method(message, timeout=timeout_s, metadata=metadata)
        try:
            answer = await call
            return Answer(answer, (*await call.initial_metadata(), *await call.trailing_metadata()))
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from error

    def stream(
        self, path: str, messages: AsyncIterator[bytes], *, metadata: Metadata, timeout_s: float | None
    ) -> Stream:
        """Begin a call of any method."""
        method = self._streams.get(path)
        if method is None:
            # All kinds of calls are the same on the wire.
            method = self._streams[path] = self._channel.stream_stream(path)
        return _GrpcioStream(self, method, messages, metadata, timeout_s)

    async def close(self) -> None:
        """Close the connection, and give up the calls that are under way."""
        await self._channel.close()

    def _error(self, error: grpc.aio.AioRpcError) -> CallError:
        status = _STATUSES.get(error.code(), GrpcStatus.UNKNOWN)
        message = error.details() or ""
        metadata = (*(error.initial_metadata() or ()), *(error.trailing_metadata() or ()))
        is_local = _ADDRESS.search(message) is not None or (not metadata and _LOCAL.match(message) is not None)
        # A service may say so too, but not while there is no connection to it.
        is_unsent = (
            is_local
            and status is GrpcStatus.UNAVAILABLE
            and self._channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
            and message.startswith(("failed to connect", "DNS resolution failed"))
        )
        return CallError(status, message, metadata=metadata, is_local=is_local, is_unsent=is_unsent)


class _GrpcioStream:
    """Implements ``Stream``."""

    def __init__(
        self,
        channel: GrpcioChannel,
        method: Any,  # noqa: ANN401 - grpcio has no types
        messages: AsyncIterator[bytes],
        metadata: Metadata,
        timeout_s: float | None,
    ) -> None:
        self._channel = channel
        self._failure: Exception | None = None
        self._call = method(self._guarded(messages), timeout=timeout_s, metadata=metadata)

    async def _guarded(self, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for message in messages:
                yield message
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to who reads
            self._failure = error
            self._call.cancel()

    async def read(self) -> bytes | None:
        """Return the next message of the service; ``None`` behind the last."""
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self._channel._error(error) from error  # noqa: SLF001 - one class in two parts
        except asyncio.CancelledError:
            if self._failure is not None:
                raise self._failure from None
            raise
        if self._failure is not None:
            raise self._failure
        return None if message is grpc.aio.EOF else message

    async def metadata(self) -> Metadata:
        """Return what came so far, beside messages."""
        metadata = tuple(await self._call.initial_metadata() or ())
        return (*metadata, *(await self._call.trailing_metadata() or ())) if self._call.done() else metadata

    def cancel(self) -> None:
        """Give it up."""
        self._call.cancel()


if TYPE_CHECKING:
    _: type[Channel] = GrpcioChannel
    _2: type[Stream] = _GrpcioStream
