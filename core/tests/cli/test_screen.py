from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from gateway.cli.progress import progress
from gateway.cli.screen import Column, Screen

CODES = re.compile(r"\x1b\[\d*m")


def table(columns, rows, **options) -> str:
    stream = io.StringIO()
    Screen(stream, **options).table([Column(title) for title in columns], rows)
    return stream.getvalue()


def test_columns_are_aligned():
    assert table(["A", "LONGER"], [["first", "x"], ["y", "z"]]) == "A      LONGER\nfirst  x\ny      z\n"


def test_what_does_not_fit_is_wrapped_at_spaces():
    assert table(["NAME", "TEXT"], [["one", "a few words too many"], ["two", ""]], width=18) == (
        "NAME  TEXT\none   a few words\n      too many\ntwo\n"
    )


def test_long_words_are_cut_and_nothing_is_lost():
    drawn = table(["PATH", "X"], [["/a/very/long/path", ""], ["abcdefghij", ""]], width=11)
    assert drawn == "PATH      X\n/a/very/\nlong/\npath\nabcdefgh\nij\n"


def test_words_stay_whole_where_others_can_give_way():
    rows = [["circuitbreaker", "gateway-circuitbreaker", "a few words, and some more"]]
    assert table(["NAME", "FROM", "WHAT IT IS"], rows, width=42) == (
        "NAME            FROM            WHAT IT IS\n"
        "circuitbreaker  gateway-        a few\n"
        "                circuitbreaker  words, and\n"
        "                                some more\n"
    )


def test_a_short_piece_is_broken_off_if_the_rest_fits_then():
    assert table(["BALANCER"], [["least_connections"]], width=12) == "BALANCER\nleast_\nconnections\n"


@pytest.mark.parametrize(
    ("width", "head", "left_out"),
    [
        (80, "NAME          FIRST         LAST", []),
        (30, "NAME          LAST", ["(no room for FIRST; a wider terminal or --json shows everything)"]),
        (20, "NAME", ["(no room for FIRST, LAST; a wider terminal or --json shows everything)"]),
    ],
)
def test_columns_give_way_where_there_is_no_room(width, head, left_out):
    stream = io.StringIO()
    columns = [Column("NAME"), Column("FIRST", gives_way=2), Column("LAST", gives_way=1)]
    Screen(stream, width=width).table(columns, [["x" * 12, "y" * 12, "z" * 12]])
    drawn = stream.getvalue().splitlines()
    assert drawn[0] == head
    assert drawn[2:] == left_out


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_lines_fit(width):
    cells = ["x" * 30, "y" * 50, "some words and more of them", "z"]
    drawn = table(["ONE", "TWO", "THREE", "FOUR"], [cells], width=width)
    assert max(map(len, drawn.splitlines())) <= width
    for cell in cells:
        assert drawn.count(cell[0]) >= cell.count(cell[0])


def test_a_width_that_is_much_too_small_does_no_harm():
    assert "a" in table(["ONE", "TWO"], [["a", "b"]], width=1)


def test_wide_characters_count_twice_and_combining_ones_not_at_all():
    drawn = table(["NAME", "X"], [["東京", "1"], ["e\u0301", "2"], ["ab", "3"]])
    assert drawn.splitlines()[1:] == ["東京  1", "e\u0301     2", "ab    3"]


def test_cells_cannot_move_the_cursor():
    assert "\x1b" not in table(["A"], [["\x1b[2J\nnext"]])
    assert len(table(["A"], [["one\ntwo"]]).splitlines()) == 2


def test_characters_that_the_stream_does_not_have_are_escaped():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    Screen(stream).line("東")
    assert raw.getvalue() == b"\\u6771\n"


def test_colour_marks_text_not_the_space_between():
    stream = io.StringIO()
    Screen(stream, has_colour=True).table([Column("A"), Column("B", "dim")], [["x", "y"]])
    assert stream.getvalue() == "\x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m\nx  \x1b[2my\x1b[0m\n"


# On a terminal.


def on_terminal(folder, words, *, columns=80, **environ) -> str:
    """Return what a command writes to a terminal that is so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "TERM")} | environ
    with subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", *words], stdout=theirs, stderr=theirs, env=env
    ) as process:
        os.close(theirs)
        written = b""
        while chunk := read(ours):
            written += chunk
    os.close(ours)
    assert process.returncode == 0
    return written.decode().replace("\r\n", "\n")


def read(fd: int) -> bytes:
    try:
        return os.read(fd, 4096)
    except OSError:  # how Linux says that the other end is closed
        return b""


def test_on_a_terminal_tables_fit_and_have_colour(folder):
    drawn = on_terminal(folder, ["plugins"], TERM="xterm")
    assert "\x1b[1mPLUGIN\x1b[0m" in drawn
    lines = CODES.sub("", drawn).splitlines()
    assert max(map(len, lines)) <= 80
    wide = CODES.sub("", on_terminal(folder, ["plugins"], columns=300, TERM="xterm")).splitlines()
    assert len(wide) < len(lines)


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}])
def test_who_wants_no_colour_gets_none(folder, environ):
    assert "\x1b" not in on_terminal(folder, ["routes"], **environ)


# Progress.


def test_what_takes_long_is_told_on_a_terminal_and_wiped_away():
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        with progress("loading big.yaml", patience_s=0.01):
            told = os.read(ours, 4096)
        with progress("quick", patience_s=30):
            pass
        terminal.write("end")
    while b"end" not in told:
        told += os.read(ours, 4096)
    os.close(ours)
    assert told.startswith(b"\rloading big.yaml: 0 s")
    assert told.endswith(b"\r" + b" " * len(b"loading big.yaml: 0 s") + b"\rend")


def test_elsewhere_nothing_is_told(capsys):
    with progress("loading", patience_s=0.001):
        pass
    assert capsys.readouterr().err == ""
