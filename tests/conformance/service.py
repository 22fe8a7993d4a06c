"""A service that keeps every byte it is sent, reads requests strictly by their framing, and answers by a script."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Connection", "Received", "Service", "Violation"]

IO_TIMEOUT_S = 15
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*?)[ \t]*")


class Violation(Exception):
    """What was received is no well-formed HTTP/1.1 (RFC 9112)."""


class EndOfStream(Exception):
    """The gateway closed the connection."""


@dataclass
class Received:
    """A request as the service read it."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    raw_head: bytes
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_complete: bool = False

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of the fields called ``name``, in any case."""
        return [value for key, value in self.fields if key.lower() == name]

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]


class Connection:
    """One connection of the gateway to the service."""

    def __init__(self, service: Service, sock: socket.socket) -> None:
        self.service = service
        self.sock = sock
        self.received = b""
        self.requests: list[Received] = []
        self.violations: list[str] = []
        self.is_closed = threading.Event()
        self._buffer = b""

    def run(self) -> None:
        """Serve request after request until one side closes."""
        try:
            while True:
                request = self._read_head()
                self.requests.append(request)
                self.service.answer(self, request)
                if not request.is_complete:
                    break
        except Violation as violation:
            self.violations.append(str(violation))
        except (EndOfStream, OSError):
            pass
        finally:
            self.is_closed.set()
            self.sock.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def reset(self) -> None:
        """Cut the connection so that the gateway gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise EndOfStream

    def wait_closed(self) -> None:
        """Read until the gateway closes; what comes is kept but not understood."""
        while self._fill():
            pass

    def receive_some(self) -> bytes:
        """Return what arrived, without framing: for tunnels."""
        if not self._buffer and not self._fill():
            raise EndOfStream
        data, self._buffer = self._buffer, b""
        return data

    def read_body(self, request: Received) -> bytes:
        """Read the body by the framing that the head declares, and nothing else."""
        codings, lengths = request.values(b"transfer-encoding"), request.values(b"content-length")
        if codings and lengths:
            raise Violation("Content-Length with Transfer-Encoding")
        if codings:
            if codings != [b"chunked"]:
                raise Violation(f"transfer codings {codings!r}")
            self._read_chunks(request)
        elif lengths:
            if len(lengths) != 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
                raise Violation(f"content lengths {lengths!r}")
            self._take_into(request, int(lengths[0]))
        request.is_complete = True
        return request.body

    def _take_into(self, request: Received, size: int) -> None:
        pieces = [request.body]
        while size:
            if not self._buffer and not self._fill():
                request.body = b"".join(pieces)
                raise EndOfStream
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            pieces.append(piece)
        request.body = b"".join(pieces)

    def _read_chunks(self, request: Received) -> None:
        while True:
            size_line = self._read_line()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size_line):
                raise Violation(f"chunk size {size_line[:40]!r}")
            size = int(size_line, 16)
            if not size:
                break
            before = len(request.body)
            self._take_into(request, size)
            request.chunks.append(request.body[before:])
            if self._read_line():
                raise Violation("a chunk without CRLF behind it")
        while line := self._read_line():
            request.trailers.append(_parse_field(line))

    def _read_head(self) -> Received:
        while b"\r\n\r\n" not in self._buffer:
            if not self._fill():
                if self._buffer:
                    raise Violation(f"half a head: {self._buffer[:80]!r}")
                raise EndOfStream
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        request_line, *lines = head.split(b"\r\n")
        match = _REQUEST_LINE.fullmatch(request_line)
        if match is None:
            raise Violation(f"request line {request_line[:80]!r}")
        request = Received(match[1], match[2], [_parse_field(line) for line in lines], head)
        if len(request.values(b"host")) != 1:
            raise Violation(f"hosts {request.values(b'host')!r}")
        return request

    def _read_line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            if not self._fill():
                raise EndOfStream
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _fill(self) -> bool:
        data = self.sock.recv(262144)
        self._buffer += data
        if len(self.received) < self.service.max_recorded_bytes:
            self.received += data
        return bool(data)


def _parse_field(line: bytes) -> tuple[bytes, bytes]:
    match = _FIELD.fullmatch(line)
    if match is None:
        raise Violation(f"field line {line[:80]!r}")
    return match[1], match[2]


class Service:
    """A service on a free port of the loopback interface.

    Args:
        scripts: What to do for requests to these paths, instead of reading the body and answering 200. A script is
            called when the head was read; if it leaves the body unread, the connection is closed after it.
    """

    def __init__(self, scripts: dict[str, Callable[[Connection, Received], None]] | None = None) -> None:
        self.scripts = {path.encode(): script for path, script in (scripts or {}).items()}
        self.connections: list[Connection] = []
        self.max_recorded_bytes = 4 * 1024 * 1024
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def requests(self) -> list[Received]:
        """Every request so far whose head was read, in no particular order between connections."""
        return [request for connection in list(self.connections) for request in list(connection.requests)]

    @property
    def violations(self) -> list[str]:
        """Everything received that was no well-formed request."""
        return [violation for connection in list(self.connections) for violation in connection.violations]

    def requests_to(self, path: str) -> list[Received]:
        """Return the requests to ``path`` so far."""
        return [request for request in self.requests if request.path == path.encode()]

    def mark(self) -> int:
        """Return how many bytes were received so far."""
        return sum(len(connection.received) for connection in list(self.connections))

    def forget(self) -> None:
        """Drop what was recorded, and the connections that are closed."""
        self.connections = [connection for connection in self.connections if not connection.is_closed.is_set()]
        for connection in self.connections:
            connection.received = b""
            connection.requests = []
            connection.violations = []

    def answer(self, connection: Connection, request: Received) -> None:
        """Run the script of the request's path."""
        script = self.scripts.get(request.path)
        if script is not None:
            script(connection, request)
            return
        body = connection.read_body(request)
        connection.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (0 if request.method == b"HEAD" else len(body))
        )
        if request.method != b"HEAD":
            connection.send(body)

    def close(self) -> None:
        """Stop listening, cut every connection and wait for their threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(IO_TIMEOUT_S)
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(IO_TIMEOUT_S)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(IO_TIMEOUT_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock)
            self.connections.append(connection)
            thread = threading.Thread(target=connection.run, daemon=True)
            self._threads.append(thread)
            thread.start()
