"""A request of gRPC-Web as one of gRPC, and the answer back."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from gateway import Body, ErrorType, GatewayError
from gateway_grpc.content_types import NATIVE, TEXT, WEB
from gateway_grpc.grpc_web.text import TextDecoder
from gateway_grpc.messages import PREFIX
from gateway_grpc.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import Request, Response

__all__ = ["WebCall"]

TRAILERS = 0x80
"""The flag of the last frame, which has the trailers (gRPC Web)."""


class WebCall:
    """What a client of gRPC-Web is answered with.

    Args:
        content_type: Its content type.
        accept: What it takes; empty is the same as it sends.
    """

    __slots__ = ("_is_text", "_sends_text", "content_type")

    def __init__(self, content_type: str, accept: str) -> None:
        name, plus, self_format = content_type.partition("+")
        self._sends_text = name == TEXT
        self._is_text = TEXT in accept or (self._sends_text and WEB not in accept)
        self.content_type = f"{TEXT if self._is_text else WEB}{plus}{self_format}"

    def enter(self, request: Request) -> None:
        """Make a request of gRPC of one of gRPC-Web.

        Raises:
            GatewayError: ``bad_request`` if its body is not what its content type says.
        """
        request.headers.set("content-type", f"{NATIVE}{self.content_type.removeprefix(TEXT).removeprefix(WEB)}")
        request.headers.set("te", "trailers")
        if not self._sends_text:
            return
        body = request.body
        if isinstance(body, Body):
            request.body = _DecodedText(body).body
            return
        decoder = TextDecoder()
        request.body = _decoded(decoder, body)
        _check_end(decoder)

    def leave(self, response: Response) -> None:
        """Make a response of gRPC-Web of one of gRPC."""
        response.headers.set("content-type", self.content_type)
        body = response.body
        if isinstance(body, Body):
            response.body = _WithTrailers(body, is_text=self._is_text).body
        elif self._is_text:
            response.body = base64.b64encode(body)


class _DecodedText(Relay):
    """Decodes the body of a request."""

    __slots__ = ("_decoder",)

    def __init__(self, source: Body) -> None:
        super().__init__(source)
        self._decoder = TextDecoder()

    def body_data(self, chunk: bytes) -> None:
        """Pass on what a piece stands for."""
        try:
            decoded = _decoded(self._decoder, chunk)
        except GatewayError as error:
            self.abort_body()
            self.body.fail(error)
        else:
            self.body.feed(decoded)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Pass the end on, if it is one."""
        try:
            _check_end(self._decoder)
        except GatewayError as error:
            super().body_error(error)
        else:
            super().body_end(())


class _WithTrailers(Relay):
    """Has trailers as the last message of a body, where those who cannot read trailers find them."""

    __slots__ = ("_is_text",)

    def __init__(self, source: Body, *, is_text: bool) -> None:
        super().__init__(source)
        self._is_text = is_text

    def body_data(self, chunk: bytes) -> None:
        """Pass a piece on."""
        self.body.feed(base64.b64encode(chunk) if self._is_text else chunk)

    def body_end(self, trailers: Sequence[tuple[bytes, bytes]]) -> None:
        """Pass the trailers on, and the end."""
        block = b"".join([b"%b: %b\r\n" % pair for pair in trailers])
        self.body_data(PREFIX.pack(TRAILERS, len(block)) + block)
        super().body_end(())


def _decoded(decoder: TextDecoder, text: bytes) -> bytes:
    try:
        return decoder.take(text)
    except ValueError as error:
        raise GatewayError(ErrorType.BAD_REQUEST, str(error)) from None


def _check_end(decoder: TextDecoder) -> None:
    if not decoder.is_between:
        raise GatewayError(ErrorType.BAD_REQUEST, "the base64 that was sent is not whole")
