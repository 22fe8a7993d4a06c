"""Bodies of requests, out of whatever pieces they arrive in, as fast as somebody reads them (RFC 9112 section 6)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError
from gateway_http.chunked import ChunkedDecoder, TrailersTooLarge
from gateway_http.fields import Malformed
from gateway_http.response_sending import ResponseSender

if TYPE_CHECKING:
    from gateway import Request
    from gateway_http.adapter import HttpAdapter
    from gateway_http.fields import Pairs
    from gateway_http.request_fields import RequestFields

__all__ = ["BodyReceiver", "malformed"]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class BodyReceiver(ResponseSender):
    """Reads bodies of requests, and is their producer.

    Args:
        adapter: The adapter it belongs to: limits and time-outs.
    """

    __slots__ = ("_body_bytes", "_decoder", "_drops_input", "_is_continue_due", "_remaining")

    def __init__(self, adapter: HttpAdapter) -> None:
        super().__init__(adapter)
        self._drops_input = False
        # Per request body that arrives in pieces.
        self._decoder: ChunkedDecoder | None = None
        self._remaining = 0
        self._body_bytes = 0
        self._is_continue_due = False

    def _begin_body(self, request: Request, fields: RequestFields) -> None:
        """Begin to read a body that is not here whole, or is chunked.

        Raises:
            GatewayError: If it is refused.
        """
        length = fields.content_length
        self._body_bytes = 0
        if length is None:
            self._decoder = ChunkedDecoder(self._adapter.max_header_bytes, self._adapter.max_headers)
        elif length > self._adapter.max_request_size:
            raise self._too_large_body()
        else:
            self._decoder, self._remaining = None, length
        received, self._received = self._received, b""
        content, is_complete = self._decode(received)
        if is_complete and not self._trailers():
            request.body = content
            return
        body = request.body = Body(self, length)
        if content:
            body.feed(content)
        if is_complete:
            body.end(self._trailers())
            return
        self._request_body = body
        self._is_continue_due = fields.expects_continue and not received and request.http_version == "1.1"
        self.deadline_s = time.monotonic() + self._adapter.read_timeout_s
        if self._is_continue_due:
            # The body is wanted when somebody reads it: only then the client is told to go on.
            body.pause()

    def _receive_body(self, body: Body, data: bytes) -> None:
        """Pass on the next piece of a body."""
        self.deadline_s = time.monotonic() + self._adapter.read_timeout_s
        if self._is_continue_due:
            # It did not wait to be told; but nobody wants the body yet.
            self._is_continue_due = False
            self._pause_reading()
        try:
            content, is_complete = self._decode(data)
        except GatewayError as error:
            self._spoil(error)
            return
        if is_complete:
            self._request_body = None
        if content:
            body.feed(content)
        if is_complete:
            if self._received:
                self._pause_reading()
            else:
                self._resume_reading()  # to notice if the client goes
            body.end(self._trailers())

    def _decode(self, data: bytes) -> tuple[bytes, bool]:
        """Return the content in ``data``, and whether the body ends with it; what follows is in ``_received`` then.

        Raises:
            GatewayError: If the body is malformed or too large.
        """
        decoder = self._decoder
        if decoder is None:
            content, self._received = data[: self._remaining], data[self._remaining :]
            self._remaining -= len(content)
            return content, not self._remaining
        try:
            content = decoder.decode(data)
        except Malformed as error:
            raise malformed(error) from error
        except TrailersTooLarge as error:
            raise GatewayError(ErrorType.HEADERS_TOO_LARGE, "the request has too many trailer fields") from error
        self._body_bytes += len(content)
        if self._body_bytes + decoder.remaining > self._adapter.max_request_size:
            raise self._too_large_body()
        self._received = decoder.rest
        return content, decoder.is_complete

    def _trailers(self) -> Pairs:
        return self._decoder.trailers if self._decoder is not None else []

    def _spoil(self, error: GatewayError) -> None:
        """The body cannot be read to its end: whoever reads it is told so, and the connection is closed."""
        self._drop_input()
        body, self._request_body = self._request_body, None
        if body is not None:
            body.fail(error)

    def _too_large_body(self) -> GatewayError:
        limit = self._adapter.max_request_size
        return GatewayError(ErrorType.PAYLOAD_TOO_LARGE, f"the request body is larger than {limit} bytes")

    # gateway.body.BodyProducer.

    def pause_body(self) -> None:
        """Read no more of the body for now."""
        if not self._is_continue_due:
            self._pause_reading()

    def resume_body(self) -> None:
        """Read on; the client is told to go on if it waits for that."""
        self.deadline_s = time.monotonic() + self._adapter.read_timeout_s
        if self._is_continue_due:
            self._is_continue_due = False
            self._write_now(_CONTINUE)
        else:
            self._resume_reading()

    def abort_body(self) -> None:
        """Nobody reads the rest of the body, and it is in the way: close after the answer."""
        self._request_body = None
        self._drop_input()

    # The connection.

    def _pause_reading(self) -> None:
        if not self._is_reading_paused and not self._is_lost:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def _drop_input(self) -> None:
        """Answer, then close: what the client sends from here on is no request, or cannot be told from one."""
        self._received = b""
        self._drops_input = True
        self._close_after_answer()


def malformed(error: Malformed) -> GatewayError:
    """Return the refusal of what is not in order."""
    return GatewayError(ErrorType.BAD_REQUEST, "the request is malformed", detail=f"malformed request: {error}")
