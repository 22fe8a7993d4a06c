from __future__ import annotations

import gc

import pytest

from gateway import Headers, Section


def test_names_are_matched_without_regard_to_case():
    headers = Headers.of([("Content-Type", "text/plain")])
    assert headers.get("CONTENT-TYPE") == headers["content-type"] == "text/plain"
    assert "Content-type" in headers
    assert headers.pairs == [(b"content-type", b"text/plain")]


def test_a_field_that_is_missing():
    headers = Headers()
    assert headers.get("x") is None
    assert headers.get("x", "default") == "default"
    assert headers.get_all("x") == []
    assert "x" not in headers
    with pytest.raises(KeyError):
        headers["x"]


@pytest.mark.parametrize("name", ["☃", "łódź"])
def test_a_name_that_no_field_can_have_is_missing_too(name):
    headers = Headers.of([("a", "1")])
    assert headers.get(name) is None
    assert name not in headers
    assert headers.get_all(name) == []
    headers.remove(name)
    assert len(headers) == 1


def test_repeated_fields_keep_their_order():
    headers = Headers.of([("set-cookie", "a=1"), ("x", "y"), ("Set-Cookie", "b=2")])
    assert headers.get("set-cookie") == "a=1"
    assert headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert headers.items() == [("set-cookie", "a=1"), ("x", "y"), ("set-cookie", "b=2")]
    assert list(headers) == ["set-cookie", "x", "set-cookie"]
    assert len(headers) == 3


def test_setting_replaces_all_of_that_name_and_adding_none():
    headers = Headers.of([("a", "1"), ("a", "2"), ("b", "3")])
    headers.add("a", "4")
    assert headers.get_all("a") == ["1", "2", "4"]
    headers["A"] = "5"
    assert headers.items() == [("b", "3"), ("a", "5")]


def test_removing_changes_the_list_that_others_hold():
    pairs = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]
    headers = Headers(pairs)
    del headers["A"]
    headers.remove("missing")
    assert pairs == [(b"b", b"2")]


def test_a_copy_can_be_changed_on_its_own():
    headers = Headers.of([("a", "1")])
    copy = headers.copy()
    assert copy == headers
    copy.add("b", "2")
    assert copy != headers
    assert headers != [(b"a", b"1")]
    assert len(headers) == 1


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ä", "☃", "(x)"])
def test_what_is_not_a_token_is_no_name(name):
    """RFC 9110 section 5.6.2."""
    with pytest.raises(ValueError, match="not a header name"):
        Headers().add(name, "x")


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\0b", "x\r\nset-cookie: a=b"])
def test_a_value_cannot_split_the_message(value):
    """RFC 9110 section 5.5."""
    headers = Headers.of([("a", "old")])
    for change in (headers.add, headers.set):
        with pytest.raises(ValueError, match="line break or NUL"):
            change("a", value)
    assert headers.items() == [("a", "old")]


def test_a_value_that_has_no_bytes_is_refused():
    with pytest.raises(ValueError, match="'x-name' holds a character"):
        Headers().add("x-name", "☃")


def test_values_are_latin_1():
    headers = Headers()
    headers.add("a", "naïve")
    assert headers.pairs == [(b"a", b"na\xefve")]
    assert headers["a"] == "naïve"


def test_its_picture_shows_no_values():
    assert repr(Headers.of([("authorization", "secret")])) == "<Headers ['authorization']>"


def test_it_cannot_be_hashed_since_it_changes():
    with pytest.raises(TypeError):
        hash(Headers())


PAIRS = ((b"host", b"example"), (b"accept", b"a"), (b"accept", b"b"))


@pytest.fixture(params=["shared", "own"])
def arrived(request):
    return Headers.shared(Section(PAIRS)) if request.param == "shared" else Headers([*PAIRS])


def test_what_arrived_is_read_alike_whether_it_is_shared_or_not(arrived):
    assert arrived.get("accept") == "a"
    assert arrived.get_all("accept") == ["a", "b"]
    assert arrived.only(b"host") == b"example"
    assert arrived.only(b"missing") is None
    with pytest.raises(ValueError, match="'accept' is there twice"):
        arrived.only(b"accept")
    assert arrived.values() == {b"host": b"example", b"accept": b"a"}
    assert arrived.names_among(frozenset({b"accept", b"missing"})) == {b"accept"}
    assert arrived.has_any(frozenset({b"host", b"missing"}))
    assert not arrived.has_any(frozenset({b"missing"}))
    assert arrived.block() == b"host: example\r\naccept: a\r\naccept: b\r\n"
    assert (len(arrived), list(arrived)) == (3, ["host", "accept", "accept"])
    assert arrived == Headers([*PAIRS])


def test_what_arrived_can_be_changed_alike(arrived):
    arrived.extend([(b"x", b"1")])
    arrived.extend([(b"x", b"2")])
    arrived.remove("accept")
    assert arrived.pairs == [(b"host", b"example"), (b"x", b"1"), (b"x", b"2")]
    assert arrived.block() == b"host: example\r\nx: 1\r\nx: 2\r\n"


