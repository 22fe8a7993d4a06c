"""The policy ``sse``: finds event streams, and keeps them alive, counted, and no longer than they may be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway import Body, Response
from gateway_sse.sharing import Sharing
from gateway_sse.stream import EventStream
from gateway_sse.streams import kept_streams

if TYPE_CHECKING:
    from collections.abc import Hashable

    from gateway import BuildContext, Exchange, Handler, Route
    from gateway_sse.config import SseConfig
    from gateway_sse.streams import RouteStreams

__all__ = ["SsePolicy"]

EVENT_STREAM = "text/event-stream"
OK = 200
_ANYTHING = ("*/*", "text/*")


class SsePolicy:
    """Wraps the body of every event stream.

    A stream is what the service calls one (``Content-Type``); what the client accepts says so before, and spares the
    service a stream for which there is no room.

    Args:
        config: The block ``frontend.sse``, a rule's ``sse`` over it.
        context: The gateway.

    Attributes:
        waits: Whether it waits for anything but the next handler: for a stream that somebody else opens.
    """

    def __init__(self, config: SseConfig, context: BuildContext) -> None:
        self.waits = config.share
        self._config = config
        self._streams = kept_streams(context)
        self._sharing = Sharing()
        self._keepalive_s = config.keepalive_timeout or math.inf

    def drain(self) -> None:
        """Tell all clients that the gateway stops."""
        self._streams.end_all()

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        """Stand before routes for streams, and before all others if the configuration says anything.

        Any service may answer with events; but where nobody mentions them, looking for them costs nothing.
        """
        if not route.service or not (route.protocol == "sse" or self._config.model_fields_set):
            return call_next
        streams = self._streams.of_route(route.id, route.service)
        is_for_streams = route.protocol == "sse"

        async def handler(exchange: Exchange) -> Response:
            request = exchange.request
            accepted = request.headers.get("accept") or ""
            is_asked_for = EVENT_STREAM in accepted
            if is_for_streams and not is_asked_for:
                if accepted and not any(each in accepted for each in _ANYTHING):
                    return Response.text("SSE not accepted", status=406)
                request.headers.set("accept", EVENT_STREAM)
                is_asked_for = True
            if is_asked_for and request.method == "GET":
                self._check(exchange, streams)
                # Nothing can be put into what is compressed.
                request.headers.remove("accept-encoding")
                if self._config.share and "last-event-id" not in request.headers:
                    return await self._shared(call_next, exchange, streams)
            response = await call_next(exchange)
            if type(response.body) is bytes or not _is_stream(response):
                return response
            return self._own(response, exchange, streams)

        return handler

    def _check(self, exchange: Exchange, streams: RouteStreams) -> None:
        config = self._config
        streams.check(
            exchange.request.client,
            max_count=config.max_connections,
            max_per_client=config.max_connections_per_client,
        )

    def _own(self, response: Response, exchange: Exchange, streams: RouteStreams) -> Response:
        """Give the client a stream of its own."""
        source = response.body
        assert isinstance(source, Body)  # noqa: S101 - the caller looked
        stream = self._prepared(response, exchange, streams)
        stream.begin(source)
        response.body = stream.body
        source.attach(stream)
        return response

    async def _shared(self, call_next: Handler, exchange: Exchange, streams: RouteStreams) -> Response:
        """Give the client the stream that others have, or open the one that others will have."""
        config, key = self._config, self._key(exchange)
        shared = await self._sharing.find(key)
        if shared is not None:
            response = shared.response()
            stream = self._prepared(response, exchange, streams)
            shared.join(stream, config.buffer_size)
            response.body = stream.body
            return response
        try:
            response = await call_next(exchange)
            if type(response.body) is bytes or not _is_stream(response):
                return response
            source = response.body
            assert isinstance(source, Body)  # noqa: S101 - it is no bytes
            stream = self._prepared(response, exchange, streams)
            shared = self._sharing.opened(key, response, source)
            shared.join(stream, config.buffer_size)
            response.body = stream.body
            shared.start()
            return response
        finally:
            self._sharing.not_opened(key)

    def _prepared(self, response: Response, exchange: Exchange, streams: RouteStreams) -> EventStream:
        """Return the stream of a client, which then is counted.

        Raises:
            GatewayError: If there is no room for it.
        """
        try:
            self._check(exchange, streams)
        except BaseException:
            response.discard()
            raise
        if isinstance(response.body, Body):
            response.body.set_idle_timeout(self._config.idle_timeout or None)
        headers = response.headers
        headers.set("x-accel-buffering", "no")  # nginx and its likes on the way pass on what comes
        if "cache-control" not in headers:
            headers.set("cache-control", "no-cache")
        stream = EventStream(
            exchange.request.client,
            streams,
            keepalive_s=self._keepalive_s,
            expires_s=exchange.principal.deadline_s() if exchange.principal is not None else math.inf,
            can_insert=headers.get("content-encoding", "identity") == "identity" and not _has_length(response),
        )
        streams.opened(stream)
        return stream

    def _key(self, exchange: Exchange) -> Hashable:
        """Return what must be equal for two clients to get the same."""
        request, principal = exchange.request, exchange.principal
        caller = (principal.provider, principal.subject) if principal is not None else None
        return (
            exchange.route.id,
            exchange.upstream_path,
            request.query,
            request.host,
            caller,
            tuple(tuple(request.headers.get_all(name)) for name in self._config.share_by),
        )


def _is_stream(response: Response) -> bool:
    content_type = response.headers.get("content-type") or ""
    return response.status == OK and content_type.partition(";")[0].strip().lower() == EVENT_STREAM


def _has_length(response: Response) -> bool:
    return isinstance(response.body, Body) and response.body.length is not None


if TYPE_CHECKING:
    from gateway.interfaces import Policy

    _: type[Policy] = SsePolicy
