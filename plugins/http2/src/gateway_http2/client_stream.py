"""One request of a client and its response: a stream, and everything the gateway wants of it.

```
headers_received ─▶ [data_received …] ─▶ Exchange ─▶ serve ─▶ … ─▶ respond ─▶ [body_data … body_end] ─▶ sending_ended
```

A body that is whole when the turn ends in which its request came is ``bytes``; others stream. What streams is
acknowledged to the client as it is taken, so that a client cannot send more than the service takes.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, cast

from gateway import Body, ErrorType, Exchange, GatewayError, Headers, Request, Response
from gateway.semantics import NO_CONTENT, count_forwards, new_request_id
from gateway_http2.client_tunnel import ClientTunnel
from gateway_http2.engine import ErrorCode, Stream, StreamFault, literal
from gateway_http2.request_fields import RequestFields, read_trailers
from gateway_http2.response_head import content_length_field, request_id_field, response_fields, sendable_trailers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_http2.client_connection import ClientConnection
    from gateway_http2.engine import HeaderBlock

__all__ = ["ClientStream"]

FIRST_FINAL_STATUS = 200


class ClientStream(Stream):
    """A stream of a client; the responder of its exchange, the source of its request and the sink of its response.

    Args:
        connection: The connection it belongs to.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_early",
        "_exchange",
        "_fields",
        "_held_bytes",
        "_is_continue_due",
        "_is_held",
        "_mark",
        "_read_timeout_s",
        "_received_bytes",
        "_response_body",
        "_since_s",
        "_tunnel",
    )

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__()
        self._connection = connection
        self._fields: RequestFields | None = None
        self._exchange: Exchange | None = None
        # The request's body.
        self._early: list[bytes] | None = None  # what came of it in the turn of its request
        self._body: Body | None = None
        self._received_bytes = 0
        self._is_continue_due = False
        self._is_held = False  # nobody takes it for now
        self._held_bytes = 0
        self._read_timeout_s = connection.limits.read_timeout_s
        # The response.
        self._response_body: Body | None = None
        self._tunnel: ClientTunnel | None = None
        # What was seen of the client when it was looked at, and when that was.
        self._mark = (0, 0)
        self._since_s = math.inf

    # gateway_http2.engine.Stream: the request.

    def headers_received(self, block: HeaderBlock, is_end: bool) -> None:  # noqa: FBT001 - as the engine has it
        """Begin, or end with trailers."""
        if self._fields is not None:
            self._take_trailers(block, is_end=is_end)
            return
        connection = self._connection
        fields = cast("RequestFields | None", block.meaning) or connection.read_fields(block)
        self._fields = fields
        if is_end:
            if fields.content_length:
                raise _not_as_long()
            self._serve(b"")
            return
        self._early = []
        if fields.upgrade is None:
            connection.await_body(self)
        else:
            # What follows is no body, but what goes through the tunnel when there is one.
            self._serve(b"")

    def data_received(self, data: bytes, is_end: bool) -> None:  # noqa: FBT001 - as the engine has it
        """Take the next piece of the body."""
        fields = self._fields
        assert fields is not None  # noqa: S101 - the engine tells of a header block first
        self._received_bytes += len(data)
        expected = fields.content_length
        if expected is not None and (self._received_bytes > expected or (is_end and self._received_bytes < expected)):
            raise _not_as_long()
        if self._early is not None:
            self._early.append(data)
            if is_end and fields.upgrade is None:
                self._serve_whole(b"".join(self._early))
            return
        if self._tunnel is not None:
            self._tunnel.data_received(data, is_end=is_end)
            return
        self._take_piece(data, is_end=is_end)

    def _take_piece(self, data: bytes, *, is_end: bool) -> None:
        connection, body = self._connection, self._body
        if body is None or self._received_bytes > connection.limits.max_request_bytes:
            self._drop(len(data))
            if body is not None:
                self._body = None
                body.fail(self._too_large())
            return
        if self._is_held:
            self._held_bytes += len(data)
        else:
            connection.engine.acknowledge(self, len(data))
        if is_end:
            self._body = None
        if data:
            body.feed(data)
        if is_end:
            body.end()

    def _take_trailers(self, block: HeaderBlock, *, is_end: bool) -> None:
        fields = self._fields
        expected = fields.content_length if fields is not None else None
        if not is_end:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "malformed message: a second header block that is not the end")
        if block.is_too_large:
            raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, "too many trailer fields")
        trailers = read_trailers(block)
        if expected is not None and self._received_bytes != expected:
            raise _not_as_long()
        if self._early is not None and self._exchange is None:
            if not trailers:
                self._serve_whole(b"".join(self._early))
                return
            self.begin_streaming()
        if self._tunnel is not None:
            self._tunnel.data_received(b"", is_end=True)
        body, self._body = self._body, None
        if body is not None:
            body.end(trailers)

    def take_early(self) -> bytes:
        """Return what came before the tunnel was there."""
        early, self._early = self._early, None
        return b"".join(early or ())

    def begin_streaming(self) -> None:
        """Serve the request while its body is on its way."""
        early, self._early = self._early, None
        if early is None:
            return
        fields = self._fields
        assert fields is not None  # noqa: S101 - set when the request began
        body = self._body = Body(self, fields.content_length)
        self._is_continue_due = fields.expects_continue and not early
        # Nothing is acknowledged before somebody reads it.
        body.pause()
        received = b"".join(early)
        self._held_bytes = len(received)
        limit = self._connection.limits.max_request_bytes
        if max(fields.content_length or 0, len(received)) > limit:
            self._body = None
            self._refuse(self._request(fields, b""), self._too_large())
            return
        if received:
            body.feed(received)
        self._serve(body)

    def _serve_whole(self, content: bytes) -> None:
        fields = self._fields
        assert fields is not None  # noqa: S101 - set when the request began
        self._early = None
        self._connection.engine.acknowledge(self, len(content))
        if len(content) > self._connection.limits.max_request_bytes:
            self._refuse(self._request(fields, b""), self._too_large())
        else:
            self._serve(content)

    def _serve(self, body: bytes | Body) -> None:
        fields = self._fields
        assert fields is not None  # noqa: S101 - set when the request began
        request = self._request(fields, body)
        if fields.fault is not None:
            self._refuse(request, fields.fault)
            return
        exchange = self._exchange = Exchange(request, self)
        if fields.method in ("OPTIONS", "TRACE"):
            try:
                is_for_us = fields.path == "*" or count_forwards(request)
            except GatewayError as error:
                self._connection.refuse(exchange, error)
                return
            if is_for_us:
                # It asks about the gateway itself (RFC 9110 section 9.3.7).
                exchange.response = Response()
                self.respond(exchange, exchange.response)
                return
        self._connection.serve(exchange)

    def _request(self, fields: RequestFields, body: bytes | Body) -> Request:
        # The constructors' keyword arguments cost more than all of this: set the attributes instead.
        request = Request.__new__(Request)
        request.method, request.path, request.query = fields.method, fields.path, fields.query
        request.headers = Headers.shared(fields.shared)
        request.body = body
        request.origin = fields.origin
        request.id = fields.request_id or new_request_id()
        request.upgrade = fields.upgrade
        if fields.upgrade is not None:
            ClientTunnel.prepare(request)
        return request

    def _refuse(self, request: Request, error: GatewayError) -> None:
        exchange = self._exchange = Exchange(request, self)
        body, self._body = self._body, None
        if body is not None:
            body.abort()
        self._connection.refuse(exchange, error)

    def _too_large(self) -> GatewayError:
        limit = self._connection.limits.max_request_bytes
        return GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the request body is larger than {limit} bytes")

    def _drop(self, size: int) -> None:
        """Let content go that nobody wants; the stream's window stays used up, the connection's does not."""
        self._connection.engine.acknowledge(self, size)

    # gateway_http2.engine.Stream: its end, and back-pressure.

    def reset_received(self, code: ErrorCode | int, *, is_ours: bool) -> None:
        """The client gave up, or broke the rules."""
        if is_ours:
            self.lose(StreamFault(ErrorCode(code), "the client broke the rules of HTTP/2"))
        else:
            self.lose(ConnectionResetError(f"the client gave the request up (code {code})"))
        self._connection.stream_ended()

    def lose(self, error: Exception) -> None:
        """The stream is gone."""
        body, self._body, self._early = self._body, None, None
        if body is not None:
            body.fail(error)
        if self._tunnel is not None:
            self._tunnel.lost(error)
            return
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        response_body, self._response_body = self._response_body, None
        if exchange.response is None:
            exchange.cancel()
        elif response_body is not None:
            response_body.abort()
        exchange.finish(self.sent_bytes, error)

    def sending_blocked(self) -> None:
        """The client takes no more for now."""
        self.note(self._connection.limits.write_timeout_s)
        if self._response_body is not None:
            self._response_body.pause()
        elif self._tunnel is not None:
            self._tunnel.pause()

    def sending_open(self) -> None:
        """The client takes more."""
        if self._connection.engine.is_held:
            return
        if self._response_body is not None:
            self._response_body.resume()
        elif self._tunnel is not None:
            self._tunnel.resume()

    def sending_ended(self) -> None:
        """The response has left."""
        if self._tunnel is not None:
            self._tunnel.sending_ended()
            return
        exchange, self._exchange = self._exchange, None
        if self.is_receiving:
            # Answered before it was read: the client need not send the rest (RFC 9113 section 8.1).
            self._connection.engine.reset(self.id, ErrorCode.NO_ERROR)
            body, self._body = self._body, None
            if body is not None:
                body.fail(GatewayError(ErrorType.BAD_REQUEST, "the response was sent before the request was read"))
        self._connection.stream_ended()
        if exchange is not None:
            exchange.finish(self.sent_bytes)

    def look(self, now_s: float) -> float:
        """Act if the client is too slow; returns when to look again."""
        limits = self._connection.limits
        if self.is_waiting and not self._connection.engine.is_held:
            timeout_s = limits.write_timeout_s
        elif self._body is not None and not self._is_held:
            timeout_s = self._read_timeout_s
        elif self._tunnel is not None and self._tunnel.is_half_closed:
            timeout_s = limits.idle_timeout_s
        else:
            return math.inf
        mark = (self._received_bytes, self.sent_bytes)
        if mark != self._mark or self._since_s == math.inf:
            self._mark, self._since_s = mark, now_s
        elif self._since_s + timeout_s <= now_s:
            self._give_up()
            return math.inf
        return self._since_s + timeout_s

    def note(self, timeout_s: float) -> None:
        """Remember that it is for the client to do something now."""
        self._mark, self._since_s = (self._received_bytes, self.sent_bytes), time.monotonic()
        self._connection.look_in(timeout_s)

    def _give_up(self) -> None:
        body = self._body
        if body is not None and not self._is_held and not self.is_waiting:
            self._body = None
            body.fail(GatewayError(ErrorType.TIMEOUT, "the request body took too long to arrive"))
            return
        self._connection.engine.reset(self.id, ErrorCode.CANCEL)
        self.lose(TimeoutError("the client did nothing for too long"))
        self._connection.stream_ended()

    # gateway.body.BodyProducer: the request body.

    def pause_body(self) -> None:
        """Acknowledge no more of the body for now."""
        self._is_held = True

    def resume_body(self) -> None:
        """Let the client send more; it is told to go on if it waits for that."""
        self._is_held = False
        held, self._held_bytes = self._held_bytes, 0
        if held and self.id:
            self._connection.engine.acknowledge(self, held)
        if self._body is None:
            return
        if self._is_continue_due:
            self._is_continue_due = False
            self._send_head(100, ())
        self.note(self._read_timeout_s)

    def set_idle_timeout(self, timeout_s: float | None) -> None:
        """Allow the client so much silence in this body; ``None`` is as much as it likes."""
        self._read_timeout_s = math.inf if timeout_s is None else timeout_s

    def abort_body(self) -> None:
        """Nobody reads the rest of the body: it is dropped until the response is there."""
        self._body = None
        held, self._held_bytes = self._held_bytes, 0
        self._drop(held)

    # gateway.exchange.Responder.

    def inform(self, exchange: Exchange, status: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Send an interim response (RFC 9110 section 15.2)."""
        if exchange is self._exchange and exchange.response is None:
            self._send_head(status, tuple(pairs))

    def _send_head(self, status: int, pairs: tuple[tuple[bytes, bytes], ...]) -> None:
        engine = self._connection.engine
        engine.send_headers(self, engine.encoder.encode(((b":status", b"%d" % status), *pairs)))

    def respond(self, exchange: Exchange, response: Response) -> None:
        """Send the answer."""
        if exchange is not self._exchange or not self.is_sending:
            response.discard()
            return
        status, body, request = response.status, response.body, exchange.request
        if response.tunnel is not None:
            self._tunnel = ClientTunnel(self, self._connection, exchange, response.tunnel)
            self._exchange = None
            self._tunnel.begin(response)
            return
        if status < FIRST_FINAL_STATUS:
            response.discard()
            self._cut(ValueError(f"status {status} is no final answer"))
            return
        engine = self._connection.engine
        has_content = request.method != "HEAD" and status not in NO_CONTENT
        fields = response_fields(status, response.headers)
        block = engine.encoder.encode(fields) + request_id_field(request.id)
        if not has_content:
            length = _length_without_content(response)
            response.discard()
            engine.send_headers(self, block + length, is_end=True)
        elif type(body) is bytes:
            block += content_length_field(len(body))
            engine.send_headers(self, block, is_end=not body)
            if body:
                engine.send_data(self, body, is_end=True)
        else:
            self._respond_streaming(block, cast("Body", body))

    def _respond_streaming(self, block: bytes, body: Body) -> None:
        if body.length is not None:
            block += content_length_field(body.length)
        engine = self._connection.engine
        engine.send_headers(self, block)
        self._response_body = body
        if engine.is_held:
            body.pause()
        body.attach(self)

    # gateway.body.BodySink: the response body.

    def body_data(self, chunk: bytes) -> None:
        """Send the next piece."""
        self._connection.engine.send_data(self, chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the end."""
        body, self._response_body = self._response_body, None
        if body is not None and body.length is not None and body.length != body.received_bytes:
            # Too short or too long for what was promised: a whole response it must not look like.
            self._cut(ConnectionError(f"the body has {body.received_bytes} bytes instead of {body.length}"))
            return
        self._connection.engine.send_trailers(self, sendable_trailers(trailers) if trailers else ())

    def body_error(self, error: Exception) -> None:
        """Reset the stream: a response that is not whole must not look as if it were."""
        self._response_body = None
        self._cut(error)

    def _cut(self, error: Exception) -> None:
        self._connection.engine.reset(self.id, ErrorCode.INTERNAL_ERROR)
        self.lose(error)
        self._connection.stream_ended()


def _not_as_long() -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, "malformed message: the body is not as long as Content-Length says")


def _length_without_content(response: Response) -> bytes:
    """Return the field that says how long the content would be that a HEAD or a condition spared (RFC 9110 8.6)."""
    if response.status == 204:
        return b""
    length = response.headers.get("content-length")
    if length is None and isinstance(response.body, bytes) and response.body:
        length = str(len(response.body))
    return literal(b"content-length", length.encode()) if length is not None and length.isdigit() else b""