def test_a_message_that_changes_its_fields_changes_nobody_elses():
    section = Section(PAIRS)
    first, second = Headers.shared(section), Headers.shared(section)
    first["host"] = "other"
    assert first.section is None
    assert second.section is section
    assert second.pairs == [*PAIRS]
    second.pairs.clear()
    assert Headers.shared(section).get("host") == "example"


def test_what_is_kept_with_fields_does_not_grow_with_those_who_keep_it():
    """A connection may outlive any number of reloads, each of which brings new policies."""
    section = Section(PAIRS)
    for number in range(1000):
        section.keep(f"policy {number}", number)
        section.among(frozenset({b"%d" % number}))
        section.without(frozenset({b"%d" % number}))
    assert section.memo["policy 999"] == 999
    assert len(section.memo) <= 32


def test_what_is_kept_with_fields_makes_no_cycle():
    """The garbage collector looks rarely, and a service's fields are others every second."""

    def use(names):
        headers = Headers.shared(Section(PAIRS))
        headers.drop(names)
        headers.extend_lines(NAMES, LINES)
        headers.drop(names)

    gc.collect()
    use(frozenset({b"accept"}))
    use(frozenset({b"missing"}))
    assert gc.collect() == 0


def test_no_fields_are_no_lines():
    assert Headers().block() == b""


def test_fields_are_dropped_alike(arrived):
    arrived.drop(frozenset({b"missing"}))
    arrived.drop(frozenset({b"accept", b"missing"}))
    assert arrived.block() == b"host: example\r\n"
    assert arrived.pairs == [(b"host", b"example")]


def test_what_is_dropped_from_one_message_stays_in_the_others_with_its_section():
    section = Section(PAIRS)
    first, second = Headers.shared(section), Headers.shared(section)
    first.drop(frozenset({b"accept"}))
    again = Headers.shared(section)
    again.drop(frozenset({b"accept"}))
    assert first.section is again.section, "worked out once"
    assert second.get_all("accept") == ["a", "b"]


NAMES, LINES = frozenset({b"x", b"y"}), b"x: 1\r\ny: a: b\r\nx: \r\n"
ADDED = [(b"x", b"1"), (b"y", b"a: b"), (b"x", b"")]


def test_lines_are_read_as_the_fields_they_are(arrived):
    arrived.extend_lines(NAMES, LINES)
    assert arrived.block() == b"host: example\r\naccept: a\r\naccept: b\r\n" + LINES
    assert arrived.names_among(frozenset({b"x", b"host", b"missing"})) == {b"x", b"host"}
    assert arrived.names_among(frozenset({b"host", b"missing"})) == {b"host"}
    assert arrived.has_any(frozenset({b"y"}))
    assert arrived.values() == {b"host": b"example", b"accept": b"a", b"x": b"1", b"y": b"a: b"}
    assert (arrived.only(b"y"), arrived.only(b"host"), arrived.only(b"missing")) == (b"a: b", b"example", None)
    for name in (b"x", b"accept"):
        with pytest.raises(ValueError, match="is there twice"):
            arrived.only(name)
    assert arrived.items() == [(name.decode(), value.decode()) for name, value in (*PAIRS, *ADDED)]
    assert arrived.pairs == [*PAIRS, *ADDED]


def test_lines_stand_behind_a_section_which_stays_as_it_is():
    section = Section(PAIRS)
    first, second = Headers.shared(section), Headers.shared(section)
    first.extend_lines(NAMES, LINES)
    assert first.section is second.section is section
    assert (first.lines, second.lines) == (LINES, b"")
    assert (first.view(), second.view()) == ((*PAIRS, *ADDED), PAIRS)
    assert first.pairs == [*PAIRS, *ADDED]
    assert first.lines == b""


def test_a_section_says_all_of_names_that_no_line_has():
    """Else what follows from a line of one message would be kept for others."""
    headers = Headers.shared(Section(PAIRS))
    assert headers.section_of(frozenset({b"x"})) is headers.section
    headers.extend_lines(NAMES, LINES)
    assert headers.section_of(frozenset({b"x", b"host"})) is None
    assert headers.section_of(frozenset({b"host"})) is headers.section
    assert Headers([*PAIRS]).section_of(frozenset({b"host"})) is None


def test_a_copy_has_the_same_fields_and_changes_alone(arrived):
    arrived.extend_lines(NAMES, LINES)
    copied = arrived.copy()
    copied.extend_lines(NAMES, LINES)
    assert [*arrived.view()] == [*PAIRS, *ADDED]
    assert [*copied.view()] == [*PAIRS, *ADDED, *ADDED]
    copied.pairs.clear()
    assert len(arrived) == len(PAIRS) + len(ADDED)


def test_what_has_lines_behind_it_can_be_changed_and_extended_further(arrived):
    arrived.extend_lines(NAMES, LINES)
    arrived.extend_lines(frozenset({b"z"}), b"z: 3\r\n")
    arrived.drop(frozenset({b"missing"}))
    arrived.drop(frozenset({b"accept"}))
    assert arrived.block() == b"host: example\r\n" + LINES + b"z: 3\r\n"
    arrived.drop(frozenset({b"accept", b"x"}))
    arrived.extend([(b"last", b"4")])
    assert arrived.pairs == [(b"host", b"example"), (b"y", b"a: b"), (b"z", b"3"), (b"last", b"4")]
