"""permessage-deflate (RFC 7692) of the side of a client, as the cases of sections 12 and 13 offer it.

The names of parameters are those of Autobahn, whose cases make the offers.
"""
# ruff: noqa: N815 - Autobahn's names

from __future__ import annotations

import zlib
from dataclasses import dataclass

NAME = "permessage-deflate"
_TAIL = b"\x00\x00\xff\xff"
"""What is taken off each message (RFC 7692 section 7.2.1)."""


@dataclass(frozen=True)
class Offer:
    """What a client offers.

    Attributes:
        acceptNoContextTakeover: Whether the service may have the client begin anew with each message.
        acceptMaxWindowBits: Whether the service may limit the client's window.
        requestNoContextTakeover: Whether the service is to begin anew with each message.
        requestMaxWindowBits: The service's largest window, 8 to 15; 0 asks for none.
    """

    acceptNoContextTakeover: bool = True
    acceptMaxWindowBits: bool = True
    requestNoContextTakeover: bool = False
    requestMaxWindowBits: int = 0

    def __str__(self) -> str:
        """Return the offer as an element of ``Sec-WebSocket-Extensions``."""
        parts = [NAME]
        if self.acceptNoContextTakeover:
            parts.append("client_no_context_takeover")
        if self.acceptMaxWindowBits:
            parts.append("client_max_window_bits")
        if self.requestNoContextTakeover:
            parts.append("server_no_context_takeover")
        if self.requestMaxWindowBits:
            parts.append(f"server_max_window_bits={self.requestMaxWindowBits}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Response:
    """What a service agreed to; windows in bits."""

    client_max_window_bits: int = zlib.MAX_WBITS
    server_max_window_bits: int = zlib.MAX_WBITS
    client_no_context_takeover: bool = False
    server_no_context_takeover: bool = False


@dataclass(frozen=True)
class Accepted:
    """A response that a case accepts."""

    response: Response


def parse(field: str) -> Response:
    """Read the ``Sec-WebSocket-Extensions`` of a handshake's answer.

    Raises:
        ValueError: If it is anything but one permessage-deflate with parameters of RFC 7692 section 7.1.
    """
    name, *parameters = (part.strip() for part in field.split(";"))
    if name.lower() != NAME:
        raise ValueError(f"an extension that was not offered: {field!r}")
    agreed: dict[str, int | bool] = {}
    for parameter in parameters:
        key, _, value = (part.strip() for part in parameter.lower().partition("="))
        if key in agreed:
            raise ValueError(f"{key} is there twice: {field!r}")
        agreed[key] = _value(key, value.strip('"'), field)
    return Response(**agreed)  # type: ignore[arg-type]  # each value is of the kind that its key says


def _value(key: str, value: str, field: str) -> int | bool:
    if key in ("client_max_window_bits", "server_max_window_bits") and value.isdecimal() and 8 <= int(value) <= 15:
        return int(value)
    if key in ("client_no_context_takeover", "server_no_context_takeover") and not value:
        return True
    raise ValueError(f"{key}={value} is no parameter of permessage-deflate: {field!r}")


class Deflate:
    """Compresses what a client sends, and expands what it receives, message by message."""

    def __init__(self, agreed: Response) -> None:
        self._agreed = agreed
        self._compressor = self._new_compressor()
        self._expander = self._new_expander()

    def _new_compressor(self) -> zlib._Compress:
        return zlib.compressobj(wbits=-self._agreed.client_max_window_bits)

    def _new_expander(self) -> zlib._Decompress:
        return zlib.decompressobj(-self._agreed.server_max_window_bits)

    def compress(self, message: bytes) -> bytes:
        if self._agreed.client_no_context_takeover:
            self._compressor = self._new_compressor()
        return (self._compressor.compress(message) + self._compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)

    def expand(self, payload: bytes) -> bytes:
        """Return a message.

        Raises:
            zlib.error: If the payload was compressed otherwise than agreed.
        """
        if self._agreed.server_no_context_takeover:
            self._expander = self._new_expander()
        return self._expander.decompress(payload) + self._expander.decompress(_TAIL)
