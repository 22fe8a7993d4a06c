"""Tokens that were verified and need not be again."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway import Principal

__all__ = ["TokenCache"]

OVERHEAD_BYTES = 1000
"""What an entry takes beside its claims: its key, numbers, the principal and its scopes."""
CLAIMS_FACTOR = 3
"""How much larger claims are as Python objects than in their token.

For a token of 570 bytes, 1.8 KB were measured; this says 2.7 KB, for claims with many small values take more.
"""


class TokenCache:
    """Remembers principals by the SHA-256 of their tokens, the ones that were used last.

    Only tokens whose signature was right get in, so strangers cannot fill it. The hash is kept instead of the token:
    what is in memory can be used nowhere.

    Args:
        max_entries: How many; 0 remembers nothing.
        max_bytes: How much memory they may take, as estimated.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, tuple[Principal, float, float, int]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, digest: bytes, now_utc: float) -> Principal | None:
        """Return the principal of a token; ``None`` if it is not known, or not valid at this time."""
        entry = self._entries.get(digest)
        if entry is None:
            return None
        principal, from_utc, to_utc, size = entry
        if from_utc <= now_utc < to_utc:
            self._entries.move_to_end(digest)
            return principal
        # Verified again, which says what is wrong; a clock may have jumped, too.
        del self._entries[digest]
        self.size_bytes -= size
        return None

    def put(self, digest: bytes, principal: Principal, *, from_utc: float, to_utc: float, token_bytes: int) -> None:
        """Remember the principal of a token.

        Args:
            digest: The SHA-256 of the token.
            principal: Who it names.
            from_utc: When it begins to be valid.
            to_utc: When it ends.
            token_bytes: How long it is.
        """
        size = OVERHEAD_BYTES + CLAIMS_FACTOR * token_bytes
        if digest in self._entries or self._max_entries == 0 or size > self._max_bytes:
            return
        self._entries[digest] = (principal, from_utc, to_utc, size)
        self.size_bytes += size
        while len(self._entries) > self._max_entries or self.size_bytes > self._max_bytes:
            _, (_, _, _, gone) = self._entries.popitem(last=False)
            self.size_bytes -= gone

    def clear(self) -> None:
        """Forget everything, as when a key is withdrawn."""
        self._entries.clear()
        self.size_bytes = 0
