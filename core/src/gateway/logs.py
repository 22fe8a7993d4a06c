"""What the gateway writes about itself: one line of text, or one JSON object, for each event.

- ``configure_logging`` sends the records of every logger to one stream, in one of the two formats.
- ``FIELDS`` names the extra fields that are written; a record's others are not.
- ``escape_controls`` makes text from anywhere safe to put in a line.

```
2026-01-31T12:00:00.123Z WARN  gateway.pipeline: GET /users: bad_gateway: ... request_id=7f3a route=users
{"time": "2026-01-31T12:00:00.123Z", "level": "warn", "logger": "gateway.pipeline", "message": ...}
```

A line that begins with a time is the beginning of an event: whatever follows a line break in a message, and every line
of a traceback, is indented, so nothing that a client sends can be taken for an event of its own.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import select
import stat
import sys
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FIELDS", "JsonFormatter", "LogHandler", "TextFormatter", "configure_logging", "escape_controls"]

FIELDS = (
    # Which exchange it is about.
    "request_id",
    "trace_id",
    "span_id",
    "client",
    "method",
    "path",
    "status",
    "duration_ms",
    # Where that went.
    "route",
    "service",
    "instance",
    "attempt",
    # Who says so.
    "plugin",
    "provider",
    "worker",
)
"""The extra fields that are written, in this order."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_NAMES = {logging.DEBUG: "DEBUG", logging.INFO: "INFO", logging.WARNING: "WARN", logging.ERROR: "ERROR"}
_INDENT = "    "


def configure_logging(
    level: str,
    format: str = "text",  # noqa: A002 - as the configuration has it: logging.format
    *,
    stream: TextIO | None = None,
) -> None:
    """Write log records; a second call replaces what the first set up, but for filters that others added.

    Other libraries are heard from ``warn`` on, whatever the level, since their details are no concern of an operator.

    Args:
        level: The least severe records of the gateway that are written: ``debug``, ``info``, ``warn`` or ``error``.
        format: ``text`` or ``json``.
        stream: Where to; ``None`` takes standard output.
    """
    handler = LogHandler(sys.stdout if stream is None else stream)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if isinstance(each, LogHandler)]:
        root.removeHandler(earlier)
        for each in earlier.filters:
            handler.addFilter(each)
    root.addHandler(handler)
    least = _LEVELS[level]
    root.setLevel(max(least, logging.WARNING))
    logging.getLogger("gateway").setLevel(least)


# Formats.


class TextFormatter(logging.Formatter):
    """One line for each event: time, level, logger, message, known fields. Tracebacks are indented beneath."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = _Clock()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines, without a line break at the end."""
        first, *more = _message(record).rstrip("\n").split("\n")
        level = _NAMES.get(record.levelno, record.levelname)
        head = f"{self._clock.text(record.created)} {level:<5} {record.name}: {escape_controls(first)}"
        fields = "".join(f" {name}={_text_value(value)}" for name, value in _fields(record))
        if details := _details(self, record):
            more += details.split("\n")
        return head + fields + "".join(f"\n{_INDENT}{escape_controls(line)}" for line in more)


