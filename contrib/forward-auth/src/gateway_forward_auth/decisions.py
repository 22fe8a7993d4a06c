"""What was allowed lately."""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway import Request
    from gateway_forward_auth.client import AuthAnswer
    from gateway_forward_auth.config import CacheConfig

__all__ = ["Decisions"]

MAX_ENTRY_BYTES = 8192
"""An answer with more than this in its fields is not remembered: with the number of entries it bounds the memory."""
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?(\d{1,9})\"?")


class Decisions:
    """Answers that let pass, least recently used first to go. Refusals are not remembered: they carry state for one.

    Keys are digests, so that no credential stays in memory longer than its request.

    Args:
        config: The block ``cache``.
        clock: Monotonic seconds.
    """

    def __init__(self, config: CacheConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[float, AuthAnswer]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def key(self, request: Request, sent: list[tuple[bytes, bytes]]) -> bytes:
        """Return what a decision about ``request`` is remembered by.

        Args:
            request: The request.
            sent: The fields of the client that the service sees.
        """
        by = self._config.by
        parts = [
            request.method if "method" in by else "",
            f"{request.scheme}://{request.host}" if "host" in by else "",
            request.path if "path" in by else "",
            request.query if "query" in by else "",
            request.client if "client" in by else "",
        ]
        digest = hashlib.sha256()
        for part in (*(each.encode("utf-8", "surrogateescape") for each in parts), *(e for pair in sent for e in pair)):
            # With its length, so that no two requests are the same text.
            digest.update(b"%d:" % len(part))
            digest.update(part)
        return digest.digest()

    def find(self, key: bytes) -> AuthAnswer | None:
        """Return the answer that is remembered, if it still holds."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires_s, answer = entry
        if self._clock() >= expires_s:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return answer

    def remember(self, key: bytes, answer: AuthAnswer) -> None:
        """Remember an answer that let pass, unless it forbids that, or sets a cookie."""
        ttl_s = self._ttl_s(answer)
        size = sum(len(name) + len(value) for name, value in answer.pairs)
        if ttl_s <= 0 or size > MAX_ENTRY_BYTES or answer.all(b"set-cookie"):
            return
        self._entries[key] = (self._clock() + ttl_s, answer)
        self._entries.move_to_end(key)
        if len(self._entries) > self._config.max_entries:
            self._entries.popitem(last=False)

    def _ttl_s(self, answer: AuthAnswer) -> float:
        said = b", ".join(answer.all(b"cache-control")).decode("latin-1").lower()
        if "no-store" in said or "no-cache" in said:
            return 0.0
        max_age = _MAX_AGE.search(said)
        return min(self._config.ttl, float(max_age[1])) if max_age else self._config.ttl
