"""The combined log format of Apache and nginx."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway_jsonlog.query import redact_query
from gateway_jsonlog.status import status_of
from gateway_jsonlog.timestamps import CombinedTime

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway import Exchange
    from gateway_jsonlog.config import AccessLogConfig

__all__ = ["CombinedFormat"]

_UNSAFE = re.compile(rb"[^ !#-\[\]-~]")
_UNSAFE_OR_SPACE = re.compile(rb"[^!#-\[\]-~]")


class CombinedFormat:
    r"""Makes lines such as ``192.0.2.7 - ada [23/Nov/2026:05:20:52 +0000] "GET / HTTP/1.1" 200 2 "-" "curl/8.5"``.

    Quotes, backslashes, control characters and what is not ASCII are written as ``\xHH``, as nginx does, so that
    nothing that is sent can end a field or a line.

    Args:
        config: The block.
        now: Returns the time as text.
    """

    def __init__(self, config: AccessLogConfig, now: CombinedTime | None = None) -> None:
        self._now = now or CombinedTime()
        self._hides_query = config.query == "omit"
        self._redacted = config.redact_query

    def add_lines(self, lines: list[str], exchanges: Iterable[Exchange], *, is_drawn: bool = False) -> None:
        """Append the lines of finished exchanges.

        Args:
            lines: Where to.
            exchanges: The exchanges.
            is_drawn: Whether they were drawn by lot; the format has no place for it.
        """
        lines.extend(map(self._line, exchanges))

    def _line(self, exchange: Exchange) -> str:
        request = exchange.request
        fields = dict(request.headers.pairs)
        user = exchange.principal.subject.encode("utf-8", "replace") if exchange.principal is not None else b""
        target = request.path
        if request.query and not self._hides_query:
            target = f"{target}?{redact_query(request.query, self._redacted)}"
        asked = f"{request.method} {target} HTTP/{request.origin.http_version}".encode("utf-8", "replace")
        return (
            f"{_word(request.origin.client.encode())} - {_word(user)} [{self._now()}] "
            f'"{_quoted(asked)}" {status_of(exchange)} {exchange.sent_bytes} '
            f'"{_quoted(fields.get(b"referer", b"-"))}" "{_quoted(fields.get(b"user-agent", b"-"))}"\n'
        )


def _quoted(value: bytes) -> str:
    return _UNSAFE.sub(_escape, value).decode("ascii")


def _word(value: bytes) -> str:
    """Return a value that must not hold spaces."""
    return _UNSAFE_OR_SPACE.sub(_escape, value).decode("ascii") or "-"


def _escape(found: re.Match[bytes]) -> bytes:
    return b"\\x%02X" % ord(found[0])