class JsonFormatter(logging.Formatter):
    """One JSON object in one line for each event: time, level, logger, message, known fields, exception."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = _Clock()

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line break at the end."""
        members: dict[str, Any] = {
            "time": self._clock.text(record.created),
            "level": _NAMES.get(record.levelno, record.levelname).lower(),
            "logger": record.name,
            "message": _message(record),
        }
        members.update(_fields(record))
        if details := _details(self, record):
            members["exception"] = details
        # ASCII only: no text of a client's is taken for a line break by whoever reads this, U+2028 neither.
        try:
            return json.dumps(members, default=_plain_text, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            return json.dumps({name: _json_value(value) for name, value in members.items()})


class _Clock:
    """Writes times as RFC 3339 has them, in UTC with milliseconds; a second is worked out once."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def text(self, created_s: float) -> str:
        """Return the text of a time in seconds since 1970."""
        second, fraction_s = divmod(created_s, 1)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = int(second)
        return f"{self._text}.{int(fraction_s * 1000):03d}Z"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - whatever the arguments do when they are formatted, the event is told
        return f"{record.msg} {_plain_text(record.args)}"


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """Yield the known fields of a record that say something."""
    extras = record.__dict__
    for name in FIELDS:
        value = extras.get(name)
        if value is not None and value != "":
            yield name, value


def _details(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """Return the traceback and the stack that go with a record, or nothing."""
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append(formatter.formatException(record.exc_info))
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


def _text_value(value: object) -> str:
    """Return a value that ends at the next space: in quotes if it must be."""
    text = f"{value:g}" if isinstance(value, float) else _plain_text(value)
    if text and text.isprintable() and not _NEEDS_QUOTES.search(text):
        return text
    return escape_controls(json.dumps(text, ensure_ascii=False))


def _json_value(value: object) -> object:
    """Return a value as JSON can have it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return _plain_text(value)


def _plain_text(value: object) -> str:
    try:
        return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    except Exception:  # noqa: BLE001 - whatever is wrong with a value, the event is told
        return f"<{type(value).__name__} that cannot be written>"


_NEEDS_QUOTES = re.compile(r"""[\s"'=]""")
# C0 and C1, what Unicode calls line and paragraph separators, what turns the direction of text, and lone surrogates.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escape_controls(text: str) -> str:
    r"""Return the text with characters escaped that end a line or move a cursor: ``\n``, ``\x1b``, ``\u2028``."""
    if text.isprintable():
        return text
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


# The stream.


class LogHandler(logging.Handler):
    """Writes records to a stream. Whatever becomes of the stream, whoever logs is not troubled.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._output = _output(stream)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it if nobody reads; how many were dropped is said as soon as somebody does."""
        try:
            lines = f"{self.format(record)}\n"
            if self._dropped:
                lines = f"{self.format(_gap(self._dropped))}\n{lines}"
            self._dropped = 0 if self._output.write(lines) else self._dropped + 1
        except Exception:  # noqa: BLE001 - a log that cannot be written must not fail an exchange
            self._dropped += 1


def _gap(dropped: int) -> logging.LogRecord:
    message = f"{dropped} log records before this one were dropped, because nobody read them"
    return logging.LogRecord("gateway.logs", logging.WARNING, __file__, 0, message, None, None)


class _Output(Protocol):
    """Where lines go."""

    def write(self, lines: str) -> bool:
        """Write whole lines; say whether they were written."""


def _output(stream: TextIO) -> _Output:
    """Return the way to write to a stream: with care if somebody has to read what is written."""
    try:
        stream.flush()
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return _Stream(stream)
    if hasattr(select, "poll") and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return _Pipe(stream.fileno())
    return _Stream(stream)


class _Stream:
    """A file, a terminal, or an object that is like one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, lines: str) -> bool:
        """Write, with escapes for what the stream's encoding does not have."""
        try:
            self._stream.write(lines)
        except UnicodeEncodeError as error:
            self._stream.write(lines.encode(error.encoding, "backslashreplace").decode(error.encoding))
        self._stream.flush()
        return True


class _Pipe:
    """A pipe or a socket, whose reader may be slow, stuck or gone.

    A reader that is behind is waited for, but only for a small share of the time, so that it costs the gateway a blink
    now and then and never its life. Where workers share a pipe, another one may fill it between the question and the
    write; that write waits.

    Args:
        fd: The file descriptor; stays open.
    """

    PATIENCE_S = 0.2
    """How long a reader is waited for that kept up so far."""
    PATIENCE_SHARE = 0.05
    """The share of the time in which patience comes back."""
    LEAST_WAIT_S = 0.01
    """How much patience it takes to wait at all."""
    CHUNK_BYTES = getattr(select, "PIPE_BUF", 512)
    """What can be written without waiting once there is room (POSIX, pipe(7))."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._patience_s = self.PATIENCE_S
        self._patient_at_s = time.monotonic()
        self._is_cut = False

    def write(self, lines: str) -> bool:
        """Write unless nobody reads.

        Raises:
            OSError: If the reader is gone.
        """
        data = lines.encode("utf-8", "backslashreplace")
        if self._is_cut:
            data = b"\n" + data
        written = 0
        while written < len(data) and (self._poll.poll(0) or self._wait()):
            written += os.write(self._fd, data[written : written + self.CHUNK_BYTES])
        if written:
            self._is_cut = written < len(data)
        return written == len(data)

    def _wait(self) -> bool:
        """Wait for room as long as there is patience; say whether there is some."""
        before_s = time.monotonic()
        returned_s = (before_s - self._patient_at_s) * self.PATIENCE_SHARE
        patience_s = min(self.PATIENCE_S, self._patience_s + returned_s)
        if patience_s < self.LEAST_WAIT_S:
            return False
        has_room = bool(self._poll.poll(patience_s * 1000))
        self._patient_at_s = time.monotonic()
        self._patience_s = max(0.0, patience_s - (self._patient_at_s - before_s))
        return has_room
