"""Plays a case of Autobahn against a service, as Autobahn's fuzzing client does, and tells how the case judged it.

``Fuzzer`` is what a case calls its protocol: it sends what the case says, right or wrong, hands it what comes, and
knows who closed, failed and dropped the connection, which the case judges by. What it does when is that of Autobahn
0.10.9 with the fuzzing client's options: a failed connection is closed with a close frame (``failByDrop`` is false), an
answer to a close is 1000, and the service has a second to answer a close, and one to drop the connection. Compared with
that client on Python 2.7, the verdicts are the same: of 256 cases of all sections against a service that does well, and
of 27 cases against each of nine that do wrong.
"""
# ruff: noqa: N802, N803, N815 - the names that cases call

from __future__ import annotations

import asyncio
import base64
import codecs
import hashlib
import os
import zlib
from collections import Counter, deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from tests.conformance.autobahn import deflate, frames
from tests.conformance.autobahn.protocol import State, WebSocketProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
HANDSHAKE_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 1.0
DROP_TIMEOUT_S = 1.0
PASSING = frozenset({"OK", "NON-STRICT", "INFORMATIONAL"})
"""What Autobahn does not count as a failure."""


class Case(Protocol):
    """What a case has."""

    behavior: str
    behaviorClose: str
    result: str
    resultClose: str

    def __init__(self, protocol: Fuzzer) -> None: ...
    def onOpen(self) -> None: ...
    def onMessage(self, msg: str, binary: bool) -> None: ...  # noqa: FBT001 - Autobahn's signature
    def onPong(self, payload: str) -> None: ...
    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None: ...  # noqa: FBT001 - Autobahn's
    def onConnectionLost(self, failedByMe: bool) -> None: ...  # noqa: FBT001 - Autobahn's signature


class Verdict(NamedTuple):
    """How a case was judged.

    Attributes:
        behavior: ``OK``, ``NON-STRICT``, ``INFORMATIONAL``, ``UNIMPLEMENTED`` or ``FAILED``.
        behavior_close: The same for how it ended; also ``UNCLEAN``, ``WRONG CODE`` and ``FAILED BY CLIENT``.
        close_code: The code that the service closed with; ``None`` if it sent none.
    """

    behavior: str
    behavior_close: str
    close_code: int | None

    @property
    def is_passing(self) -> bool:
        """Whether Autobahn's report would show neither in red."""
        return {self.behavior, self.behavior_close} <= PASSING


async def play(kind: type[Case], host: str, port: int, *, pace: float = 1.0, messages: int | None = None) -> Verdict:
    """Play a case.

    Args:
        kind: The case's class.
        host: The service's host.
        port: The service's port.
        pace: What every wait of the case is multiplied with: more for busy machines, less where nothing is to come.
        messages: How many messages a case sends that sends many (sections 9.7, 9.8, 12, 13); ``None`` sends them all.

    Raises:
        OSError: If the service cannot be reached.
        Exception: Whatever the case or the fuzzer raised, which is a fault of theirs and no verdict.
    """
    fuzzer = Fuzzer(host, port, pace)
    fuzzer.case = case = kind(fuzzer)
    if messages is not None and hasattr(case, "COUNT"):
        case.COUNT = messages
    await asyncio.get_running_loop().create_connection(lambda: fuzzer, host, port)
    await fuzzer.finished
    return Verdict(case.behavior, case.behaviorClose, fuzzer.remoteCloseCode)


