"""Which hosts a rule is for, and finding what is filed under the host of a request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANY_HOST", "HostIndex", "normalise_host", "parse_host"]

V = TypeVar("V")

ANY_HOST = "*"

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?"
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]+\]")


def parse_host(text: str) -> str:
    """Return the canonical form of a rule's host: lower case, without port and trailing dot.

    Args:
        text: A name or address, ``*.`` and a domain for every name below that domain at any depth, or ``*`` for all.

    Raises:
        ValueError: If it is none of these.
    """
    if text == ANY_HOST:
        return text
    host = normalise_host(text)
    if _NAME.fullmatch(host):
        return host
    remedy = "write the name in its xn-- form" if not text.isascii() else "write 'example.com', '*.example.com' or '*'"
    raise ValueError(f"{text!r} is not a host; {remedy}")


def normalise_host(text: str) -> str:
    """Return a host in lower case without port and trailing dot (RFC 3986 sections 3.2.2 and 6.2.2.1)."""
    host = text.lower()
    if host.startswith("["):  # an IPv6 address has colons of its own
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].removesuffix(".")


class HostIndex(Generic[V]):
    """Finds what is filed under the host of a request, the most specific first.

    Args:
        values: What to find, by canonical host.
    """

    __slots__ = ("_by_name", "_by_suffix", "_for_any")

    def __init__(self, values: Mapping[str, V]) -> None:
        self._for_any = (values[ANY_HOST],) if ANY_HOST in values else ()
        self._by_suffix: dict[str, tuple[V, ...]] = {}
        self._by_name: dict[str, tuple[V, ...]] = {}
        # Shorter suffixes first, so that each longer one finds them there.
        for host in sorted(values, key=len):
            if host.startswith("*."):
                self._by_suffix[host[2:]] = (values[host], *self._below_wildcard(host[2:]))
        for host in values:
            if not host.startswith("*"):
                self._by_name[host] = (values[host], *self._below_wildcard(host))

    def find(self, host: str) -> tuple[V, ...]:
        """Return the values for the host itself, for wildcards from the longest, and for any host, in this order.

        Args:
            host: The host of a request, perhaps with a port.
        """
        found = self._by_name.get(host)
        if found is None:
            host = normalise_host(host)
            found = self._by_name.get(host) or self._below_wildcard(host)
        return found

    def _below_wildcard(self, host: str) -> tuple[V, ...]:
        if self._by_suffix:
            parent = host.partition(".")[2]
            while parent:
                if found := self._by_suffix.get(parent):
                    return found
                parent = parent.partition(".")[2]
        return self._for_any
