"""What the cookie says: which instance, until when; signed."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway import Instance

__all__ = ["TAG_BYTES", "Tokens"]

TAG_BYTES = 12
"""Of an instance: enough for two of ten thousand never to be the same, and nothing of its address."""
_EXPIRY_BYTES = 5
_MAC_BYTES = 16
_LENGTH = TAG_BYTES + _EXPIRY_BYTES + _MAC_BYTES
TOKEN_LENGTH = _LENGTH * 4 // 3
"""In base64, of a number of bytes that needs no padding."""


class Tokens:
    """Makes and reads tokens.

    Args:
        secret: What they are signed with.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def tag(self, instance: Instance) -> bytes:
        """Return what stands for ``instance``, the same wherever the secret is."""
        endpoint = instance.endpoint
        name = f"{instance.service}\0{endpoint.scheme}\0{instance.authority}"
        return hmac.digest(self._secret, b"instance\0" + name.encode(), "sha256")[:TAG_BYTES]

    def make(self, tag: bytes, expires_utc: float) -> str:
        """Return the token for an instance that is good until a Unix time."""
        said = tag + int(expires_utc).to_bytes(_EXPIRY_BYTES, "big")
        return urlsafe_b64encode(said + self._mac(said)).decode()

    def read(self, token: str, now_utc: float) -> tuple[bytes, float] | None:
        """Return the tag and the end of a token; ``None`` if it is none of ours, or over."""
        if len(token) != TOKEN_LENGTH or not token.isascii():
            return None
        try:
            data = urlsafe_b64decode(token)
        except ValueError:
            return None
        said = data[:-_MAC_BYTES]
        if len(data) != _LENGTH or not hmac.compare_digest(self._mac(said), data[-_MAC_BYTES:]):
            return None
        expires_utc = int.from_bytes(said[TAG_BYTES:], "big")
        return (said[:TAG_BYTES], expires_utc) if now_utc < expires_utc else None

    def _mac(self, said: bytes) -> bytes:
        return hmac.digest(self._secret, b"token\0" + said, "sha256")[:_MAC_BYTES]
