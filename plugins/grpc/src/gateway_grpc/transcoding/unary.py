"""A request that becomes a call with one message each way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import Headers, Response
from gateway_grpc.channels.channel import CallError
from gateway_grpc.metadata import metadata_of
from gateway_grpc.problems import problem_members, problem_response

if TYPE_CHECKING:
    from gateway import Exchange
    from gateway_grpc.call import Call
    from gateway_grpc.channels.channel import Channel
    from gateway_grpc.metadata import Names
    from gateway_grpc.transcoding.binding import Binding
    from gateway_grpc.transcoding.transcoder import Transcoder

__all__ = ["LARGE_BYTES", "UnaryCall", "answered"]

LARGE_BYTES = 16384
"""What is longer is converted in a thread: it takes milliseconds, in which the event loop would do nothing else."""


class UnaryCall:
    """Implements ``Call``.

    Args:
        transcoder: Makes JSON of the answer.
        binding: What the request is bound to.
        message: What is sent.
        request_names: Which fields of the request the service is told.
        response_names: Which metadata of the answer the client is told.
        timeout_s: How long it may take; ``None`` is as long as the service likes.
    """

    __slots__ = ("_binding", "_message", "_request_names", "_response_names", "_timeout_s", "_transcoder")

    def __init__(
        self,
        transcoder: Transcoder,
        binding: Binding,
        message: bytes,
        *,
        request_names: Names,
        response_names: Names,
        timeout_s: float | None,
    ) -> None:
        self._transcoder = transcoder
        self._binding = binding
        self._message = message
        self._request_names = request_names
        self._response_names = response_names
        self._timeout_s = timeout_s

    async def perform(self, channel: Channel, exchange: Exchange) -> Response:
        """Make the call and return its answer as JSON."""
        request = exchange.request
        try:
            answer = await channel.call(
                self._binding.method.path,
                self._message,
                metadata=metadata_of(request, self._request_names),
                timeout_s=self._timeout_s,
            )
        except CallError as error:
            return answered(error, self._transcoder, request.id, self._response_names)
        write, data = self._transcoder.writer.write, answer.message
        if len(data) <= LARGE_BYTES:
            content_type, body = write(self._binding, data)
        else:
            content_type, body = await asyncio.to_thread(write, self._binding, data)
        pairs = [(b"content-type", content_type), *self._response_names.to_clients(answer.metadata)]
        return Response(200, headers=Headers(pairs), body=body)


def answered(error: CallError, transcoder: Transcoder, request_id: str, names: Names) -> Response:
    """Return the response for a call that ended with another status than OK."""
    members = problem_members(error, transcoder.pool, request_id)
    return problem_response(members, names.to_clients(error.metadata))


if TYPE_CHECKING:
    _: type[Call] = UnaryCall
