from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Headers, Request
from gateway.credentials import cookie_values, query_values, remove_cookie, remove_query


def asking(*cookies: str, query: str = "") -> Request:
    return Request("GET", "/", query=query, headers=Headers.of([("cookie", each) for each in cookies]))


@pytest.mark.parametrize(
    ("cookies", "found"),
    [
        ([], []),
        (["a=1; session=abc; b=2"], [b"abc"]),
        (["session=abc"], [b"abc"]),
        (['session="abc"'], [b"abc"]),
        (['session="'], [b'"']),
        (["session = abc ;b=2"], [b"abc"]),
        (["session="], [b""]),
        (["session"], [b""]),
        (["session=a=b=="], [b"a=b=="]),
        (["xsession=1; sessions=2; Session=3"], []),
        (["other=session=abc"], []),
        # Twice is for the caller to judge, in one field or in two.
        (["session=1; session=2"], [b"1", b"2"]),
        (["session=1", "a=1; session=1"], [b"1", b"1"]),
    ],
)
def test_a_cookie_is_found_however_often_it_is_there(cookies, found):
    assert cookie_values(asking(*cookies), "session") == found


def test_what_other_fields_say_is_no_cookie():
    request = Request("GET", "/", headers=Headers.of([("x-cookie", "session=abc"), ("cookies", "session=abc")]))
    assert cookie_values(request, "session") == []
    remove_cookie(request, "session")
    assert request.headers.items() == [("x-cookie", "session=abc"), ("cookies", "session=abc")]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", []),
        ("a=1&key=abc", ["abc"]),
        ("key=a%20b+c", ["a b c"]),
        ("key", [""]),
        ("key=", [""]),
        ("key=a=b", ["a=b"]),
        ("monkey=1&keys=2&KEY=3", []),
        ("%6Bey=hidden", ["hidden"]),
        ("key=1&k%65y=2", ["1", "2"]),
        ("key=%FF", ["\ufffd"]),
        # Nobody agrees on semicolons: the WHATWG's parser takes them for text, as here.
        ("a=1;key=2", []),
    ],
)
def test_a_parameter_is_found_however_it_is_spelt(query, found):
    assert query_values(asking(query=query), "key") == found


def test_what_is_removed_is_gone_in_every_spelling_and_the_rest_stays_as_it_was():
    request = asking("a=1; key=2;  b=%20", "key=3", "c=4", query="x=%41&key=1&k%65y=2&&y")
    pairs = request.headers.pairs
    remove_cookie(request, "key")
    remove_query(request, "key")
    assert request.headers.get_all("cookie") == ["a=1; b=%20", "c=4"]
    assert request.headers.pairs is pairs
    assert request.query == "x=%41&&y"


@given(st.text(alphabet="abk=&%+e; 0", max_size=30))
def test_nothing_that_is_found_stays_after_it_was_removed(text):
    request = asking(text, query=text)
    remove_cookie(request, "k")
    remove_query(request, "k")
    assert cookie_values(request, "k") == []
    assert query_values(request, "k") == []


@given(st.text(min_size=1), st.text())
def test_what_was_encoded_is_found(name, value):
    try:
        query = f"{quote(name, safe='')}={quote(value, safe='')}&z"
    except UnicodeEncodeError:
        return
    assert query_values(asking(query=query), name)[0] == value
