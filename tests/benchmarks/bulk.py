"""Bodies of 1 GiB in each direction: a service that makes or swallows them, and the client for both.

As a program, `python bulk.py PORT`, it is the service: `GET /bytes/<n>` answers with n bytes, `POST` reads the body
and answers with the number of bytes it had, any other `GET` with the small body of `upstream.py`. One blocking thread
for each connection is enough, for there is one connection.
"""

from __future__ import annotations

import dataclasses
import http.client
import http.server
import sys
from typing import TYPE_CHECKING

from upstream import SMALL_BODY

if TYPE_CHECKING:
    from collections.abc import Iterator

GIB = 1024 * 1024 * 1024
_PIECE = bytes(range(256)) * 1024
_PATTERN = _PIECE + _PIECE[:256]


class BodyError(Exception):
    """A body arrived with another length or content than it was sent with."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Pieces:
    """A body of known length that exists one piece at a time; `http.client` sends it as it iterates."""

    length: int

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.length // len(_PIECE)):
            yield _PIECE


def download(port: int, length: int, *, timeout_s: float) -> None:
    """Fetches a body and compares every byte of it.

    Args:
        port: Where to ask.
        length: Its length, a multiple of 256 KiB.
        timeout_s: How long each wait for the network may take.

    Raises:
        BodyError: If the status is not 200 or the body differs.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    connection.request("GET", f"/bytes/{length}")
    response = connection.getresponse()
    buffer = bytearray(len(_PIECE))
    received = 0
    while response.status == http.HTTPStatus.OK and (size := response.readinto(buffer)):
        if not _PATTERN.startswith(buffer[:size], received % 256):
            break
        received += size
    connection.close()
    if received != length:
        message = f"status {response.status}, {received} of {length} bytes as they should be"
        raise BodyError(message)


def upload(port: int, length: int, *, timeout_s: float) -> None:
    """Sends a body and has the service count it; arguments as for `download`.

    Raises:
        BodyError: If the status is not 200 or the service counted another number of bytes.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    connection.request("POST", "/", body=_Pieces(length), headers={"Content-Length": str(length)})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    if response.status != http.HTTPStatus.OK or body != str(length).encode():
        message = f"status {response.status}, the service said {body[:200]!r} instead of {length}"
        raise BodyError(message)


class _Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers `/bytes/<n>` with n bytes, everything else with the small body."""
        if not self.path.startswith("/bytes/"):
            self._head(len(SMALL_BODY))
            self.wfile.write(SMALL_BODY)
            return
        length = int(self.path.removeprefix("/bytes/"))
        self._head(length)
        for piece in _Pieces(length):
            self.wfile.write(piece)

    def do_POST(self) -> None:
        """Reads a body of known length, or a chunked one, and answers with its length."""
        if "Content-Length" in self.headers:
            received = self._swallow(int(self.headers["Content-Length"]))
        else:
            received = 0
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                received += self._swallow(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        answer = str(received).encode()
        self._head(len(answer))
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's signature
        """Says nothing."""

    def _head(self, length: int) -> None:
        self.send_response(http.HTTPStatus.OK)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _swallow(self, length: int) -> int:
        received = 0
        buffer = memoryview(bytearray(len(_PIECE)))
        while received < length and (size := self.rfile.readinto1(buffer[: length - received])):
            received += size
        return received


def main() -> None:
    """Serves on the port given until it is told to end."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Service) as server:
        server.daemon_threads = True
        server.serve_forever()


if __name__ == "__main__":
    main()
