"""WebSocket frames on a tunnel: what clients send is measured, and a frame that is too large closes with 1009."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from gateway import BuildContext, Config, PolicyRegistration, Size

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway import Exchange, Handler, Response, Route
    from gateway.interfaces import Policy, Tunnel, TunnelEnd

TOO_BIG = b"\x88\x02\x03\xf1"  # a close frame with status 1009 (RFC 6455 section 7.4.1)


class FrameLimitConfig(Config):
    max_frame_bytes: Size = Field(1024, description="The largest payload of a frame from a client, in bytes.")


class FrameLimit:
    waits = False

    def __init__(self, config: FrameLimitConfig) -> None:
        self._max_bytes = config.max_frame_bytes

    def wrap(self, call_next: Handler, route: Route) -> Handler:
        if "websocket" not in route.allow_upgrade:
            return call_next

        async def handler(exchange: Exchange) -> Response:
            response = await call_next(exchange)
            if response.tunnel is not None:
                response.tunnel = MeasuredTunnel(response.tunnel, self._max_bytes)
            return response

        return handler


class MeasuredTunnel:
    """The tunnel that the adapter gets instead of the service's; the other direction goes straight through."""

    def __init__(self, service: Tunnel, max_bytes: int) -> None:
        self.on_close: Callable[[], None] | None = None
        self._service = service
        self._frames = FrameSizes()
        self._max_bytes = max_bytes

    @property
    def is_over(self) -> bool:
        return self._service.is_over

    def attach(self, client: TunnelEnd) -> None:
        self._client = client
        self._service.attach(client)

    def write(self, data: bytes) -> None:
        if self._frames.largest(data) > self._max_bytes:
            self._client.tunnel_data(TOO_BIG)
            self._service.abort()  # which also closes the client, once it has been sent what waits
        else:
            self._service.write(data)

    def write_eof(self) -> None:
        self._service.write_eof()

    def pause(self) -> None:
        self._service.pause()

    def resume(self) -> None:
        self._service.resume()

    def abort(self) -> None:
        self._service.abort()


class FrameSizes:
    """Finds the frames in a stream of masked frames, however it is cut (RFC 6455 section 5.2)."""

    def __init__(self) -> None:
        self._head = b""
        self._skip = 0

    def largest(self, data: bytes) -> int:
        largest = 0
        while data:
            if self._skip:
                skipped = min(self._skip, len(data))
                data, self._skip = data[skipped:], self._skip - skipped
                continue
            self._head, data = self._head + data[:1], data[1:]
            size = _payload_bytes(self._head)
            if size is not None:
                largest, self._skip, self._head = max(largest, size), size + 4, b""
        return largest


def _payload_bytes(head: bytes) -> int | None:
    wanted = 2 if len(head) < 2 else {126: 4, 127: 10}.get(head[1] & 0x7F, 2)
    if len(head) < wanted:
        return None
    return head[1] & 0x7F if wanted == 2 else int.from_bytes(head[2:wanted])


def build(config: FrameLimitConfig, context: BuildContext) -> FrameLimit:
    return FrameLimit(config)


frame_limit = PolicyRegistration(name="frame_limit", config=FrameLimitConfig, build=build)

if TYPE_CHECKING:
    _policy: type[Policy] = FrameLimit
    _tunnel: type[Tunnel] = MeasuredTunnel
