from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import socket
import threading
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.logs import FIELDS, JsonFormatter, LogHandler, TextFormatter, _Pipe, configure_logging, escape_controls

NOON_S = datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC).timestamp()


def record(message: str = "it works", *args: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    """Return a record of noon."""
    made = logging.makeLogRecord(
        {"name": "gateway.runtime", "levelno": level, "levelname": logging.getLevelName(level), "msg": message}
    )
    made.args = args
    made.created = NOON_S
    made.__dict__.update(extra)
    return made


def failed() -> logging.LogRecord:
    """Return a record with a traceback."""
    try:
        int("first line\n2026-01-31T12:00:00.123Z INFO  gateway: forged")
    except ValueError as error:
        return record("it failed", level=logging.ERROR, exc_info=(ValueError, error, error.__traceback__))
    raise AssertionError


def as_text(made: logging.LogRecord) -> str:
    return TextFormatter().format(made)


def as_json(made: logging.LogRecord) -> dict:
    line = JsonFormatter().format(made)
    assert len(line.splitlines()) == 1
    data: dict = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    return data


# Text.


def test_text_is_one_line_with_time_level_logger_and_message():
    assert as_text(record("%d routes", 3)) == "2026-01-31T12:00:00.123Z INFO  gateway.runtime: 3 routes"


@pytest.mark.parametrize(
    ("level", "name"),
    [(10, "DEBUG"), (20, "INFO "), (30, "WARN "), (40, "ERROR"), (50, "CRITICAL"), (25, "Level 25")],
)
def test_levels_have_the_names_of_the_configuration(level, name):
    assert f"123Z {name} gateway" in as_text(record(level=level))


def test_known_fields_follow_the_message_in_a_fixed_order():
    line = as_text(record(route="users", request_id="7f3a", secret="hush", status=502, duration_ms=1.5, service=None))
    assert line.endswith(": it works request_id=7f3a status=502 duration_ms=1.5 route=users")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("/a/b?c", "/a/b?c"),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("line\nbreak", r'"line\nbreak"'),
        ("\x1b[2J\u2028\x85", r'"\u001b[2J\u2028\x85"'),
        ("東京", "東京"),
        ("lone \ud800", r'"lone \ud800"'),
        (b"bytes", "bytes"),
        (0, "0"),
        (0.123456789, "0.123457"),
        (["a", 1], "\"['a', 1]\""),
    ],
)
def test_values_end_at_the_next_space(value, written):
    assert as_text(record(path=value)).endswith(f" path={written}")


def test_tracebacks_are_indented_beneath():
    first, *below = as_text(failed()).split("\n")
    assert first == "2026-01-31T12:00:00.123Z ERROR gateway.runtime: it failed"
    assert below[0] == "    Traceback (most recent call last):"
    assert all(line.startswith("    ") for line in below)
    assert "ValueError: invalid literal" in below[-1]


def test_fields_stand_in_the_first_line_of_a_message_that_has_several():
    lines = as_text(record("two problems:\na: no\nb: no\n", route="users")).split("\n")
    assert lines[0].endswith(": two problems: route=users")
    assert lines[1:] == ["    a: no", "    b: no"]


def test_a_stack_and_a_traceback_that_is_text_already_are_written():
    assert as_text(record(stack_info="Stack:\n  here")).endswith("\n    Stack:\n      here")
    assert as_text(record(exc_text="Error: there")).endswith("\n    Error: there")


@given(st.text(), st.text())
def test_nothing_can_be_taken_for_another_event(message, path):
    lines = as_text(record("client sent %s", message, path=path)).splitlines()
    assert all(line.startswith("    ") for line in lines[1:])
    assert escape_controls("".join(lines)) == "".join(lines)


# JSON.


def test_json_is_one_object_with_the_known_fields():
    assert as_json(record("%d routes", 3, request_id="7f3a", secret="hush", service="")) == {
        "time": "2026-01-31T12:00:00.123Z",
        "level": "info",
        "logger": "gateway.runtime",
        "message": "3 routes",
        "request_id": "7f3a",
    }


def test_json_has_the_traceback_in_one_line():
    data = as_json(failed())
    assert data["level"] == "error"
    assert data["exception"].startswith("Traceback (most recent call last):\n")
    assert data["exception"].count("\n") > 2