class Fuzzer(asyncio.Protocol, WebSocketProtocol):
    """The client's end of one connection, as a case sees it."""

    case: Case
    transport: asyncio.Transport

    def __init__(self, host: str, port: int, pace: float) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._authority = f"{host}:{port}"
        self._pace = pace
        self._fault: Exception | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._key = base64.b64encode(os.urandom(16))
        self._set_what_cases_set()
        self._set_what_cases_read()
        self._set_receiving()
        self._unsent: deque[bytes] = deque()  # what is sent piece by piece
        self._is_sending = False
        self._frame_left = 0  # of the frame that is sent as parts
        self._frame_key = b""

    def _set_what_cases_set(self) -> None:
        self.autoFragmentSize = 0
        self.createWirelog = False
        self.perMessageCompressionOffers: list[deflate.Offer] = []
        self.perMessageCompressionAccept: Callable[[deflate.Response], deflate.Accepted | None] = lambda _: None

    def _set_what_cases_read(self) -> None:
        self.factory = SimpleNamespace(isServer=False)
        self.state = State.CONNECTING
        self.connectionWasOpen = False
        self.closedByMe = False  # the first close frame was the fuzzer's
        self.failedByMe = False  # the fuzzer closed because of what it received, or in the name of a case's deadline
        self.droppedByMe = False  # the fuzzer ended the connection, which is for a service to do
        self.wasClean = False
        self.remoteCloseCode: int | None = None
        self.remoteCloseReason: str | None = None
        self.localCloseReason: str | None = None
        self.trafficStats: None = None
        self.txFrameStats: Counter[int] = Counter()
        self._perMessageCompress: deflate.Deflate | None = None

    def _set_receiving(self) -> None:
        self._received = bytearray()
        self._opcode = 0  # of the message that is being received; 0 outside of messages
        self._is_compressed = False
        self._message: list[bytes] = []
        self._text = codecs.getincrementaldecoder("utf-8")()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._guard(self._ask)

    def data_received(self, data: bytes) -> None:
        """Take what the service sends."""
        self._received += data
        self._guard(self._consume)

    def eof_received(self) -> None:
        """Drop the connection, as the service did; what was not sent to it yet is not waited for."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the case judge."""
        for timer in self._timers:
            timer.cancel()
        self.state = State.CLOSED
        self._guard(self._judge)
        if self._fault:
            self.finished.set_exception(self._fault)
        else:
            self.finished.set_result(None)

    def _judge(self) -> None:
        code, reason = (self.remoteCloseCode, self.remoteCloseReason) if self.wasClean else (1006, "not closed cleanly")
        self.case.onClose(self.wasClean, code, reason)
        self.case.onConnectionLost(self.failedByMe)

    def _guard(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call something of a case; what it raises is told by ``play``, and never makes a verdict."""
        try:
            function(*arguments)
        except Exception as fault:  # noqa: BLE001 - kept, and raised by play
            self._fault = self._fault or fault
            self.transport.abort()

    def _later(self, delay_s: float, function: Callable[..., None], *arguments: Any) -> None:
        """Call something after a while, unless the connection has ended."""
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(delay_s * self._pace, self._if_there, function, *arguments))

    def _if_there(self, function: Callable[..., None], *arguments: Any) -> None:
        if self.state is not State.CLOSED:
            self._guard(function, *arguments)

    # The handshake

    def _ask(self) -> None:
        self._later(HANDSHAKE_TIMEOUT_S, self._give_up_handshake)
        offers = ", ".join(map(str, self.perMessageCompressionOffers))
        lines = ["GET / HTTP/1.1", f"Host: {self._authority}", "Upgrade: WebSocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {self._key.decode()}", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Extensions: {offers}"] if offers else []
        self.transport.write("\r\n".join([*lines, "", ""]).encode())

    def _give_up_handshake(self) -> None:
        if self.state is State.CONNECTING:
            self._drop()

    def _answered(self, head: bytes) -> None:
        """Open the connection, if the answer is one to the handshake (RFC 6455 section 4.1)."""
        status, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        accept = base64.b64encode(hashlib.sha1(self._key + GUID, usedforsecurity=False).digest()).decode()
        is_accepted = (
            status.startswith("HTTP/1.1 101")
            and fields.get("upgrade", "").lower() == "websocket"
            and "upgrade" in (option.strip() for option in fields.get("connection", "").lower().split(","))
            and fields.get("sec-websocket-accept") == accept
            and "sec-websocket-protocol" not in fields
        )
        if not is_accepted or not self._agrees(fields.get("sec-websocket-extensions")):
            self._drop()
            return
        self.state = State.OPEN
        self.connectionWasOpen = True
        self.case.onOpen()

    def _agrees(self, extensions: str | None) -> bool:
        if extensions is None:
            return True
        try:
            response = deflate.parse(extensions)
        except ValueError:
            return False
        accepted = self.perMessageCompressionAccept(response)
        if accepted is None:
            return False
        self._perMessageCompress = deflate.Deflate(accepted.response)
        return True

    # What is received

    def _consume(self) -> None:
        if self.state is State.CONNECTING:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            self._received = rest
            self._answered(bytes(head))
        while self.state in (State.OPEN, State.CLOSING) and (frame := frames.take(self._received)):
            self._frame_received(frame)

    def _frame_received(self, frame: frames.Frame) -> None:
        for rule in self._broken_rules(frame):
            self._fail(self.CLOSE_STATUS_CODE_PROTOCOL_ERROR, rule)
        if self.state is State.CLOSED:
            return
        if frame.opcode == 8:
            self._close_received(frame.payload)
        elif frame.opcode == 9:
            self._ping_received(frame.payload)
        elif frame.opcode == 10:
            self.case.onPong(frame.payload.decode("latin-1"))
        elif not self.failedByMe:
            self._data_received(frame)

    def _broken_rules(self, frame: frames.Frame) -> list[str]:
        """Return which rules of RFC 6455 section 5 a frame breaks."""
        is_control = frame.opcode > 7
        may_be_compressed = self._perMessageCompress is not None and frame.opcode in (1, 2)
        broken = {
            "reserved bits": frame.rsv not in ((0, 4) if may_be_compressed else (0,)),
            "a frame of a service is masked": frame.is_masked,
            "reserved opcode": frame.opcode not in (0, 1, 2, 8, 9, 10),
            "a length that is not minimal": not frame.is_minimal,
            "a control frame in fragments": is_control and not frame.fin,
            "a control frame that is too long": is_control and len(frame.payload) > 125,
            "a close frame with half a code": frame.opcode == 8 and len(frame.payload) == 1,
            "a continuation outside of messages": frame.opcode == 0 and not self._opcode,
            "a message inside a message": frame.opcode in (1, 2) and bool(self._opcode),
        }
        return [rule for rule, is_broken in broken.items() if is_broken]

    def _data_received(self, frame: frames.Frame) -> None:
        if frame.opcode:
            self._opcode, self._is_compressed = frame.opcode, frame.rsv == 4
            self._message.clear()
            self._text.reset()
        self._message.append(frame.payload)
        try:
            if self._opcode == 1 and not self._is_compressed:
                self._text.decode(frame.payload, frame.fin)
            if frame.fin:
                self._message_received()
        except (UnicodeDecodeError, zlib.error) as error:
            self._fail(self.CLOSE_STATUS_CODE_INVALID_PAYLOAD, type(error).__name__)

    def _message_received(self) -> None:
        opcode, self._opcode = self._opcode, 0
        message = b"".join(self._message)
        if self._is_compressed:
            assert self._perMessageCompress is not None
            message = self._perMessageCompress.expand(message)
            if opcode == 1:
                message.decode()
        self.case.onMessage(message.decode("latin-1"), opcode == 2)

    def _ping_received(self, payload: bytes) -> None:
        if self.state is State.OPEN:
            self.sendFrame(10, payload.decode("latin-1"))

    def _close_received(self, payload: bytes) -> None:
        code = int.from_bytes(payload[:2]) if len(payload) > 1 else None
        self.remoteCloseCode = code
        if code is not None and not (code in {*range(1000, 1004), *range(1007, 1012)} or 3000 <= code < 5000):
            self._fail(self.CLOSE_STATUS_CODE_PROTOCOL_ERROR, "a code that may not be sent")
        try:
            self.remoteCloseReason = payload[2:].decode()
        except UnicodeDecodeError:
            self._fail(self.CLOSE_STATUS_CODE_INVALID_PAYLOAD, "a reason that is no text")
        if self.state is State.CLOSED:
            return
        self.wasClean = True
        if self.state is State.OPEN:
            self._send_close(self.CLOSE_STATUS_CODE_NORMAL, None, is_answer=True)
        else:
            self._later(DROP_TIMEOUT_S, self._give_up_drop)

    # The end

    def _fail(self, code: int, reason: str) -> None:
        self.failedByMe = True
        if self.state is State.CLOSING:
            self._drop()
        elif self.state is State.OPEN:
            self._send_close(code, reason, is_answer=False)

    def _send_close(self, code: int | None, reason: str | None, *, is_answer: bool) -> None:
        if self.state is not State.OPEN:
            return
        self.sendFrame(8, ("" if code is None else code.to_bytes(2).decode("latin-1")) + (reason or ""))
        self.state = State.CLOSING
        self.closedByMe = not is_answer
        self.localCloseReason = reason
        if self.closedByMe:
            self._later(CLOSE_TIMEOUT_S, self._give_up_close)

    def _give_up_close(self) -> None:
        if not self.wasClean:
            self._drop()

    def _give_up_drop(self) -> None:
        self.wasClean = False
        self._drop()

    def _drop(self) -> None:
        self.droppedByMe = True
        self.state = State.CLOSED
        self.transport.abort()

    # What cases call

    def continueLater(self, delay: float, fun: Callable[[], None], tag: str | None = None) -> None:
        self._later(delay, fun)

    def killAfter(self, delay: float) -> None:
        self._later(delay, self._fail, self.CLOSE_STATUS_CODE_GOING_AWAY, "Going Away")

    def closeAfter(self, delay: float) -> None:
        self._later(delay, self.sendClose)

    def enableWirelog(self, enable: bool) -> None:  # noqa: FBT001 - Autobahn's signature
        self.createWirelog = enable

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        if code is not None and code != 1000 and not 3000 <= code <= 4999:
            raise ValueError(f"a case closes with {code}, which Autobahn refuses")
        self._send_close(code, reason, is_answer=False)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: str | None = None) -> None:
        self._send_close(code, reasonUtf8, is_answer=False)

    def sendMessage(self, payload: str, isBinary: bool = False, fragmentSize: int | None = None) -> None:  # noqa: FBT001, FBT002 - Autobahn's signature
        """Send a message, compressed if that was agreed, in fragments if there is a size for these."""
        if self.state is not State.OPEN:
            return
        data, opcode, rsv = payload.encode("latin-1"), 2 if isBinary else 1, 0
        if self._perMessageCompress is not None:
            data, rsv = self._perMessageCompress.compress(data), 4
        size = fragmentSize or self.autoFragmentSize or len(data)
        if len(data) <= size:
            self._send_frame(opcode, data, rsv=rsv)
            return
        # With an empty fragment at the end of what can be divided: Autobahn has it.
        for begin in range(0, len(data) + 1, size):
            is_last = begin + size > len(data)
            self._send_frame(0 if begin else opcode, data[begin : begin + size], fin=is_last, rsv=0 if begin else rsv)

    def sendFrame(
        self,
        opcode: int,
        payload: str = "",
        fin: bool = True,  # noqa: FBT001, FBT002 - Autobahn's signature
        rsv: int = 0,
        payload_len: int | None = None,
        chopsize: int | None = None,
        sync: bool = False,  # noqa: FBT001, FBT002 - Autobahn's signature
    ) -> None:
        """Send a frame, its payload repeated to a length, its bytes in pieces of ``chopsize``."""
        data = payload.encode("latin-1")
        if payload_len is not None:
            data = (data * (payload_len // len(data) + 1))[:payload_len]
        self._send_frame(opcode, data, fin=fin, rsv=rsv, chopsize=chopsize, sync=sync)

    def beginMessage(self) -> None:
        """Begin a text whose first frame is sent as parts; ``beginMessageFrame`` sends the head."""

    def beginMessageFrame(self, length: int) -> None:
        self._frame_left = length
        self._frame_key = os.urandom(4)
        self._send(frames.head(1, length, self._frame_key, fin=False, rsv=0))

    def sendMessageFrameData(self, payload: str) -> None:
        if self.state is State.OPEN:
            data = payload.encode("latin-1")[: self._frame_left]
            self._send(frames.masked(data, self._frame_key))
            self._frame_left -= len(data)
            turn = len(data) % 4
            self._frame_key = self._frame_key[turn:] + self._frame_key[:turn]

    def endMessage(self) -> None:
        if self.state is State.OPEN:
            self.sendFrame(0)

    # How it is sent

    def _send_frame(
        self,
        opcode: int,
        data: bytes,
        *,
        fin: bool = True,
        rsv: int = 0,
        chopsize: int | None = None,
        sync: bool = False,
    ) -> None:
        key = os.urandom(4)
        self.txFrameStats[opcode] += 1
        self._send(
            frames.head(opcode, len(data), key, fin=fin, rsv=rsv) + frames.masked(data, key), chopsize, sync=sync
        )

    def _send(self, data: bytes, chopsize: int | None = None, *, sync: bool = False) -> None:
        """Send bytes: in pieces, each in a turn of the event loop of its own; or behind what is sent so; or now."""
        if chopsize:
            self._unsent.extend(data[at : at + chopsize] for at in range(0, len(data), chopsize))
        elif sync or self._unsent:
            self._unsent.append(data)
        else:
            self.transport.write(data)
        if self._unsent and not self._is_sending:
            self._is_sending = True
            self._send_next()

    def _send_next(self) -> None:
        if not self._unsent:
            self._is_sending = False
            return
        data = self._unsent.popleft()
        if self.state is not State.CLOSED:
            self.transport.write(data)
        asyncio.get_running_loop().call_soon(self._send_next)
