"""TLS handshakes of clients: bounded in number and in time, and what goes wrong in one is a line and a count.

asyncio's servers could do them by themselves, but then nobody would learn how many are under way, or what became of
them. So connections are accepted here, and belong to the adapter as soon as they are encrypted.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from gateway.interfaces import Adapter, Listener
    from gateway.metrics import Metrics

__all__ = ["MAX_HANDSHAKES", "Handshakes", "TlsServer"]

logger = logging.getLogger("gateway.tls")

MAX_HANDSHAKES = 1024
"""How many may be under way in a worker, as many as it can do in a second; then the oldest one gives way. So whoever
opens connections and says nothing keeps out nobody else, who needs a fraction of a second."""

DRAIN_S = 1.0
"""How long those that are under way may still take when the gateway stops."""

ACCEPTS_AT_ONCE = 64
"""How many connections are accepted before anything else has its turn."""

PAUSE_S = 1.0
"""How long nothing is accepted where there are no more file descriptors; as asyncio has it."""

_REASONS = {
    "CERTIFICATE_VERIFY_FAILED": "bad_certificate",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
    "CALLBACK_FAILED": "unknown_name",
    "UNSUPPORTED_PROTOCOL": "version",
    "VERSION_TOO_LOW": "version",
    "NO_SHARED_CIPHER": "cipher",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "cipher",
    "NO_SUITABLE_KEY_SHARE": "cipher",
    "HTTP_REQUEST": "not_tls",
    "HTTPS_PROXY_REQUEST": "not_tls",
    "WRONG_VERSION_NUMBER": "not_tls",
    "RECORD_LAYER_FAILURE": "not_tls",
}
"""OpenSSL's reasons that operators can do something about; any other is ``protocol``."""

_TOLD = frozenset({"bad_certificate", "no_certificate"})
"""What whoever is asked for help has to see; the rest is the noise of any open port."""


class Handshakes:
    """Those that are under way, the oldest first.

    Args:
        metrics: Where the ones that fail are counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._under_way: dict[asyncio.Task[None], None] = {}
        self._failures = metrics.counter(
            "gateway_tls_handshake_failures_total", "TLS handshakes of clients that failed.", ("reason",)
        )
        self._hook_before: Callable[[sys.UnraisableHookArgs], object] | None = None

    def open(self) -> None:
        """Keep quiet from now on about clients that ask for a name that is no ASCII, by which ssl can only raise."""
        if self._hook_before is None:
            self._hook_before = sys.unraisablehook
            sys.unraisablehook = self._unraisable

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        # ssl says so by the bytes that it was to decode; nobody else has bytes there.
        if isinstance(unraisable.exc_value, UnicodeDecodeError) and isinstance(unraisable.object, bytes):
            logger.debug("a client asked for the name %.100r", unraisable.object)
        elif self._hook_before is not None:
            self._hook_before(unraisable)

    def begin(self, accepted: socket.socket, peer: object, adapter: Adapter, listener: Listener) -> None:
        """Have a client do its handshake; when that is over, the connection is one of ``adapter``."""
        if len(self._under_way) >= MAX_HANDSHAKES:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.cancel()
            self._failures.labels("crowded_out").add()
        work = self._shake(accepted, peer, adapter, listener)
        task = asyncio.get_running_loop().create_task(work, name="gateway TLS handshake")
        self._under_way[task] = None
        task.add_done_callback(lambda task: self._under_way.pop(task, None))

    async def _shake(self, accepted: socket.socket, peer: object, adapter: Adapter, listener: Listener) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: adapter.connection(listener),
                accepted,
                ssl=listener.tls,
                ssl_handshake_timeout=listener.handshake_timeout_s,
            )
        except Exception as error:  # noqa: BLE001 - whatever a stranger's bytes bring about
            self._failed(peer, error)

    def _failed(self, peer: object, error: Exception) -> None:
        reason = _reason(error)
        self._failures.labels(reason).add()
        level = logging.INFO if reason in _TOLD else logging.DEBUG
        if logger.isEnabledFor(level):
            client = peer[0] if isinstance(peer, tuple) else "a client"
            logger.log(level, "TLS handshake with %s failed (%s): %s", client, reason, error)

    async def close(self) -> None:
        """Let those that are under way finish, but not for long."""
        if self._under_way:
            await self._finish()
        if self._hook_before is not None and sys.unraisablehook == self._unraisable:
            sys.unraisablehook = self._hook_before
        self._hook_before = None

    async def _finish(self) -> None:
        _, late = await asyncio.wait(list(self._under_way), timeout=DRAIN_S)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=DRAIN_S)


class TlsServer:
    """Accepts the connections of a listening socket, as ``asyncio.Server`` does.

    Args:
        listening: The socket; closed with the server.
        begin: Is given each new connection and the address of its other end.

    Attributes:
        sockets: The socket, while the server is not closed.
    """

    def __init__(self, listening: socket.socket, begin: Callable[[socket.socket, Any], None]) -> None:
        self._begin = begin
        self.sockets: tuple[socket.socket, ...] = (listening,)

    async def start_serving(self) -> None:
        """Begin to accept."""
        self._watch()

    def close(self) -> None:
        """Accept no more."""
        loop = asyncio.get_running_loop()
        sockets, self.sockets = self.sockets, ()
        for listening in sockets:
            loop.remove_reader(listening.fileno())
            listening.close()

    def _watch(self) -> None:
        for listening in self.sockets:
            asyncio.get_running_loop().add_reader(listening.fileno(), self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                accepted, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Too many open files, or no memory: it would be readable again at once.
                logger.error("cannot accept connections: %s", error)  # noqa: TRY400 - the text says it all
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening.fileno())
                loop.call_later(PAUSE_S, self._watch)
                return
            accepted.setblocking(False)  # noqa: FBT003 - positional only
            self._begin(accepted, peer)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason is not None:
        # An alert is what the client had to say: it does not trust the certificate, say.
        return "refused_by_client" if "_ALERT_" in error.reason else _REASONS.get(error.reason, "protocol")
    if isinstance(error, ConnectionAbortedError):  # so says asyncio
        return "timeout"
    return "closed" if isinstance(error, OSError) else "protocol"