def test_json_keeps_structured_fields():
    assert as_json(record(instance={"id": "a", "ports": [1, 2]}))["instance"] == {"id": "a", "ports": [1, 2]}


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def circular() -> list:
    made: list = []
    made.append(made)
    return made


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (object, "<class 'object'>"),
        (b"\xff", "\\xff"),
        (float("nan"), "nan"),
        (Unprintable(), "<Unprintable that cannot be written>"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (circular(), "[[...]]"),
        ("\ud800", "\ud800"),
        (ValueError("no"), "no"),
    ],
)
def test_what_json_does_not_have_becomes_text(value, written):
    assert as_json(record(status=404, path=value)) | {"time": ""} == {
        "time": "",
        "level": "info",
        "logger": "gateway.runtime",
        "message": "it works",
        "status": 404,
        "path": written,
    }
    assert " status=404 path=" not in as_text(record(path=value))
    assert "it works" in as_text(record(path=value))


@given(st.text(), st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.lists(st.floats())))
def test_json_is_json_whatever_is_logged(message, value):
    assert as_json(record("client sent %s", message, path=value))["message"] == f"client sent {message}"


def test_arguments_that_do_not_fit_the_message_are_told_all_the_same():
    assert as_text(record("%d of %d", 1)).endswith(": %d of %d (1,)")
    assert as_json(record("it is %s", Unprintable()))["message"].startswith("it is %s ")


# Where to.


@pytest.fixture
def configure():
    """Configure logging; afterwards it is as it was."""
    root, own = logging.getLogger(), logging.getLogger("gateway")
    before = root.handlers[:], root.level, own.level
    yield configure_logging
    root.handlers[:], root.level, own.level = before
    for each in (root, own):
        each.setLevel(each.level)


def test_standard_output_is_where_logs_go(configure, capsys):
    configure("info", "text")
    logging.getLogger("gateway.plugins.hello").info("hello", extra={"plugin": "hello"})
    captured = capsys.readouterr()
    assert captured.out.endswith("Z INFO  gateway.plugins.hello: hello plugin=hello\n")
    assert captured.err == ""


def test_a_second_call_replaces_the_first(configure, capsys):
    first = io.StringIO()
    configure("debug", "text", stream=first)
    configure("error", "json")
    logging.getLogger("gateway").warning("unheard")
    logging.getLogger("gateway").error("heard")
    assert first.getvalue() == ""
    assert json.loads(capsys.readouterr().out)["message"] == "heard"


@pytest.mark.parametrize(
    ("level", "ours", "theirs"),
    [
        ("debug", ["debug", "info", "warning", "error"], ["warning", "error"]),
        ("info", ["info", "warning", "error"], ["warning", "error"]),
        ("warn", ["warning", "error"], ["warning", "error"]),
        ("error", ["error"], ["error"]),
    ],
)
def test_the_level_is_that_of_the_gateway_others_are_heard_from_warnings_on(configure, level, ours, theirs):
    for logger, expected in (("gateway.runtime", ours), ("docker.utils", theirs)):
        stream = io.StringIO()
        configure(level, "json", stream=stream)
        for method in ("debug", "info", "warning", "error"):
            getattr(logging.getLogger(logger), method)(method)
        assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == expected


def test_a_level_that_is_none_is_an_error(configure):
    with pytest.raises(KeyError):
        configure("loud", "text")


def test_a_stream_that_was_closed_troubles_nobody(configure):
    stream = io.StringIO()
    configure("info", stream=stream)
    stream.close()
    logging.getLogger("gateway").info("unheard")


def test_a_stream_without_the_characters_gets_escapes(configure):
    raw = io.BytesIO()
    configure("info", stream=io.TextIOWrapper(raw, encoding="ascii"))
    logging.getLogger("gateway").info("東")
    assert raw.getvalue().endswith(b": \\u6771\n")


def test_every_field_is_written():
    made = record()
    made.__dict__.update(dict.fromkeys(FIELDS, "x"))
    line = as_text(made)
    assert [word.partition("=")[0] for word in line.split() if word.endswith("=x")] == list(FIELDS)


# Readers that are slow, stuck or gone.


