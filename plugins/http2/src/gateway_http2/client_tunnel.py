"""The client's end of a WebSocket over HTTP/2 (RFC 8441): the content of a stream is the bytes of the other protocol.

The service speaks HTTP/1.1 and is asked by an Upgrade: the key that this needs is made here, and is checked by whoever
checks handshakes, as for any other client.
"""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING

from gateway import Headers
from gateway_http2.engine import ErrorCode
from gateway_http2.response_head import request_id_field, response_fields

if TYPE_CHECKING:
    from gateway import Exchange, Request, Response
    from gateway.interfaces import Tunnel
    from gateway_http2.client_connection import ClientConnection
    from gateway_http2.client_stream import ClientStream

__all__ = ["ClientTunnel"]

_HANDSHAKE_ONLY = frozenset({b"sec-websocket-accept", b"sec-websocket-key"})
"""Fields that HTTP/2 has not (RFC 8441 section 5)."""


class ClientTunnel:
    """Implements ``gateway.interfaces.TunnelEnd``.

    Args:
        stream: The stream.
        connection: Its connection.
        exchange: What it is the end of.
        tunnel: The service's side.

    Attributes:
        is_half_closed: Whether one end has ended: then the other one may not rest longer than a connection may.
    """

    def __init__(self, stream: ClientStream, connection: ClientConnection, exchange: Exchange, tunnel: Tunnel) -> None:
        self._stream = stream
        self._connection = connection
        self._exchange = exchange
        self._tunnel = tunnel
        self.is_half_closed = False
        self._is_over = False
        self._is_lost = False  # the service is gone
        self._is_held = False
        self._held_bytes = 0

    @staticmethod
    def prepare(request: Request) -> None:
        """Give a request the key of a handshake, in place of any that the client sent."""
        pairs = request.headers.pairs
        pairs[:] = [pair for pair in pairs if pair[0] not in _HANDSHAKE_ONLY]
        pairs.append((b"sec-websocket-key", base64.b64encode(os.urandom(16))))

    def begin(self, response: Response) -> None:
        """Answer that the tunnel is open, and pass bytes on from now on."""
        headers = Headers([pair for pair in response.headers.pairs if pair[0] not in _HANDSHAKE_ONLY])
        engine = self._connection.engine
        block = engine.encoder.encode(response_fields(200, headers)) + request_id_field(self._exchange.request.id)
        engine.send_headers(self._stream, block)
        self._tunnel.attach(self)
        early = self._stream.take_early()
        if not self._is_over and (early or not self._stream.is_receiving):
            self.data_received(early, is_end=not self._stream.is_receiving)

    # The stream's side.

    def data_received(self, data: bytes, *, is_end: bool) -> None:
        """Pass on what the client sent."""
        if self._is_held:
            self._held_bytes += len(data)
        else:
            self._connection.engine.acknowledge(self._stream, len(data))
        if data:
            self._tunnel.write(data)
        if is_end:
            self._half_close()
            self._tunnel.write_eof()
            self._finish_if_ended()

    def pause(self) -> None:
        """The client is slow: have the service wait."""
        self._tunnel.pause()

    def resume(self) -> None:
        """The client caught up."""
        self._tunnel.resume()

    def sending_ended(self) -> None:
        """The service's end has left."""
        self._finish_if_ended()

    def lost(self, error: Exception) -> None:
        """The stream is gone."""
        self._finish(error)

    def _half_close(self) -> None:
        self.is_half_closed = True
        self._stream.note(self._connection.limits.idle_timeout_s)

    def _finish_if_ended(self) -> None:
        """Be done when both ends are; a client need not end what nobody takes any more."""
        stream = self._stream
        if self._is_over or stream.is_sending or (stream.is_receiving and not self._is_lost):
            return
        if stream.is_receiving:
            self._connection.engine.reset(stream.id, ErrorCode.NO_ERROR)
        self._finish(None)
        # The engine forgets the stream behind the frame that it is reading; only then is the connection idle.
        asyncio.get_running_loop().call_soon(self._connection.stream_ended)

    def _finish(self, error: Exception | None) -> None:
        if not self._is_over:
            self._is_over = True
            self._tunnel.abort()
            self._exchange.finish(self._stream.sent_bytes, error)

    # gateway.interfaces.TunnelEnd.

    def tunnel_data(self, data: bytes) -> None:
        """Send to the client."""
        self._connection.engine.send_data(self._stream, data)

    def tunnel_eof(self) -> None:
        """The service sends no more."""
        self._half_close()
        self._connection.engine.send_trailers(self._stream, ())

    def tunnel_lost(self) -> None:
        """The connection to the service is gone: the client gets what is there, and then the end."""
        if self._is_over:
            return
        self._is_lost = True
        self._half_close()
        self._connection.engine.send_trailers(self._stream, ())
        self._finish_if_ended()

    def tunnel_pause(self) -> None:
        """Acknowledge no more of what the client sends: the service is slow."""
        self._is_held = True

    def tunnel_resume(self) -> None:
        """Let the client send more."""
        self._is_held = False
        held, self._held_bytes = self._held_bytes, 0
        if held:
            self._connection.engine.acknowledge(self._stream, held)
