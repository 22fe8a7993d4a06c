"""Lines in JSON, put together by hand: ``json.dumps`` takes several times as long.

``encode_basestring_ascii`` is what ``json`` itself writes strings with: in C, quoted, and escaped so that nothing that
is sent can end a string or a line, nor move a terminal's cursor.
"""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring_ascii as quoted
from math import floor
from typing import TYPE_CHECKING

from gateway import GatewayError
from gateway.interfaces import SHADOW_STATE
from gateway_jsonlog.numbers import TABLE_LENGTH, durations, seconds, whole
from gateway_jsonlog.query import redact_query
from gateway_jsonlog.recurring import AnswerParts, ClientParts, Quoted, readable
from gateway_jsonlog.status import CLIENT_CLOSED_REQUEST
from gateway_jsonlog.timestamps import IsoTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet

    from gateway import Body, Exchange, Request
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

TRACEPARENT = b"traceparent"
TOOK = ',"duration_s":'
SENT_ONLY = whole(',"bytes_in":0,"bytes_out":')
DURATIONS = durations(TOOK)
FIRST_BYTES_OF_ONE_ATTEMPT = durations(',"attempts":1,"first_byte_s":')

_NEW_TRACE = TRACEPARENT + b": 00-"
_TRACE_ID_LENGTH = 32
_TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


class JsonFormat:
    """Makes lines of JSON of exchanges.

    Args:
        config: The block.
        now: Returns the time as text.
    """

    def __init__(self, config: AccessLogConfig, now: IsoTime | None = None) -> None:
        self._now = now or IsoTime()
        self._hides_query = config.query == "omit"
        self._redacted = config.redact_query
        self._request_headers = LoggedHeaders("request_headers", config.request_headers, config.redact_headers)
        self._response_headers = LoggedHeaders("response_headers", config.response_headers, config.redact_headers)
        values = "".join(f",{quoted(name)}:{json.dumps(value)}" for name, value in config.fields.items())
        self._end = f"{values}}}\n"
        self._end_if_drawn = f',"sample":{config.sample:g}{self._end}' if config.sample < 1 else self._end
        self._quoted = Quoted()
        self._answers = AnswerParts()
        self._clients = ClientParts()
        self._client_key = object()  # not self, which connections would keep alive

    def add_lines(  # noqa: C901 - one loop, because every request goes through and calls cost
        self, lines: list[str], exchanges: Iterable[Exchange], *, is_drawn: bool = False
    ) -> None:
        """Append the lines of finished exchanges.

        Args:
            lines: Where to.
            exchanges: The exchanges; all of them just finished.
            is_drawn: Whether they were drawn by lot, and stand for others.
        """
        # This runs for every request: each read of an attribute counts, each call even more. What can be is remembered
        # (recurring.py) or looked up (numbers.py).
        quoted_text, answers, client_key = self._quoted.parts.get, self._answers.parts, self._client_key
        sent_only, times, first_bytes = SENT_ONLY, DURATIONS, FIRST_BYTES_OF_ONE_ATTEMPT
        is_plain = not self._response_headers
        begin = f'{{"time":"{self._now()}","request_id":"'
        end = self._end_if_drawn if is_drawn else self._end
        for exchange in exchanges:
            request, route, instance = exchange.request, exchange.route, exchange.instance
            response, headers = exchange.response, request.headers
            section = headers.section
            if section is None:
                client = self._client(request)
            else:
                try:
                    origin, client = section.memo[client_key]
                except KeyError:
                    client = self._client(request)
                else:
                    if origin is not request.origin:
                        client = self._client(request)
                if headers.lines:
                    client = self._with_lines(request, client)
            status = CLIENT_CLOSED_REQUEST if response is None else response.status
            try:
                known_route, endpoint, answer = answers[instance, status, request.method, route.id]
            except KeyError:
                answer = self._answers.make(instance, status, request.method, route)
            else:
                if known_route is not route or (instance is not None and endpoint is not instance.endpoint):
                    answer = self._answers.make(instance, status, request.method, route)
            path, sent_bytes = request.path, exchange.sent_bytes
            if request.body or sent_bytes >= TABLE_LENGTH:
                transferred = _transferred(request.body, sent_bytes)
            else:
                transferred = sent_only[sent_bytes]
            took = floor(exchange.duration_s * 1e5 + 0.5)
            duration = times[took] if took < TABLE_LENGTH else seconds(TOOK, exchange.duration_s)
            if instance is None:
                asked = ""
            else:
                took = floor(exchange.service_s * 1e5 + 0.5)
                if took < TABLE_LENGTH and exchange.attempts == 1:
                    asked = first_bytes[took]
                else:
                    asked = seconds(f',"attempts":{exchange.attempts},"first_byte_s":', exchange.service_s)
            if is_plain and not (
                exchange.error is not None
                or exchange.connect_s
                or exchange.queue_s
                or exchange.has_state
                or request.query
            ):
                rest = end
            else:
                rest = f"{self._more(exchange)}{end}"
            principal = exchange.principal
            if principal is not None:
                subject = principal.subject
                rest = f',"principal":{quoted_text(subject) or self._quoted.make(subject)}{rest}'
            # The id is written as it is: it has no character that would have to be escaped (semantics.REQUEST_ID).
            lines.append(
                f"{begin}{request.id}{client}{answer}{quoted_text(path) or self._quoted.make(path)}"
                f"{transferred}{duration}{asked}{rest}"
            )

    def _with_lines(self, request: Request, client: str) -> str:
        """Return the part that says who asked, where the gateway has put lines behind the fields of this request."""
        headers = request.headers
        if headers.section_of(self._request_headers.names) is None:
            return self._client(request, is_shared=False)
        return client + _trace_begun(headers.lines) if TRACEPARENT in headers.line_names else client

    def _client(self, request: Request, *, is_shared: bool = True) -> str:
        """Return the part that says who asked, and keep it with the fields, which most often are those of the next."""
        headers, origin = request.headers, request.origin
        section = headers.section if is_shared else None
        fields = headers.values() if section is None else section.values
        text = self._clients.part(origin.client, origin.host, origin.http_version, fields.get(b"user-agent", b""))
        parent = fields.get(TRACEPARENT)
        if parent is not None and (trace := _TRACE_PARENT.fullmatch(parent)) is not None:
            text += f',"trace_id":"{trace[1].decode("ascii")}"'
        text += self._request_headers.part(headers.view() if section is None else section.pairs)
        if section is not None:
            section.keep(self._client_key, (origin, text))
        return text

    def _more(self, exchange: Exchange) -> str:
        """Return the part of a line that most lines do not have."""
        text = ""
        if exchange.connect_s:
            text += seconds(',"connect_s":', exchange.connect_s)
        if exchange.queue_s:
            text += seconds(',"queue_s":', exchange.queue_s)
        query = exchange.request.query
        if query and not self._hides_query:
            text += f',"query":{quoted(redact_query(query, self._redacted))}'
        if exchange.error is not None:
            text += _error(exchange.error)
        if exchange.has_state and (decisions := exchange.state.get(SHADOW_STATE)):
            text += f',"shadow":[{",".join(map(quoted, decisions))}]'
        if exchange.response is not None:
            text += self._response_headers.part(exchange.response.headers.pairs)
        return text