def handler_for(fd: int) -> LogHandler:
    handler = LogHandler(os.fdopen(fd, "w", closefd=False))
    handler.setFormatter(TextFormatter())
    return handler


def drain(fd: int) -> str:
    """Return everything that is in a pipe."""
    os.set_blocking(fd, False)
    read = b""
    try:
        while chunk := os.read(fd, 65536):
            read += chunk
    except BlockingIOError:
        pass
    os.set_blocking(fd, True)
    return read.decode()


def test_filters_of_others_stay_when_it_is_configured_again(configure):
    """A plugin adds what it knows to every record; a reload must not end that."""

    def note(record: logging.LogRecord) -> bool:
        record.trace_id = "abc"
        return True

    configure("info", stream=io.StringIO())
    (handler,) = (each for each in logging.getLogger().handlers if isinstance(each, LogHandler))
    handler.addFilter(note)
    stream = io.StringIO()
    configure("info", "json", stream=stream)
    logging.getLogger("gateway").info("hello")
    assert json.loads(stream.getvalue())["trace_id"] == "abc"


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):  # the test closed it
            os.close(end)


def test_a_pipe_gets_whole_lines(pipe):
    ours, theirs = pipe
    handler = handler_for(theirs)
    handler.emit(record("x" * 20_000))
    handler.emit(record("short \ud800"))
    assert drain(ours).splitlines() == [as_text(record("x" * 20_000)), as_text(record("short \\ud800"))]


def test_a_reader_that_is_gone_troubles_nobody(pipe):
    ours, theirs = pipe
    handler = handler_for(theirs)
    os.close(ours)
    for _ in range(3):
        handler.emit(record())


def test_a_reader_that_is_stuck_is_given_up_soon_and_told_later_what_it_missed(pipe):
    ours, theirs = pipe
    handler = handler_for(theirs)
    started_s = time.monotonic()
    for _ in range(2000):
        handler.emit(record("x" * 200))
    assert time.monotonic() - started_s < 20  # if every record waited, it would be minutes
    before = drain(ours)
    handler.emit(record("again"))
    gap, last = [line for line in drain(ours).splitlines() if line]
    written = before.count("it") + before.count("xxx\n")
    assert gap.endswith(" log records before this one were dropped, because nobody read them")
    assert last.endswith(": again")
    dropped = int(gap.split(": ", 1)[1].split()[0])
    assert dropped + written in (2000, 2001)  # a line that was cut is counted as dropped
    assert dropped > 0


def test_a_line_that_was_cut_does_not_run_into_the_next(pipe):
    ours, theirs = pipe
    handler = handler_for(theirs)
    handler.emit(record("x" * 1_000_000))
    drain(ours)
    handler.emit(record("again"))
    first, *others = drain(ours).split("\n")
    assert "again" not in first
    assert any(line.endswith(": again") for line in others)


def test_a_slow_reader_is_waited_for(pipe, monkeypatch):
    monkeypatch.setattr(_Pipe, "PATIENCE_S", 20.0)
    ours, theirs = pipe
    handler = handler_for(theirs)
    read = ""

    def read_it_all() -> None:
        nonlocal read
        while "the end" not in read:
            read += os.read(ours, 1000).decode()

    reader = threading.Thread(target=read_it_all)
    reader.start()
    handler.emit(record("x" * 200_000))
    handler.emit(record("the end"))
    reader.join()
    assert read.splitlines() == [as_text(record("x" * 200_000)), as_text(record("the end"))]


def test_a_socket_is_written_to_with_the_same_care():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        handler = handler_for(theirs.fileno())
        handler.emit(record())
        assert ours.recv(4096).decode() == as_text(record()) + "\n"
        started_s = time.monotonic()
        for _ in range(5000):
            handler.emit(record("x" * 500))
        assert time.monotonic() - started_s < 20  # if every record waited, it would be minutes


def test_threads_do_not_mix_their_lines(pipe):
    ours, theirs = pipe
    handler = handler_for(theirs)
    threads = [
        threading.Thread(target=lambda word=word: [handler.handle(record(word * 50)) for _ in range(50)])
        for word in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = drain(ours).splitlines()
    assert len(lines) == 200
    assert all(len(set(line.rsplit(" ", 1)[1])) == 1 for line in lines)
