"""The SDK's transport over unix sockets, with every socket where ``close`` finds it."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UnixTransport"]


class UnixTransport(UnixHTTPAdapter):
    """Connections that can be cut from another thread, whatever they wait for.

    The SDK's own forgets the socket of a connection that fails, and lets nobody reach that of a request without answer.

    Args:
        url: The socket, as ``docker.utils.parse_host`` writes it.
        timeout_s: How long it may take to connect.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._timeout_s = timeout_s
        super().__init__(url, timeout=max(1, round(timeout_s)))
        self._pool = _Pool(self.socket_path, self)

    def get_connection(self, url: str | bytes, proxies: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - as requests has it
        """Return the pool."""
        return self._pool

    def open_socket(self, path: str) -> socket.socket:
        """Connect to ``path``.

        Raises:
            OSError: If that fails.
        """
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.settimeout(self._timeout_s)
            opened.connect(path)
        except BaseException:
            opened.close()
            raise
        self._sockets.add(opened)
        return opened

    def cut(self) -> None:
        """End every connection; whoever waits for one of them goes on at once, with an error."""
        for each in list(self._sockets):
            # It may have been closed already.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close what is idle."""
        self._pool.close()
        super().close()


class _Pool(UnixHTTPConnectionPool):
    def __init__(self, path: str, transport: UnixTransport) -> None:
        super().__init__("http+docker://localhost", path)
        self._path = path
        self._transport = transport

    def _new_conn(self) -> Any:  # noqa: ANN401 - a connection, whose type the stubs of the SDK and of urllib3 dispute
        return _Connection(self._path, self._transport)


class _Connection(UnixHTTPConnection):
    def __init__(self, path: str, transport: UnixTransport) -> None:
        super().__init__("http+docker://localhost", path)
        self._path = path
        self._transport = transport

    def connect(self) -> None:
        self.sock = self._transport.open_socket(self._path)
