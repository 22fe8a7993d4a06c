from __future__ import annotations

import math
from typing import Any

import pytest

from gateway.config import source
from gateway.config.places import Place, plain
from gateway.config.report import Report
from gateway.config.source import read_file, read_text


class Read:
    """A text that was read, and what was said of it."""

    def __init__(self, text, environ=None):
        report = Report()
        self.value: Any = read_text(text, Place("file", line=1, column=1), environ or {}, report)
        self.plain = plain(self.value)
        self.problems = [str(problem) for problem in report.errors]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8080", 8080),
        ("-5", -5),
        ("0x1F", 31),
        ("0o17", 15),
        ("0123", 123),
        ("1.5", 1.5),
        (".5e3", 500.0),
        ("-.inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("-a", "-a"),
        ("+a", "+a"),
        ("'8080'", "8080"),
        ('"true"', "true"),
        ("!!str 8080", "8080"),
        ("!!int 8080", 8080),
        ("! 8080", "8080"),
        ("|\n    two\n    lines\n", "two\nlines\n"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text, value):
    read = Read(f"key: {text}")
    assert read.problems == []
    assert read.plain == {"key": value}


def test_not_a_number_is_a_float():
    assert math.isnan(Read("key: .nan").plain["key"])


def test_keys_are_text_as_written():
    assert Read("1.0: a\ntrue: b\nnull: c\n'5': d").plain == {"1.0": "a", "true": "b", "null": "c", "5": "d"}


def test_places_are_lines_and_columns_of_keys_and_values():
    value = Read("a:\n  - b: 1\n    c:   2\n").value
    place = value["a"][0].places["c"]
    assert (place.at_key, place.at_value, place.path) == ("file:3:5", "file:3:10", "a[0].c")
    assert value["a"].places[0].at_key == "file:2:5"
    assert repr(place) == "<Place file:3:5 a[0].c>"


def test_anchors_and_aliases():
    read = Read("a: &x {b: 1}\nc: *x\nd: &y 5\ne: *y")
    assert read.plain == {"a": {"b": 1}, "c": {"b": 1}, "d": 5, "e": 5}


def test_merge_keys_bring_what_is_not_there():
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\none: {<<: *x, b: 3}\nmany: {<<: [*y, *x], d: 4}"
    read = Read(text)
    assert read.plain["one"] == {"a": 1, "b": 3}
    assert read.plain["many"] == {"a": 1, "b": 2, "c": 2, "d": 4}


def test_a_quoted_merge_key_is_a_key():
    assert Read("'<<': 1").plain == {"<<": 1}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1", "file:2:1: not YAML: did not find expected ',' or ']' while parsing a flow sequence that begins in"),
        (
            "a: b: c",
            "file:1:5: not YAML: mapping values are not allowed in this context; look at this line and the one",
        ),
        ("\ta: 1", "file:1:1: not YAML: found character that cannot start any token while scanning for the next token"),
        ("a: 'b", "file:1:6: not YAML: found unexpected end of stream while scanning a quoted scalar that begins in"),
        ("a: \x07", "file:1:4: the character U+0007 may not stand in YAML; remove it"),
        ("a: 1\na: 2", "file:2:1: a: the key is given twice, first at 1:1; remove one of them"),
        ("a: *b", "file:1:4: there is no anchor &b above; define it, or quote the '*'"),
        ("a: &a [*a]", "file:1:8: *a stands inside of what it stands for; remove it"),
        ("? [a]\n: 1", "file:1:3: a key must be text; write it on one line, before a colon"),
        ("<<: 5", "file:1:1: <<: '<<' takes a block or a list of blocks; write '<<: *name'"),
        ("a: !secret b", "file:1:4: the tag '!secret' cannot be used here; remove it"),
        ("a: !!int b", "file:1:4: the tag 'int' cannot be used here; remove it"),
        ("a: !!binary aGk=", "file:1:4: the tag 'binary' cannot be used here; remove it"),
        ("a: !x {b: 1}", "file:1:4: the tag '!x' cannot be used here; remove it"),
        ("a: 1\n---\nb: 2", "file:2:1: a second document begins here; remove it"),
        (
            "a: ${NOWHERE}",
            "file:1:4: a: the environment variable NOWHERE is not set; set it, or write ${NOWHERE:-default}",
        ),
    ],
)
def test_what_cannot_be_read_is_reported_with_its_place(text, problem):
    (found,) = Read(text).problems
    assert found.startswith(problem)


def test_deep_nesting_is_refused():
    depth = source.MAX_DEPTH + 1
    (found,) = Read("a: " + "[" * depth + "]" * depth).problems
    assert found == f"file:1:{2 + depth}: blocks are nested more than {source.MAX_DEPTH} deep; make it flatter"


def test_very_deep_nesting_does_not_exhaust_the_stack():
    assert len(Read("[" * 200_000).problems) == 1


def test_aliases_cannot_multiply_without_bounds():
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    (found,) = Read("\n".join(lines)).problems
    assert found.endswith("there are more than 2000000 values; do aliases multiply?")


# ${VAR}


def test_an_unquoted_variable_is_read_as_a_scalar_and_a_quoted_one_as_text():
    environ = {"PORT": "8080", "EMPTY": ""}
    read = Read("a: ${PORT}\nb: '${PORT}'\nc: 1${PORT}\nd: ${EMPTY}\ne: ${NO:-true}", environ)
    assert read.plain == {"a": 8080, "b": "8080", "c": "18080", "d": "", "e": True}
    assert read.value.places["a"].variables == ("PORT",)


def test_keys_are_not_expanded():
    assert Read("${A}: 1", {"A": "b"}).plain == {"${A}": 1}


# Files.


def read(path):
    report = Report()
    return read_file(path, {}, report), [str(problem) for problem in report.errors]


def test_a_file_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read(path) == ({"a": 1}, [])


def test_a_folder_cannot_be_read(tmp_path):
    assert read(tmp_path) == (None, [f"{tmp_path}: cannot be read: Is a directory; name a file that can"])


def test_other_encodings_are_refused(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    assert read(path) == (None, [f"{path}:2: is not UTF-8 text: byte 0xe9; save it as UTF-8"])


def test_huge_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 10)
    path = tmp_path / "gateway.yaml"
    path.write_text("a: 123456789")
    assert read(path) == (None, [f"{path}: is larger than 10 bytes; is it the configuration?"])
