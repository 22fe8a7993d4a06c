"""What stands before a gRPC service: from a request to the call that it means."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError
from gateway_grpc.call import STATE
from gateway_grpc.content_types import content_type_of, says_native
from gateway_grpc.deadline import timeout_of
from gateway_grpc.descriptors.library import Library
from gateway_grpc.metadata import Names
from gateway_grpc.native.resting import let_rest
from gateway_grpc.problems import problem_response
from gateway_grpc.status import phrase_of
from gateway_grpc.transcoding.paths import PathMappings
from gateway_grpc.transcoding.streams import StreamCall
from gateway_grpc.transcoding.unary import LARGE_BYTES, UnaryCall

if TYPE_CHECKING:
    from gateway import Exchange, Handler, Response, Route
    from gateway_grpc.call import Call
    from gateway_grpc.config import GrpcConfig
    from gateway_grpc.descriptors.reflection import ReflectedLibrary
    from gateway_grpc.transcoding.router import Match
    from gateway_grpc.transcoding.transcoder import Transcoder

__all__ = ["TranscodingHandler"]

LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
UNSUPPORTED_MEDIA_TYPE = 415


class TranscodingHandler:
    """Handles the requests of a route.

    Args:
        config: How.
        library: What the service can do; ``None`` if nobody says.
        call_next: Reaches an instance.
        route: The route.
    """

    def __init__(
        self,
        config: GrpcConfig,
        library: Library[Transcoder] | ReflectedLibrary | None,
        call_next: Handler,
        route: Route,
    ) -> None:
        self._library = library
        self._next = call_next
        self._timeout_s = route.timeout_s
        self._paths = PathMappings(config.path_mappings)
        self._max_body_bytes = config.max_body_size
        self._idle_s = config.stream_idle_timeout or None
        self._request_names = Names(config.request_metadata)
        self._response_names = Names(config.response_metadata)

    async def handle(self, exchange: Exchange) -> Response:
        """Answer an exchange."""
        request = exchange.request
        if says_native(request.headers):
            let_rest(request, self._idle_s)
            response = await self._next(exchange)
            let_rest(response, self._idle_s)
            return response
        content_type = content_type_of(request.headers)
        if request.body and content_type and not _is_json(content_type):
            # Only what no form of a foreign page can send.
            return problem_response(_unsupported(content_type, request.id))
        transcoder, match = await self._match(exchange)
        exchange.state[STATE] = await self._call(transcoder, match, exchange, content_type)
        return await self._next(exchange)

    async def _match(self, exchange: Exchange) -> tuple[Transcoder, Match]:
        """Return what the request is bound to, as the service is known now."""
        library = self._library
        if library is None:
            raise GatewayError(ErrorType.NOT_IMPLEMENTED, "this route takes no JSON", detail="there are no descriptors")
        http_method, path = exchange.request.method, self._paths.apply(exchange.upstream_path)
        if isinstance(library, Library):
            known = library.at_hand
            if known is None:
                await _task()
                known = await library.current()
            return known, known.router.find(http_method, path)
        await _task()
        transcoder = await library.current(self._next, exchange)
        try:
            return transcoder, transcoder.router.find(http_method, path)
        except GatewayError as error:
            newer = await library.renewed(self._next, exchange) if error.type is ErrorType.NOT_FOUND else transcoder
            if newer is transcoder:
                raise
            return newer, newer.router.find(http_method, path)

    async def _call(self, transcoder: Transcoder, match: Match, exchange: Exchange, content_type: str) -> Call:
        """Return the call that a request means."""
        request, method = exchange.request, match.binding.method
        client_s = timeout_of(request)
        takes_lines = method.takes_stream and content_type in LINES
        message = b"" if takes_lines else await self._message(transcoder, match, exchange)
        if method.takes_stream or method.gives_stream:
            await _task()
            return StreamCall(
                transcoder,
                match,
                None if takes_lines else message,
                request_names=self._request_names,
                response_names=self._response_names,
                timeout_s=client_s,
                first_s=self._timeout_s,
                idle_s=self._idle_s,
                max_line_bytes=self._max_body_bytes,
            )
        timeout_s = self._timeout_s
        if client_s is not None and (timeout_s is None or client_s < timeout_s):
            timeout_s = client_s
        return UnaryCall(
            transcoder,
            match.binding,
            message,
            request_names=self._request_names,
            response_names=self._response_names,
            timeout_s=timeout_s,
        )

    async def _message(self, transcoder: Transcoder, match: Match, exchange: Exchange) -> bytes:
        """Return the message that a request is, serialized."""
        request = exchange.request
        body = request.body
        if isinstance(body, Body):
            # Put back: another try, or another instance, wants it too.
            request.body = body = await body.read(self._max_body_bytes)
        if len(body) > self._max_body_bytes:
            raise GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the body is larger than {self._max_body_bytes} bytes")
        if len(body) <= LARGE_BYTES:
            return transcoder.reader.read(match, body, request.query)
        return await asyncio.to_thread(transcoder.reader.read, match, body, request.query)


async def _task() -> None:
    """See to it that what follows runs in a task, as asyncio's time-outs need: who waits for asyncio gets one."""
    if asyncio.current_task() is None:
        await asyncio.sleep(0)


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type in LINES or content_type.endswith("+json")


def _unsupported(content_type: str, request_id: str) -> dict[str, object]:
    return {
        "type": "about:blank",
        "title": phrase_of(UNSUPPORTED_MEDIA_TYPE),
        "status": UNSUPPORTED_MEDIA_TYPE,
        "detail": f"{content_type[:64]!r} is not taken here; send application/json",
        "code": "unsupported_media_type",
        "requestId": request_id,
    }
