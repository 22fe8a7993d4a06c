"""One request to an instance and its response: a stream, and everything the gateway wants of it.

```
send ─▶ [request on the wire] ─▶ headers_received ─▶ waiter.set_result(Response) ─▶ [body.feed … body.end]
```

Both ways at once: the response may begin, and end, while the request is still being sent.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, cast

from gateway import Body, ErrorType, GatewayError, Headers, Response, Waiter
from gateway.dialing import too_slow
from gateway.semantics import BODILESS_METHODS, NO_CONTENT
from gateway_http2.engine import ErrorCode, Stream, StreamFault
from gateway_http2.request_fields import read_trailers
from gateway_http2.request_head import request_block
from gateway_http2.response_fields import ResponseFields, read_response_fields
from gateway_http2.response_head import sendable_trailers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Exchange
    from gateway_http2.engine import HeaderBlock
    from gateway_http2.service_connection import ServiceConnection

__all__ = ["ServiceStream", "Unanswered", "bad_gateway"]

MAX_INTERIM_RESPONSES = 16
"""More 1xx responses than this are taken for a service gone wrong."""
CONTINUE = 100
FIRST_FINAL_STATUS = 200


class Unanswered(GatewayError):
    """The connection ended, or the stream was refused, before the response began.

    Args:
        label: How logs call the instance.
        what: What it did.
        is_unsent: Whether it certainly did not look at the request.
        reset_code: The code with which it reset the stream; ``None`` if it did not.
    """

    def __init__(self, label: str, what: str, *, is_unsent: bool = False, reset_code: int | None = None) -> None:
        super().__init__(
            ErrorType.BAD_GATEWAY,
            "the service answered badly",
            detail=f"{label} {what}",
            is_unsent=is_unsent,
            reset_code=reset_code,
        )


def bad_gateway(label: str, what: str, *, reset_code: int | None = None) -> GatewayError:
    """Return the error for an instance that answers badly, or reset the stream with a code."""
    detail = f"{label} {what}"
    return GatewayError(ErrorType.BAD_GATEWAY, "the service answered badly", detail=detail, reset_code=reset_code)


class ServiceStream(Stream):
    """A stream to an instance; the sink of the request's body and the source of the response's.

    Args:
        connection: Its connection, which has room for it.
        exchange: What to send.
        timeout_s: Seconds to the response head, and between pieces of its body.

    Attributes:
        deadline_s: When the instance is given up.
        waiter: Delivers the response, or a ``GatewayError``.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_early",
        "_exchange",
        "_expected_bytes",
        "_fields",
        "_has_content",
        "_held_bytes",
        "_interim_responses",
        "_is_held",
        "_is_over",
        "_received_bytes",
        "_request_body",
        "_timeout_s",
        "deadline_s",
        "waiter",
    )

    def __init__(self, connection: ServiceConnection, exchange: Exchange, timeout_s: float) -> None:
        super().__init__()
        self._connection = connection
        self._exchange = exchange
        self._timeout_s = timeout_s
        self.waiter: Waiter[Response] = Waiter()
        self.deadline_s = math.inf
        self._is_over = False
        self._request_body: Body | None = None
        # The response.
        self._interim_responses = 0
        self._fields: ResponseFields | None = None
        self._early: list[bytes] | None = None  # what came of the body in the turn of its head
        self._body: Body | None = None
        self._expected_bytes: int | None = None
        self._received_bytes = 0
        self._is_held = False
        self._held_bytes = 0

    # The connection's side.

    def send(self) -> None:
        """Send the request."""
        connection, exchange = self._connection, self._exchange
        engine, body = connection.engine, exchange.request.body
        is_streaming = isinstance(body, Body)
        length = body.length if isinstance(body, Body) else len(body)
        if not length and not is_streaming and exchange.request.method in BODILESS_METHODS:
            length = None
        block = request_block(engine.encoder, exchange, connection.pool.instance, connection.scheme, length)
        engine.send_headers(self, block, is_end=not is_streaming and not body)
        if isinstance(body, Body):
            self._request_body = body
            if engine.is_held:
                body.pause()
            # As long as the client is the one who has to send, it is not the instance that is slow.
            body.attach(self)
            return
        if body:
            engine.send_data(self, body, is_end=True)
        self._await_instance()

    def abandon(self) -> None:
        """Nobody wants the response any more."""
        self._end(ErrorCode.CANCEL)

    def time_out(self) -> None:
        """The instance is too slow."""
        self._end(ErrorCode.CANCEL)
        self._deliver(too_slow(self._connection.pool.instance, f"was silent for {self._timeout_s} s"))

    def fail(self, error: GatewayError) -> None:
        """The stream is gone, and with it what is under way."""
        self._end(None)
        self._deliver(error)

    def _deliver(self, error: GatewayError) -> None:
        """Tell whoever waits for the response, or reads it."""
        body, self._body = self._body, None
        if body is not None:
            body.fail(error)
        else:
            self.waiter.set_error(error)

    def _end(self, code: ErrorCode | None) -> None:
        """Be done with the stream; with a code the instance is told that the rest is not wanted."""
        if self._is_over:
            return
        self._is_over = True
        self.deadline_s = math.inf
        body, self._request_body = self._request_body, None
        connection = self._connection
        if code is not None and (self.is_receiving or self.is_sending):
            connection.engine.reset(self.id, code)
        if body is not None:
            body.abort()
        connection.release()

    # gateway.body.BodySink: the request body.

    def body_data(self, chunk: bytes) -> None:
        """Send the next piece."""
        if self._request_body is not None:
            self._connection.engine.send_data(self, chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the end; from now on the instance has to answer."""
        if self._request_body is not None:
            self._request_body = None
            self._connection.engine.send_trailers(self, sendable_trailers(trailers) if trailers else ())
            self._await_instance()

    def body_error(self, error: Exception) -> None:
        """Reset the stream: the service must not take what it has for the whole."""
        if self._request_body is None:
            return
        self._request_body = None
        if not isinstance(error, GatewayError):
            error = GatewayError(ErrorType.BAD_REQUEST, "the request body broke off", detail=f"client: {error}")
        self._end(ErrorCode.CANCEL)
        self._deliver(error)

    # gateway_http2.engine.Stream: back-pressure.

    def sending_blocked(self) -> None:
        """The instance takes no more for now: have the client wait."""
        self._await_instance()
        if self._request_body is not None:
            self._request_body.pause()

    def sending_open(self) -> None:
        """The instance takes more."""
        if self._request_body is not None and not self._connection.engine.is_held:
            if not self.waiter.is_done:
                self.deadline_s = math.inf
            self._request_body.resume()

    def _await_instance(self) -> None:
        """It is for the instance to do something, within its time."""
        if not self._is_over and not self._is_held and self._timeout_s != math.inf:
            self.deadline_s = time.monotonic() + self._timeout_s
            if self.deadline_s < self._connection.deadline_s:
                self._connection.deadline_s = self.deadline_s

    # gateway_http2.engine.Stream: the response.

    def headers_received(self, block: HeaderBlock, is_end: bool) -> None:  # noqa: FBT001 - as the engine has it
        """Take a response's head, an interim one, or trailers."""
        if self._fields is not None:
            self._take_trailers(block, is_end=is_end)
            return
        fields = cast("ResponseFields | None", block.meaning) or read_response_fields(block)
        if fields.status < FIRST_FINAL_STATUS:
            self._inform(fields, is_end=is_end)
            return
        self._fields = fields
        self._expected_bytes = fields.content_length
        if self._exchange.request.method == "HEAD" or fields.status in NO_CONTENT:
            # It has no content, whatever its fields say; they tell of the content it would have.
            self._expected_bytes = 0
        if is_end:
            if self._expected_bytes:
                raise _not_as_long()
            self._respond_whole(b"")
        else:
            self._early = []
            self._connection.await_body(self)

    def _inform(self, fields: ResponseFields, *, is_end: bool) -> None:
        """Pass an interim response on (RFC 9110 section 15.2)."""
        self._interim_responses += 1
        if is_end or self._interim_responses > MAX_INTERIM_RESPONSES:
            raise StreamFault(
                ErrorCode.PROTOCOL_ERROR, "malformed response: too many interim responses, or nothing else"
            )
        if fields.status != CONTINUE:
            # 100 is for us: the client got its own when its body was asked for.
            self._exchange.responder.inform(self._exchange, fields.status, fields.pairs)

    def data_received(self, data: bytes, is_end: bool) -> None:  # noqa: FBT001 - as the engine has it
        """Take the next piece of the body."""
        if self._fields is None:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "malformed response: content before its head")
        self._received_bytes += len(data)
        expected = self._expected_bytes
        if expected is not None and (self._received_bytes > expected or (is_end and self._received_bytes < expected)):
            raise _not_as_long()
        if self._early is not None:
            self._early.append(data)
            if is_end:
                self._respond_whole(b"".join(self._early))
            return
        if self._is_held:
            self._held_bytes += len(data)
        else:
            self._connection.engine.acknowledge(self, len(data))
            self._await_instance()
        body = self._body
        if body is None:
            return
        if data:
            body.feed(data)
        if is_end and self._body is body:
            self._complete(())

    def _take_trailers(self, block: HeaderBlock, *, is_end: bool) -> None:
        if not is_end or block.is_too_large:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "malformed response: a second header block that is not the end")
        trailers = read_trailers(block)
        if self._expected_bytes is not None and self._received_bytes != self._expected_bytes:
            raise _not_as_long()
        if self._early is not None and self._request_body is None:
            self._respond_trailed(trailers)
        else:
            self.begin_streaming()
            self._complete(trailers)

    def begin_streaming(self) -> None:
        """Hand the response over while its body is on its way."""
        early, self._early = self._early, None
        if early is None or self._is_over:
            return
        received = b"".join(early)
        assert self._fields is not None  # noqa: S101 - set when the response began
        body = self._body = Body(self, self._expected_bytes)
        # Nothing is acknowledged before somebody reads it.
        body.pause()
        self._held_bytes = len(received)
        if received:
            body.feed(received)
        self._deliver_response(body)

    def _respond_whole(self, content: bytes) -> None:
        self._early = None
        self._connection.engine.acknowledge(self, len(content))
        self._end(ErrorCode.NO_ERROR)
        self._deliver_response(content)

    def _respond_trailed(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Hand over a response that is here whole, with trailers: a body that is over already."""
        assert self._early is not None  # noqa: S101 - the caller looked
        content, self._early = b"".join(self._early), None
        self._connection.engine.acknowledge(self, len(content))
        self._end(ErrorCode.NO_ERROR)
        body = Body(self, self._expected_bytes)
        if content:
            body.feed(content)
        body.end(trailers)
        self._deliver_response(body)

    def _deliver_response(self, body: bytes | Body) -> None:
        fields = self._fields
        assert fields is not None  # noqa: S101 - set when the response began
        response = Response.__new__(Response)
        response.status = fields.status
        headers = response.headers = Headers.shared(fields.shared)
        if self._expected_bytes == 0 and fields.content_length and fields.status != 204:
            headers.extend([(b"content-length", b"%d" % fields.content_length)])
        response.body = body
        response.tunnel = None
        self.waiter.set_result(response)

    def _complete(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """The response is here whole."""
        body, self._body = self._body, None
        # Answered before it read everything: the rest of the request is not wanted.
        self._end(ErrorCode.NO_ERROR)
        if body is not None:
            body.end(trailers)

    def reset_received(self, code: ErrorCode | int, *, is_ours: bool) -> None:
        """The instance gave up, refused, or broke the rules."""
        label = self._connection.pool.label
        if is_ours:
            self.fail(bad_gateway(label, f"sent a malformed response ({ErrorCode(code).name})"))
        elif self._fields is None:
            # RFC 9113 section 8.7: a refused stream was not looked at.
            is_unsent = code == ErrorCode.REFUSED_STREAM
            what = f"reset the stream (code {code})"
            self.fail(Unanswered(label, what, is_unsent=is_unsent, reset_code=code))
        else:
            what = f"broke off in the middle of the response (code {code})"
            self.fail(bad_gateway(label, what, reset_code=code))

    # gateway.body.BodyProducer: the response body.

    def pause_body(self) -> None:
        """Acknowledge no more for now; the instance cannot be too slow meanwhile."""
        self._is_held = True
        self.deadline_s = math.inf

    def resume_body(self) -> None:
        """Let the instance send more."""
        self._is_held = False
        held, self._held_bytes = self._held_bytes, 0
        if held:
            self._connection.engine.acknowledge(self, held)
        self._await_instance()

    def abort_body(self) -> None:
        """Nobody wants the rest."""
        self._body = None
        self._end(ErrorCode.CANCEL)

    def set_idle_timeout(self, timeout_s: float | None) -> None:
        """Allow the instance so much silence in this body; ``None`` is as much as it likes."""
        self._timeout_s = math.inf if timeout_s is None else timeout_s
        self.deadline_s = math.inf
        self._await_instance()


def _not_as_long() -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, "malformed response: the body is not as long as Content-Length says")
