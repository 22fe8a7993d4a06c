"""How many long-lived connections are open, and how many may be: for WebSockets, streams and their likes.

Requests are bounded by limiters, which know rates; what stays open for hours is counted instead.
"""

from __future__ import annotations

from collections import Counter

from gateway.errors import ErrorType, GatewayError

__all__ = ["ConnectionCounts"]

RETRY_AFTER = ((b"retry-after", b"1"),)
"""Seconds. Nobody knows when a place becomes free; without the field, clients would try again at once."""


class ConnectionCounts:
    """Counts what is open, in all and for each client address. Used from one event loop.

    Attributes:
        total: How many are open.
    """

    __slots__ = ("_per_client", "total")

    def __init__(self) -> None:
        self.total = 0
        self._per_client: Counter[str] = Counter()

    def check(self, client: str, *, max_count: int = 0, max_per_client: int = 0) -> None:
        """See whether there is room for one more; it does not count yet.

        Args:
            client: The address of the client.
            max_count: The most in all; 0 is no limit.
            max_per_client: The most of one client; 0 is no limit.

        Raises:
            GatewayError: ``unavailable`` if there are too many in all, ``rate_limit`` if there are of this client.
        """
        if max_count and self.total >= max_count:
            raise GatewayError(ErrorType.UNAVAILABLE, "too many connections", headers=RETRY_AFTER)
        if max_per_client and self._per_client[client] >= max_per_client:
            raise GatewayError(ErrorType.RATE_LIMIT, "too many connections", headers=RETRY_AFTER)

    def add(self, client: str) -> None:
        """Count one more."""
        self.total += 1
        self._per_client[client] += 1

    def remove(self, client: str) -> None:
        """Count one less; one that was added."""
        self.total -= 1
        self._per_client[client] -= 1
        if not self._per_client[client]:
            del self._per_client[client]
