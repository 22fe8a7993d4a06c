"""How one adapter hands a connection over to another, once it is known what the client speaks.

A registration says which choices in a TLS handshake and which first bytes it takes (``AdapterRegistration.alpn`` and
``opening``). The adapter below accepts the connection, finds that out and hands it over; it goes on counting, timing
and draining it, by what every client connection has (``ClientConnection``):

```
Listener ─▶ carrier.connection() ─▶ TLS handshake, or the first bytes ─▶ taker.take(handover) ─▶ its ClientConnection
                                                                             handover.forget(…) when it is gone
```
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from gateway.exchange import Exchange
    from gateway.forwarding import Hop

__all__ = ["ClientConnection", "ClientLimits", "Handover", "Take", "TakenConnection", "Takeover", "Taker"]


class ClientConnection(Protocol):
    """A client's connection, as whoever watches it sees it. ``gateway.interfaces.Timed`` with two methods more.

    Attributes:
        deadline_s: Monotonic time at which ``deadline_passed`` is due; ``math.inf`` while there is none.
    """

    deadline_s: float

    def deadline_passed(self) -> None:
        """Act: the deadline is over."""

    def drain(self) -> None:
        """Close if idle; else close when what is under way is over."""

    def close(self) -> None:
        """Cut whatever is under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """What clients are held to, whatever they speak. ``math.inf`` is no limit.

    Attributes:
        read_timeout_s: Seconds for a whole request head, and for the next piece of a body.
        write_timeout_s: Seconds a client may take nothing of a waiting response.
        idle_timeout_s: Seconds a connection may rest between requests.
        max_request_bytes: The largest request body.
        max_header_bytes: The largest request head.
        max_headers: The most header fields of a request.
        max_uri_bytes: The longest path with query.
    """

    read_timeout_s: float
    write_timeout_s: float
    idle_timeout_s: float
    max_request_bytes: float
    max_header_bytes: int
    max_headers: int
    max_uri_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A connection that is handed over.

    Attributes:
        transport: The connection; whoever takes it becomes its protocol.
        received: What arrived already; empty where the choice was made in a TLS handshake.
        hop: Says where its requests come from.
        limits: What the client is held to.
        serve: Answers its exchanges.
        is_draining: Whether the gateway is about to stop: requests that are there may still be answered.
        forget: To be called with the connection when it is gone.
        linger: Closes the connection so that the client can read what was sent last; calls ``forget`` itself.
    """

    transport: asyncio.Transport
    received: bytes
    hop: Hop
    limits: ClientLimits
    serve: Callable[[Exchange], None]
    is_draining: bool
    forget: Callable[[ClientConnection], None]
    linger: Callable[[ClientConnection], None]


class TakenConnection(ClientConnection, Protocol):
    """A connection that was taken over: an ``asyncio.Protocol``."""

    def data_received(self, data: bytes) -> None:
        """Take what arrived; called with ``Handover.received`` first, if there is any."""


Take = Callable[[Handover], TakenConnection | None]
"""Takes a connection over: makes an ``asyncio.Protocol``, sets it as that of the transport, and returns it; ``None``
leaves the connection with whoever had it. Nothing is done with it before that puts it in the place of its own.
"""


class Taker(Protocol):
    """What an adapter has beside ``gateway.interfaces.Adapter`` when its registration says ``alpn`` or ``opening``."""

    def take(self, handover: Handover, /) -> TakenConnection | None:
        """Take a connection over, as ``Take`` has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """Which connections an adapter takes over.

    Attributes:
        alpn: The choices in a TLS handshake (RFC 7301).
        opening: The first bytes without a choice; empty for none.
        take: Takes them.
    """

    alpn: tuple[str, ...]
    opening: bytes
    take: Take
