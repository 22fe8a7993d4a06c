"""Lines in JSON, put together by hand: ``json.dumps`` takes twice the time that is spent on a whole line here.

``encode_basestring_ascii`` is what ``json`` itself writes strings with: in C, quoted, and escaped so that nothing that
is sent can end a string or a line, nor move a terminal's cursor.
"""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING

from gateway import GatewayError
from gateway.interfaces import SHADOW_STATE
from gateway_jsonlog.query import redact_query
from gateway_jsonlog.recurring import RecurringParts, readable
from gateway_jsonlog.timestamps import IsoTime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from gateway import Exchange, Headers
    from gateway_jsonlog.config import AccessLogConfig

__all__ = ["FIELD_NAMES", "JsonFormat"]

FIELD_NAMES = frozenset(
    {
        *("time", "request_id", "trace_id", "client", "host", "method", "path", "query", "protocol", "status"),
        *("bytes_in", "bytes_out", "duration_s", "first_byte_s", "connect_s", "queue_s"),
        *("route", "path_template", "service", "instance", "attempts", "principal", "user_agent"),
        *("error", "plugin", "detail", "shadow", "request_headers", "response_headers", "sample"),
    }
)
"""The keys of lines."""

MAX_DETAIL_LENGTH = 512

_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class JsonFormat:
    """Makes a line of JSON of an exchange.

    Args:
        config: The block.
        now: Returns the time as text.
    """

    def __init__(self, config: AccessLogConfig, now: IsoTime | None = None) -> None:
        self._now = now or IsoTime()
        self._hides_query = config.query == "omit"
        self._redacted = config.redact_query
        self._headers = [
            LoggedHeaders("request_headers", config.request_headers, config.redact_headers),
            LoggedHeaders("response_headers", config.response_headers, config.redact_headers),
        ]
        self._logs_headers = bool(config.request_headers or config.response_headers)
        values = "".join(f",{quoted(name)}:{json.dumps(value)}" for name, value in config.fields.items())
        self._end = f"{values}}}\n"
        self._end_if_drawn = f',"sample":{config.sample:g}{self._end}' if config.sample < 1 else self._end
        self._recurring = RecurringParts()
        self._known = self._recurring.known

    def line(self, exchange: Exchange, status: int, *, is_drawn: bool) -> str:
        """Return the line of a finished exchange.

        Args:
            exchange: The exchange.
            status: What was answered.
            is_drawn: Whether it was drawn by lot, and stands for others.
        """
        # Every step counts here: this runs for every request, and is a good part of what the log costs.
        request, route, instance = exchange.request, exchange.route, exchange.instance
        origin, body, duration_s = request.origin, request.body, exchange.duration_s
        now, ended_s = self._now, exchange.started_s + duration_s
        if ended_s >= now.stale_at_s:
            now.renew(ended_s)
        fields = request.headers.values()
        agent = fields.get(b"user-agent", b"")
        key = (origin.client, origin.host, origin.http_version, request.method, status, route.id, agent, instance)
        known = self._known.get(key)
        if (
            known is None
            or known.route is not route
            or (instance is not None and known.endpoint is not instance.endpoint)
        ):
            known = self._recurring.make(key, route, instance)
        principal = exchange.principal
        who = "" if principal is None else f',"principal":{quoted(principal.subject)}'
        asked = "" if instance is None else f',"attempts":{exchange.attempts},"first_byte_s":{exchange.service_s:.6f}'
        is_ordinary = not (
            exchange.error is not None
            or exchange.connect_s
            or exchange.queue_s
            or exchange.has_state
            or request.query
            or b"traceparent" in fields
            or self._logs_headers
        )
        return (
            f'{{"time":"{now.text}","request_id":{quoted(request.id)}{known.text},"path":{quoted(request.path)}'
            f',"bytes_in":{len(body) if type(body) is bytes else body.received_bytes}'  # type: ignore[union-attr]  # mypy takes subclasses of bytes into account
            f',"bytes_out":{exchange.sent_bytes},"duration_s":{duration_s:.6f}{asked}{who}'
            f"{'' if is_ordinary else self._more(exchange, fields)}{self._end_if_drawn if is_drawn else self._end}"
        )

    def _more(self, exchange: Exchange, fields: Mapping[bytes, bytes]) -> str:
        """Return the part of a line that most lines do not have."""
        request = exchange.request
        text = ""
        if exchange.connect_s:
            text += f',"connect_s":{exchange.connect_s:.6f}'
        if exchange.queue_s:
            text += f',"queue_s":{exchange.queue_s:.6f}'
        if request.query and not self._hides_query:
            text += f',"query":{quoted(redact_query(request.query, self._redacted))}'
        parent = fields.get(b"traceparent")
        if parent is not None and (trace := _TRACE_PARENT.fullmatch(parent)) is not None:
            text += f',"trace_id":"{trace[1].decode("ascii")}"'
        if exchange.error is not None:
            text += _error(exchange.error)
        if exchange.has_state and (decisions := exchange.state.get(SHADOW_STATE)):
            text += f',"shadow":[{",".join(map(quoted, decisions))}]'
        return text + self._logged_headers(exchange) if self._logs_headers else text

    def _logged_headers(self, exchange: Exchange) -> str:
        of_request, of_response = self._headers
        text = of_request.part(exchange.request.headers)
        return text if exchange.response is None else text + of_response.part(exchange.response.headers)


class LoggedHeaders:
    """Fields that are written, and of which nothing but that they were there.

    Args:
        key: The key of their object.
        names: The fields, in lower case.
        redacted: Those whose values are left out.
    """

    def __init__(self, key: str, names: Sequence[str], redacted: AbstractSet[str]) -> None:
        self._key = key
        self._names = {name.encode("latin-1", "replace"): (quoted(name), name in redacted) for name in names}

    def part(self, headers: Headers) -> str:
        """Return their part of a line; nothing if there are none."""
        found: dict[str, str] = {}
        for name, value in headers.pairs:
            if name in self._names:
                key, is_redacted = self._names[name]
                text = "***" if is_redacted else readable(value)
                # Several of a name are one list (RFC 9110 section 5.3).
                found[key] = f"{found[key]}, {text}" if key in found else text
        if not found:
            return ""
        members = ",".join([f"{key}:{quoted(text)}" for key, text in found.items()])
        return f',"{self._key}":{{{members}}}'


def _error(error: BaseException) -> str:
    if not isinstance(error, GatewayError):
        return f',"error":{quoted(type(error).__name__)}'
    text = f',"error":"{error.type.code}"'
    if error.plugin:
        text += f',"plugin":{quoted(error.plugin)}'
    return f'{text},"detail":{quoted(error.detail[:MAX_DETAIL_LENGTH])}'
