"""Both ends of a connection that changed protocols (RFC 9110 section 7.8): from then on bytes go through as they are.

```
client ──▶ ClientTunnel ──write / write_eof──▶ ServiceTunnel ──▶ service
client ◀── ClientTunnel ◀──tunnel_data / tunnel_eof── ServiceTunnel ◀── service
```

Each takes its transport over from the connection that made it.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway import Exchange
    from gateway.interfaces import Tunnel, TunnelEnd
    from gateway_http.adapter import HttpAdapter

__all__ = ["ClientTunnel", "ServiceTunnel"]


class _End(asyncio.Protocol):
    """What both ends have in common.

    Args:
        transport: The connection.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_lost = False
        self._has_ended = False  # they send no more
        self._is_ended = False  # we send no more

    def _end(self) -> None:
        """Send no more, but read on; where the transport cannot be closed by half, as with TLS, close it."""
        self._is_ended = True
        if self._is_lost:
            return
        if self._has_ended or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()

    def _note_end(self) -> bool:
        """They send no more; returns whether the transport stays open for what we still send."""
        self._has_ended = True
        return not self._is_ended and self._transport.can_write_eof()


class ClientTunnel(_End):
    """The client's side. Implements ``gateway.interfaces.TunnelEnd``, and is watched as connections are.

    Args:
        adapter: The adapter it belongs to.
        transport: The connection.
        exchange: What it is the end of; it is finished when the connection is gone.
        tunnel: The service's side.

    Attributes:
        deadline_s: When it is given up. A tunnel may rest as long as its ends like; but once one of them has ended,
            who looks like that may be gone, and the other one may not rest longer than a connection may.
    """

    def __init__(self, adapter: HttpAdapter, transport: asyncio.Transport, exchange: Exchange, tunnel: Tunnel) -> None:
        super().__init__(transport)
        self._adapter = adapter
        self._exchange = exchange
        self._tunnel = tunnel
        self._sent_bytes = 0
        self._is_half_closed = False
        self.deadline_s = math.inf

    def drain(self) -> None:
        """Go on: nobody but its ends knows when a tunnel is idle."""

    def close(self) -> None:
        """Cut it."""
        self._transport.abort()

    def deadline_passed(self) -> None:
        """Cut it: one end is gone, and the other one does nothing."""
        self._transport.abort()

    def _half_close(self) -> None:
        self._is_half_closed = True
        self._extend()

    def _extend(self) -> None:
        self.deadline_s = time.monotonic() + self._adapter.idle_timeout_s

    # asyncio's side.

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        if self._is_half_closed:
            self._extend()
        self._tunnel.write(data)

    def eof_received(self) -> bool:
        """They send no more; returns whether this side stays open."""
        self._half_close()
        self._tunnel.write_eof()
        return self._note_end()

    def pause_writing(self) -> None:
        """This side is slow: have the other one wait."""
        self._tunnel.pause()

    def resume_writing(self) -> None:
        """This side caught up."""
        self._tunnel.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection; asyncio calls it once."""
        self._is_lost = True
        self._adapter.forget(self)
        self._tunnel.abort()
        self._exchange.finish(self._sent_bytes, exc)

    # gateway.interfaces.TunnelEnd.

    def tunnel_data(self, data: bytes) -> None:
        """Send to the client."""
        if self._is_half_closed:
            self._extend()
        if not self._is_lost:
            self._sent_bytes += len(data)
            self._transport.write(data)

    def tunnel_eof(self) -> None:
        """The service sends no more."""
        self._half_close()
        self._end()

    def tunnel_lost(self) -> None:
        """The connection to the service is gone."""
        if not self._is_lost:
            self._half_close()  # a client that does not take the rest is cut
            self._transport.close()

    def tunnel_pause(self) -> None:
        """Stop reading from the client: the service is slow."""
        if not self._is_lost:
            self._transport.pause_reading()

    def tunnel_resume(self) -> None:
        """Read from the client again."""
        if not self._is_lost:
            self._transport.resume_reading()


class ServiceTunnel(_End):
    """The service's side. Implements ``gateway.interfaces.Tunnel``.

    Args:
        transport: The connection.
        early: What the service sent behind its 101.
        forget: Called when the connection is gone.
    """

    def __init__(self, transport: asyncio.Transport, early: bytes, forget: Callable[[], None]) -> None:
        super().__init__(transport)
        self.on_close: Callable[[], None] | None = None
        self._early = early
        self._forget = forget
        self._client: TunnelEnd | None = None

    # gateway.interfaces.Tunnel.

    @property
    def is_over(self) -> bool:
        """Whether the connection to the service is gone."""
        return self._is_lost

    def attach(self, client: TunnelEnd) -> None:
        """Begin to pass on what the service sends, starting with what it sent already."""
        self._client = client
        early, self._early = self._early, b""
        if early:
            client.tunnel_data(early)
            self.resume()
        if self._is_lost:
            client.tunnel_lost()
        elif self._has_ended:
            client.tunnel_eof()

    def write(self, data: bytes) -> None:
        """Send to the service."""
        if not self._is_lost:
            self._transport.write(data)

    def write_eof(self) -> None:
        """The client sends no more."""
        self._end()

    def pause(self) -> None:
        """Stop reading from the service: the client is slow."""
        if not self._is_lost:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read from the service again."""
        if not self._is_lost:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Drop the connection to the service."""
        self._transport.abort()

    # asyncio's side.

    def data_received(self, data: bytes) -> None:
        """Take what arrived."""
        if self._client is None:
            self._early += data
            self._transport.pause_reading()
        else:
            self._client.tunnel_data(data)

    def eof_received(self) -> bool:
        """They send no more; returns whether this side stays open."""
        stays_open = self._note_end()
        if self._client is not None:
            self._client.tunnel_eof()
        return stays_open

    def pause_writing(self) -> None:
        """This side is slow: have the other one wait."""
        if self._client is not None:
            self._client.tunnel_pause()

    def resume_writing(self) -> None:
        """This side caught up."""
        if self._client is not None:
            self._client.tunnel_resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """End with a connection; asyncio calls it once."""
        self._is_lost = True
        self._forget()
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()
        if self._client is not None:
            self._client.tunnel_lost()
