"""The channel between the control plane and a worker: calls both ways over a Unix socket.

A frame is a 4-byte big-endian length and a pickle of ``(kind, number, name or ok, payload)``. Both ends are our own
processes, started from the same code: what arrives is trusted. A listening socket or shared memory travels as a file
descriptor beside its frame (``SCM_RIGHTS``).
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import logging
import os
import pickle
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["Channel", "ChannelClosed", "Handed"]

logger = logging.getLogger("gateway.runtime")

CALL_TIMEOUT_S = 60.0
MAX_OUTGOING_BYTES = 256 * 1024 * 1024
"""What may wait to be sent; a process that takes nothing for so long is as good as dead. Services with ten thousand
instances take about 1 MB."""
_READ_BYTES = 262144
_MAX_DESCRIPTORS = 16
_LENGTH = struct.Struct(">I")


class ChannelClosed(ConnectionError):
    """The process at the other end is gone."""


class HasFileno(Protocol):
    """Anything with a file descriptor."""

    def fileno(self) -> int:
        """Return the file descriptor."""


class Handed:
    """A result with a file descriptor; the receiver gets one of its own, as a number.

    Args:
        file: What has it; stays open here.
    """

    def __init__(self, file: HasFileno) -> None:
        self.file = file


class Channel:
    """One end of the channel. Used from one event loop.

    Handlers begin in the order in which they were called; what they do before they first wait is done in that order.

    Args:
        end: The socket.
        handlers: What the other end may call, by name.
        closed: Called once when the other end is gone, or this end was closed.
    """

    def __init__(
        self,
        end: socket.socket,
        handlers: Mapping[str, Callable[..., Awaitable[Any]]],
        closed: Callable[[], None],
    ) -> None:
        end.setblocking(False)  # noqa: FBT003 - positional only
        self._socket = end
        self._handlers = handlers
        self._closed: Callable[[], None] | None = closed
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._descriptors: deque[int] = deque()
        self._outgoing: deque[tuple[memoryview, HasFileno | None]] = deque()
        self._outgoing_bytes = 0
        self._is_writing = False
        self._numbers = 0
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop.add_reader(end, self._read)

    async def call(self, name: str, *arguments: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:  # noqa: ANN401 - as the handler says
        """Call a handler of the other end and return its result.

        Raises:
            ChannelClosed: If the other end is gone, or goes before it answers.
            TimeoutError: If it does not answer in time.
            Exception: Whatever the handler raised.
        """
        if self._closed is None:
            raise ChannelClosed(name)
        self._numbers += 1
        number = self._numbers
        future: asyncio.Future[Any] = self._loop.create_future()
        self._calls[number] = future
        try:
            self._send(("call", number, name, arguments))
            async with asyncio.timeout(timeout_s):
                return await future
        finally:
            del self._calls[number]

    def tell(self, name: str, *arguments: Any) -> None:  # noqa: ANN401 - as the handler says
        """Call a handler of the other end and do not wait for it."""
        if self._closed is not None:
            self._send(("tell", 0, name, arguments))

    def close(self) -> None:
        """Close this end."""
        if self._closed is None:
            return
        closed, self._closed = self._closed, None
        self._loop.remove_reader(self._socket)
        if self._is_writing:
            self._loop.remove_writer(self._socket)
        self._socket.close()
        self._outgoing.clear()
        while self._descriptors:
            os.close(self._descriptors.popleft())
        for future in self._calls.values():
            if not future.done():
                future.set_exception(ChannelClosed("the other process is gone"))
        closed()

    # Sending.

    def _send(self, frame: tuple[str, int, Any, Any], handed: HasFileno | None = None) -> None:
        data = pickle.dumps(frame)
        self._outgoing.append((memoryview(_LENGTH.pack(len(data)) + data), handed))
        self._outgoing_bytes += _LENGTH.size + len(data)
        if self._outgoing_bytes > MAX_OUTGOING_BYTES:
            logger.error("another process of the gateway takes nothing any more, and is given up")
            self.close()
        elif not self._is_writing:
            self._write()

    def _write(self) -> None:
        while self._outgoing:
            data, handed = self._outgoing[0]
            try:
                if handed is None:
                    sent = self._socket.send(data)
                else:
                    sent = socket.send_fds(self._socket, [data], [handed.fileno()])
            except (BlockingIOError, InterruptedError):
                if not self._is_writing:
                    self._is_writing = True
                    self._loop.add_writer(self._socket, self._write)
                return
            except OSError:
                self.close()
                return
            self._outgoing_bytes -= sent
            if sent == len(data):
                self._outgoing.popleft()
            else:
                # A descriptor went with the first byte.
                self._outgoing[0] = (data[sent:], None)
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self._socket)

    # Receiving.

    def _read(self) -> None:
        try:
            data, ancillary, _, _ = self._socket.recvmsg(_READ_BYTES, socket.CMSG_SPACE(_MAX_DESCRIPTORS * 4))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, ancillary = b"", []
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors = array.array("i")
                descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
                self._descriptors.extend(descriptors)
        if not data:
            self.close()
            return
        self._received += data
        try:
            self._take_frames()
        except Exception:
            # What follows could not be told apart any more.
            logger.exception("another process of the gateway cannot be understood, and is given up")
            self.close()

    def _take_frames(self) -> None:
        while len(self._received) >= _LENGTH.size and self._closed is not None:
            (length,) = _LENGTH.unpack_from(self._received)
            end = _LENGTH.size + length
            if len(self._received) < end:
                return
            with memoryview(self._received) as view:
                frame = pickle.loads(view[_LENGTH.size : end])  # noqa: S301 - our own process wrote it
            del self._received[:end]
            self._take(*frame)

    def _take(self, kind: str, number: int, name: Any, payload: Any) -> None:  # noqa: ANN401 - by kind
        if kind in ("call", "tell"):
            task = self._loop.create_task(self._handle(number, name, payload))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        if kind == "handed":
            payload = self._descriptors.popleft()
            os.set_inheritable(payload, False)  # noqa: FBT003 - positional only
        future = self._calls.get(number)
        if future is None or future.done():
            if kind == "handed":
                os.close(payload)
        elif kind == "raised":
            future.set_exception(payload)
        else:
            future.set_result(payload)

    async def _handle(self, number: int, name: str, arguments: tuple[Any, ...]) -> None:
        """Run a handler; ``number`` is 0 if nobody waits for its result."""
        try:
            result = await self._handlers[name](*arguments)
            if number and self._closed is not None:
                self._answer(number, result)
        except Exception as error:
            if not number:
                logger.exception("%s failed", name)
            elif self._closed is not None:
                self._send(("raised", number, None, _portable(error)))

    def _answer(self, number: int, result: Any) -> None:  # noqa: ANN401 - as the handler says
        if isinstance(result, Handed):
            self._send(("handed", number, None, None), result.file)
        else:
            self._send(("returned", number, None, result))


def _portable(error: Exception) -> Exception:
    """Return ``error`` if it survives the journey, else something that says the same."""
    with contextlib.suppress(Exception):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        if type(copy) is type(error):
            return error
    return RuntimeError(f"{type(error).__name__}: {error}")
