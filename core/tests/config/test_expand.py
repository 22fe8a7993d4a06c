from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.expand import expand

ENVIRON = {"HOST": "example.org", "PORT": "8080", "EMPTY": "", "NESTED": "${HOST}"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${PORT}", "8080"),
        ("http://${HOST}:${PORT}/", "http://example.org:8080/"),
        ("${MISSING:-fallback}", "fallback"),
        ("${MISSING:-}", ""),
        ("${EMPTY:-fallback}", "fallback"),
        ("${EMPTY}", ""),
        ("${PORT:-80}", "8080"),
        ("${MISSING:-${PORT}}", "8080"),
        ("${MISSING:-a${ALSO:-b}c}", "abc"),
        ("${NESTED}", "${HOST}"),
        ("$${PORT}", "${PORT}"),
        ("$$${PORT}", "$${PORT}"),
        (
            "$PORT $1 ${1} ${request.id} ${header:X} ${MISSING:-open",
            "$PORT $1 ${1} ${request.id} ${header:X} ${MISSING:-open",
        ),
    ],
)
def test_references_are_replaced_and_everything_else_is_text(text, expanded):
    expansion = expand(text, ENVIRON)
    assert expansion.text == expanded
    assert expansion.missing == ()


def test_missing_variables_are_named():
    assert expand("${A}${B}${HOST}", ENVIRON).missing == ("A", "B")


def test_a_variable_in_a_default_that_is_not_needed_may_be_missing():
    expansion = expand("${HOST:-${A}}", ENVIRON)
    assert (expansion.text, expansion.missing, expansion.names) == ("example.org", (), ("HOST",))


@pytest.mark.parametrize(
    ("text", "is_whole"),
    [("${PORT}", True), ("${X:-${PORT}}", True), ("8${PORT}", False), ("${PORT}${PORT}", False), ("$${PORT}", False)],
)
def test_whole_references_are_told_from_parts(text, is_whole):
    assert expand(text, ENVIRON).is_whole is is_whole


@given(st.text(alphabet="ab${}:-$ "))
def test_text_without_references_stays(text):
    if "${" not in text:
        assert expand(text, ENVIRON).text == text


@given(st.text(alphabet="AB${}:-").filter(lambda text: "$$" not in text))
def test_escaped_text_comes_out_as_it_is(text):
    assert expand(text.replace("${", "$${"), ENVIRON).text == text


@given(st.text(max_size=20), st.text(alphabet=st.characters(exclude_characters="${}"), max_size=10))
def test_what_a_variable_holds_is_never_expanded(value, beside):
    assert expand(beside + "${V}" + beside, {"V": value}).text == beside + value + beside


@given(st.text(alphabet="AB${}:-", max_size=30))
def test_any_text_can_be_expanded(text):
    expansion = expand(text, {"A": "1"})
    assert set(expansion.missing) <= set(expansion.names)
