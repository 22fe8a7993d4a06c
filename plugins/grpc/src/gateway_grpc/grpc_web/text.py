"""gRPC-Web in base64: pieces that are encoded each by itself, so padding may stand in the middle (gRPC Web)."""

from __future__ import annotations

import base64
import binascii

__all__ = ["TextDecoder"]

GROUP = 4
"""Characters that stand for up to three bytes (RFC 4648 section 4)."""


class TextDecoder:
    """Decodes a stream of base64."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def is_between(self) -> bool:
        """Whether nothing is left that needs more."""
        return not self._rest

    def take(self, text: bytes) -> bytes:
        """Return the bytes of the next piece, as far as they are known.

        Raises:
            ValueError: If it is not base64.
        """
        text = self._rest + text
        whole = len(text) - len(text) % GROUP
        self._rest = text[whole:]
        decoded = []
        begin = 0
        while begin < whole:
            padding = text.find(b"=", begin, whole)
            end = whole if padding < 0 else padding - padding % GROUP + GROUP
            try:
                decoded.append(base64.b64decode(text[begin:end], validate=True))
            except binascii.Error as error:
                msg = "what was sent is not base64"
                raise ValueError(msg) from error
            begin = end
        return b"".join(decoded)
