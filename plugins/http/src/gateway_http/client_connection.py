"""One connection of a client: HTTP/1.1 requests in, responses out (RFC 9112).

One request is read at a time; what a client sends behind it waits as the bytes it is. So at most one exchange exists
per connection.

```
request_receiving    data_received ─▶ _receive_head ─▶ _begin: Exchange ─▶ serve ─▶ …
                                            ▲                                       │
response_sending                            │      … ─▶ respond ─▶ [body_data … body_end] ─▶ _finish
                                            └──────────────────── _read_on ◀───────────────────┘
```

Here is what is left: how a connection begins and ends, its pace and its time-outs.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from gateway import ErrorType, GatewayError
from gateway.forwarding import UNKNOWN
from gateway_http.fields import field_line, status_line
from gateway_http.request_receiving import RequestReceiver
from gateway_http.tunnel import ClientTunnel

if TYPE_CHECKING:
    import asyncio

    from gateway import Exchange, Response
    from gateway.handover import Takeover

__all__ = ["ClientConnection"]


class ClientConnection(RequestReceiver):
    """The protocol of one client connection; also the responder of its exchanges and the sink of response bodies.

    Args:
        adapter: The adapter it belongs to: limits, time-outs, and the way into the gateway.
        scheme: ``http`` or ``https``.
        serve: Answers its exchanges.
    """

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a connection; asyncio calls it once."""
        self._transport = transport  # type: ignore[assignment]  # listeners are stream sockets
        adapter = self._adapter
        peer = transport.get_extra_info("peername")
        # A client that is gone already has no name; it must not pass for somebody who is trusted.
        tls = transport.get_extra_info("ssl_object") if self._scheme == "https" else None
        self._hop = adapter.hop(peer[0] if isinstance(peer, tuple) else UNKNOWN, self._scheme, tls)
        self._serve = adapter.guarded(self._serve, tls, self._hop)
        self.deadline_s = time.monotonic() + adapter.read_timeout_s
        if adapter.is_draining:
            self._close_after_answer()
        has_room = adapter.admit(self)
        takeover = self._chosen() if adapter.takeovers and self._scheme == "https" else None
        if takeover is not None:
            if not has_room or not adapter.hand_over(self, takeover, self._transport, self._hop, self._serve):
                self._transport.abort()  # a refusal in HTTP/1.1 would mean nothing to this client
        elif not has_room:
            self._refuse(GatewayError(ErrorType.UNAVAILABLE, "too many connections", headers=((b"retry-after", b"1"),)))

    def eof_received(self) -> bool:
        """They send no more; returns whether this side stays open."""
        # A client that sends no more while it waits for an answer is taken to be gone, as nginx and Go do: a closed
        # connection looks the same.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection; asyncio calls it once."""
        self._is_lost = True
        self._adapter.forget(self)
        error = exc or ConnectionResetError("the client closed the connection")
        body, self._request_body = self._request_body, None
        if body is not None:
            body.fail(error)
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if exchange.response is None:
            exchange.cancel()
        elif self._response_body is not None:
            self._response_body.abort()
        exchange.finish(self._sent_bytes, error)

    def deadline_passed(self) -> None:
        """Look whether the client is too slow, or idle for too long.

        Deadlines are not taken back when what they are for has happened: that costs more than looking now and then.
        """
        adapter, now_s = self._adapter, time.monotonic()
        unsent = self._transport.get_write_buffer_size()
        if unsent:
            if self._unsent and unsent >= self._unsent:
                self._transport.abort()
            # It takes something, however slowly; or this is the first look.
            self._unsent = unsent
            self.deadline_s = now_s + adapter.write_timeout_s
            return
        self._unsent = 0
        self.deadline_s = math.inf
        if self._exchange is None:
            if self._received:
                self._refuse(GatewayError(ErrorType.TIMEOUT, "the request took too long to arrive"))
            else:
                self._transport.close()
        elif self._request_body is not None and not self._is_reading_paused and not self._is_continue_due:
            self._spoil(GatewayError(ErrorType.TIMEOUT, "the request body took too long to arrive"))

    # Handing over.

    def _chosen(self) -> Takeover | None:
        """Return who takes the connection over, by what was chosen in the TLS handshake."""
        chosen = self._transport.get_extra_info("ssl_object").selected_alpn_protocol()
        return next((takeover for takeover in self._adapter.takeovers if chosen in takeover.alpn), None)

    def _hand_over(self, data: bytes) -> bool:
        """Look whether a connection begins with what somebody else takes over.

        Args:
            data: Everything that came.

        Returns:
            Whether there is nothing more to do here, for now at least.
        """
        for takeover in self._adapter.takeovers:
            if takeover.opening and data.startswith(takeover.opening):
                return self._adapter.hand_over(self, takeover, self._transport, self._hop, self._serve, data)
            if takeover.opening.startswith(data):
                self._received = data
                return True
        return False

    def _begin_tunnel(self, exchange: Exchange, response: Response) -> None:
        """Change protocols: from now on bytes go through as they are (RFC 9110 section 7.8)."""
        assert response.tunnel is not None  # noqa: S101 - the caller looked
        id_line = f"x-request-id: {exchange.request.id}".encode("latin-1")
        lines = [status_line(response.status), *map(field_line, response.headers.pairs), id_line]
        self._write_now(b"\r\n".join([*lines, b"connection: upgrade", b"", b""]))
        tunnel = ClientTunnel(self._adapter, self._transport, exchange, response.tunnel)
        self._adapter.replace(self, tunnel)
        self._transport.set_protocol(tunnel)
        if self._received:
            response.tunnel.write(self._received)
        self._resume_reading()
        response.tunnel.attach(tunnel)

    # Its pace.

    def pause_writing(self) -> None:
        """The client is slow: have whatever is being sent wait."""
        self._is_writing_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self.deadline_s = time.monotonic() + self._adapter.write_timeout_s
        if self._response_body is not None:
            self._response_body.pause()
        if self._request_body is None:
            # A client that does not take its answers gets no more requests served either.
            self._pause_reading()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._is_writing_paused = False
        self._unsent = 0
        self.deadline_s = time.monotonic() + self._idle_timeout_s
        if self._response_body is not None:
            self._response_body.resume()
        if self._exchange is None:
            self._read_on()
        elif self._request_body is None and not self._received:
            self._resume_reading()

    # Its end.

    def _leave(self) -> None:
        """Close, as soon as the client has read its answer."""
        self._outbox.flush()
        if self._is_lost:
            return
        if self._scheme == "https" and not self._drops_input:
            # TLS cannot be closed by half, and there is nothing unread that would make TCP destroy the answer.
            self.deadline_s = time.monotonic() + self._adapter.write_timeout_s
            self._transport.close()
            return
        self._resume_reading()
        self._adapter.linger(self, self._transport)

    def drain(self) -> None:
        """Close if idle; else close after the answer that is under way."""
        self._close_after_answer()
        if self._exchange is None and not self._received:
            self._outbox.flush()
            self._transport.close()

    def close(self) -> None:
        """Cut whatever is under way."""
        self._transport.abort()
