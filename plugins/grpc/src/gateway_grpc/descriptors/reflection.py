"""Descriptors that services give themselves: server reflection, v1 and v1alpha, which differ in name only."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from gateway import ErrorType, GatewayError, Response
from gateway_grpc.call import STATE
from gateway_grpc.channels.channel import CallError
from gateway_grpc.descriptors.inventory import services_of
from gateway_grpc.descriptors.library import unknown_methods
from gateway_grpc.descriptors.reflection_messages import ReflectionRequest, ReflectionResponse
from gateway_grpc.descriptors.schema import MAX_DESCRIPTOR_BYTES, DescriptorError, DescriptorSet, build_schema
from gateway_grpc.status import GrpcStatus
from gateway_grpc.transcoding.transcoder import Transcoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gateway import BuildContext, Exchange, Handler
    from gateway_grpc.call import Call
    from gateway_grpc.channels.channel import Channel, Stream
    from gateway_grpc.config import GrpcConfig

__all__ = ["ReflectedLibrary"]

_NAMES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
ORIGIN = "server reflection"
"""How it is called among the places where descriptors come from."""
TIMEOUT_S = 5.0
"""For all questions together."""
MAX_FILES = 2000
RENEWAL_PAUSE_S = 5.0
"""How soon it may be asked again because of a path that is unknown: strangers decide about these."""
FAILURE_PAUSE_S = 1.0
"""How soon it may be asked again after it failed."""


class ReflectedLibrary:
    """What a service says of itself. A request asks when it is due, and others that come meanwhile wait for the same.

    Args:
        config: How its methods are used, and how often it is asked.
        context: The gateway.
        clock: Monotonic seconds; tests pass a manual one.
    """

    def __init__(
        self, config: GrpcConfig, context: BuildContext, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._logger = context.logger
        self._clock = clock
        self._current: Transcoder | None = None
        self._data = b""
        self._asked_s = -float("inf")
        self._failure: GatewayError | None = None
        self._asking: asyncio.Event | None = None
        self._is_wanted = False
        self._services: list[dict[str, object]] = []

    # gateway_grpc.descriptors.inventory.Described

    def report(self) -> dict[str, object]:
        """Return what the service says of itself, and why it does not."""
        return {
            "files": [ORIGIN],
            "services": self._services,
            "problems": [self._failure.detail] if self._failure is not None else [],
            # The next request asks: nobody else knows the way.
            "isReloading": False,
        }

    def reload(self, origin: str | None = None) -> bool:
        """Have the next request ask; returns whether it is meant at all."""
        if origin not in (None, ORIGIN):
            return False
        self._is_wanted = True
        return True

    async def current(self, call_next: Handler, exchange: Exchange) -> Transcoder:
        """Return what the service said last, or ask it.

        Args:
            call_next: Reaches an instance.
            exchange: The request that wants to know.

        Raises:
            GatewayError: If it does not say.
        """
        is_due = self._config.auto_reload and self._clock() - self._asked_s >= self._config.reload_interval
        if self._current is not None and not is_due and not self._is_wanted:
            return self._current
        return await self._renewed(call_next, exchange)

    async def renewed(self, call_next: Handler, exchange: Exchange) -> Transcoder:
        """Return what the service says now, because something is unknown; not asked again and again."""
        if self._current is not None and self._clock() - self._asked_s < RENEWAL_PAUSE_S:
            return self._current
        return await self._renewed(call_next, exchange)

    async def _renewed(self, call_next: Handler, exchange: Exchange) -> Transcoder:
        while self._asking is not None:
            if self._current is not None:
                return self._current
            await self._asking.wait()  # it has a deadline of its own
        if self._current is not None and self._clock() - self._asked_s < FAILURE_PAUSE_S:
            return self._current
        if self._failure is not None and self._clock() - self._asked_s < FAILURE_PAUSE_S:
            raise unknown_methods(self._failure.detail)
        self._asking = asyncio.Event()
        try:
            return await self._ask(call_next, exchange)
        finally:
            # Also if this client went away: then the next one asks.
            self._asking.set()
            self._asking = None

    async def _ask(self, call_next: Handler, exchange: Exchange) -> Transcoder:
        attempts = exchange.attempts
        self._is_wanted = False
        exchange.state[STATE] = _ReflectionCall()
        try:
            data = await _body(await call_next(exchange))
            self._asked_s = self._clock()
            if data != self._data or self._current is None:
                self._current = await asyncio.to_thread(self._compiled, data)
                self._data = data
            self._failure = None
        except (GatewayError, DescriptorError) as error:
            self._asked_s = self._clock()
            failure = error if isinstance(error, GatewayError) else unknown_methods(str(error))
            if self._failure is None or self._failure.detail != failure.detail:
                self._complain(failure.detail)
            self._failure = failure
            if self._current is None:
                raise failure from error
        finally:
            exchange.attempts = attempts  # it was no try of the request
        return self._current

    def _complain(self, detail: str) -> None:
        self._logger.error("the service did not describe itself: %s", detail)

    def _compiled(self, data: bytes) -> Transcoder:
        schema = build_schema([DescriptorSet(ORIGIN, data)])
        transcoder = Transcoder(schema, self._config)
        self._services = services_of(schema)
        return transcoder


async def _body(response: Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else await response.body.read(MAX_DESCRIPTOR_BYTES)


class _ReflectionCall:
    """Implements ``Call``: answers with a FileDescriptorSet."""

    async def perform(self, channel: Channel, exchange: Exchange) -> Response:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return Response(200, body=await self._ask(channel))
        except TimeoutError as error:
            message = "the service did not describe itself in time"
            raise GatewayError(ErrorType.UPSTREAM_TIMEOUT, message, detail="server reflection took too long") from error

    async def _ask(self, channel: Channel) -> bytes:
        for name in _NAMES:
            try:
                return await _Conversation(channel, f"/{name}/ServerReflectionInfo").everything()
            except CallError as error:
                if error.status is GrpcStatus.UNIMPLEMENTED:
                    continue
                raise unknown_methods(f"server reflection: {error}") from error
        raise unknown_methods("the service has no server reflection, and there are no other descriptors")


class _Conversation:
    """Questions and answers over one stream."""

    def __init__(self, channel: Channel, path: str) -> None:
        self._questions: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._stream: Stream = channel.stream(path, self._sent(), metadata=(), timeout_s=TIMEOUT_S)
        self._files: dict[str, bytes] = {}
        self._total_bytes = 0

    async def _sent(self) -> AsyncIterator[bytes]:
        while (question := await self._questions.get()) is not None:
            yield question

    async def everything(self) -> bytes:
        """Return all files of all services, as a FileDescriptorSet."""
        try:
            listed = await self._answer(list_services="")
            for service in listed.list_services_response.service:
                if service.name not in _NAMES:
                    self._take(await self._answer(file_containing_symbol=service.name))
            await self._take_imports()
        finally:
            self._questions.put_nowait(None)
            self._stream.cancel()
        found = descriptor_pb2.FileDescriptorSet()
        for _, data in sorted(self._files.items()):
            found.file.add().ParseFromString(data)
        return found.SerializeToString(deterministic=True)

    async def _take_imports(self) -> None:
        """Ask for what files import: some services send only the file that they are asked for."""
        seen: set[str] = set()
        while missing := [name for name in self._files if name not in seen]:
            for name in missing:
                seen.add(name)
                for dependency in descriptor_pb2.FileDescriptorProto.FromString(self._files[name]).dependency:
                    if dependency not in self._files:
                        self._take(await self._answer(file_by_filename=dependency))

    async def _answer(self, **question: str) -> Any:  # noqa: ANN401 - its fields are known to nobody
        self._questions.put_nowait(ReflectionRequest(**question).SerializeToString())
        data = await self._stream.read()
        if data is None:
            raise unknown_methods("server reflection ended early")
        try:
            answer = ReflectionResponse.FromString(data)
        except DecodeError as error:
            raise unknown_methods("server reflection answered with something else") from error
        if answer.HasField("error_response"):
            what = ", ".join(question.values())[:200]
            raise unknown_methods(f"server reflection of {what!r}: {answer.error_response.error_message[:200]}")
        return answer

    def _take(self, answer: Any) -> None:  # noqa: ANN401 - as above
        for data in answer.file_descriptor_response.file_descriptor_proto:
            try:
                name = descriptor_pb2.FileDescriptorProto.FromString(data).name
            except DecodeError as error:
                raise unknown_methods("server reflection sent what is no descriptor") from error
            if name not in self._files:
                self._files[name] = data
                self._total_bytes += len(data)
        if len(self._files) > MAX_FILES or self._total_bytes > MAX_DESCRIPTOR_BYTES:
            raise unknown_methods("server reflection has more descriptors than are taken")


if TYPE_CHECKING:
    _: type[Call] = _ReflectionCall