class LoggedHeaders:
    """Fields that are written, and of which nothing but that they were there.

    Args:
        key: The key of their object.
        names: The fields, in lower case.
        redacted: Those whose values are left out.

    Attributes:
        names: The fields, as they stand in messages.
    """

    def __init__(self, key: str, names: Sequence[str], redacted: AbstractSet[str]) -> None:
        self._key = key
        self._names = {name.encode("latin-1", "replace"): (quoted(name), name in redacted) for name in names}
        self.names = frozenset(self._names)

    def __bool__(self) -> bool:
        return bool(self._names)

    def part(self, pairs: Iterable[tuple[bytes, bytes]]) -> str:
        """Return their part of a line; nothing if there are none."""
        if not self._names:
            return ""
        found: dict[str, str] = {}
        for name, value in pairs:
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


def _trace_begun(lines: bytes) -> str:
    """Return the part for a trace that the gateway began, whose context stands in lines behind the fields."""
    trace_id = lines.partition(_NEW_TRACE)[2][:_TRACE_ID_LENGTH]
    return f',"trace_id":"{trace_id.decode("ascii")}"' if trace_id.isalnum() else ""


def _transferred(body: bytes | Body, sent_bytes: int) -> str:
    received_bytes = len(body) if isinstance(body, bytes) else body.received_bytes
    return f',"bytes_in":{received_bytes},"bytes_out":{sent_bytes}'
