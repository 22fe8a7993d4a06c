"""A client that sends bytes as they are and reads responses strictly."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

__all__ = ["Answer", "Client", "MalformedAnswer", "cut_at", "send_pieces"]

PIECE_PAUSE_S = 0.001
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9][0-9]) [\x20-\x7e]*")


class MalformedAnswer(Exception):
    """The gateway answered with something that is no response."""


@dataclass
class Answer:
    """A response."""

    status: int
    fields: dict[str, str]
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    is_whole: bool = True
    raw_head: bytes = b""


class Client:
    """One connection to the gateway.

    Args:
        port: The gateway's port.
        timeout_s: Seconds to wait for anything.
    """

    def __init__(self, port: int, timeout_s: float = 1.5) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.is_closed_by_peer = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self) -> bool:
        """Read more; returns whether there was any."""
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        if not data:
            self.is_closed_by_peer = True
        return bool(data)

    def read_to_end(self) -> bytes:
        """Read until the gateway closes the connection; returns everything that was not consumed yet."""
        while self.receive():
            pass
        return self.buffer

    def read_answer(self, method: str = "GET") -> Answer:
        """Read one response, interim ones too; it is marked if the connection ended within its body."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.receive():
                raise MalformedAnswer(f"the connection ended after {self.buffer[:200]!r}")
        raw_head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        answer = _parse_head(raw_head)
        if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
            return answer
        if answer.fields.get("transfer-encoding") == "chunked":
            self._read_chunks(answer)
        elif "content-length" in answer.fields:
            length = int(answer.fields["content-length"])
            while len(self.buffer) < length and self.receive():
                pass
            answer.body, self.buffer = self.buffer[:length], self.buffer[length:]
            answer.is_whole = len(answer.body) == length
        else:
            answer.body, self.buffer = self.read_to_end(), b""
        return answer

    def _read_chunks(self, answer: Answer) -> None:
        while True:
            size_line = self._read_line()
            if size_line is None:
                answer.is_whole = False
                return
            size = int(size_line, 16)
            if not size:
                break
            while len(self.buffer) < size + 2 and self.receive():
                pass
            answer.body += self.buffer[:size]
            if len(self.buffer) < size + 2:
                answer.is_whole = False
                return
            if self.buffer[size : size + 2] != b"\r\n":
                raise MalformedAnswer("a chunk without CRLF behind it")
            self.buffer = self.buffer[size + 2 :]
        while line := self._read_line():
            name, _, value = line.decode("latin-1").partition(":")
            answer.trailers[name.lower()] = value.strip()

    def _read_line(self) -> bytes | None:
        while b"\r\n" not in self.buffer:
            if not self.receive():
                return None
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def ask(self, data: bytes, method: str = "GET") -> Answer:
        """Send a request and read its answer."""
        self.send(data)
        return self.read_answer(method)


def _parse_head(raw_head: bytes) -> Answer:
    status_line, *lines = raw_head.split(b"\r\n")
    match = _STATUS_LINE.fullmatch(status_line)
    if match is None:
        raise MalformedAnswer(f"status line {status_line[:80]!r}")
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise MalformedAnswer(f"field line {line[:80]!r}")
        name = name.lower()
        if name in ("content-length", "transfer-encoding") and name in fields:
            raise MalformedAnswer(f"{name} twice")
        fields[name] = f"{fields[name]}, {value.strip()}" if name in fields else value.strip()
    if "content-length" in fields and "transfer-encoding" in fields:
        raise MalformedAnswer("Content-Length with Transfer-Encoding")
    return Answer(int(match[1]), fields, raw_head=raw_head)


def send_pieces(client: Client, pieces: Iterable[bytes]) -> None:
    """Send pieces so that they arrive one by one; stop quietly when the gateway does not want more."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for piece in pieces:
            client.send(piece)
            time.sleep(PIECE_PAUSE_S)


def cut_at(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut data at places, which are in order."""
    bounds = [0, *places, len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]
