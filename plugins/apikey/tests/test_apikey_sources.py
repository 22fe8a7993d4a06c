"""Keys in requests, however the request is written."""

from __future__ import annotations

import contextlib
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Headers, Request
from gateway_apikey.config import ApiKeyConfig
from gateway_apikey.sources import Malformed, Source, sources_of

KEY = "k-3b1f8e3f2d6c"


def source(**places: str) -> Source:
    (found,) = sources_of(ApiKeyConfig.model_validate({"headerName": None, **places}))
    return found


def request(query: str = "", *fields: tuple[str, str]) -> Request:
    return Request("GET", "/", query=query, headers=Headers.of(fields))


names = st.text(st.characters(codec="ascii", exclude_characters="&=#?"), max_size=5)


@given(st.lists(st.tuples(names, names), max_size=5), st.integers(0, 5))
def test_a_parameter_is_found_and_taken_off_between_any_others(others, position):
    others = [(name, value) for name, value in others if urllib.parse.unquote_plus(name) != "key"]
    written = [f"{name}={value}" for name, value in others]
    asked = request("&".join([*written[:position], f"key={KEY}", *written[position:]]))
    query = source(queryParam="key")
    assert query.find(asked) == KEY.encode()
    query.remove(asked)
    assert asked.query == "&".join(written)
    assert query.find(asked) is None


@given(st.text(max_size=60))
def test_no_query_does_harm(text):
    asked, query = request(text), source(queryParam="key")
    with contextlib.suppress(Malformed):
        query.find(asked)
    query.remove(asked)
    assert query.find(asked) is None
    assert "key" not in dict(urllib.parse.parse_qsl(asked.query, keep_blank_values=True))


cookie_text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)


@given(st.lists(cookie_text, max_size=3))
def test_no_cookie_field_does_harm(values):
    asked = request("", *(("cookie", value) for value in values))
    cookie = source(cookieName="a")
    with contextlib.suppress(Malformed):
        cookie.find(asked)
    cookie.remove(asked)
    assert cookie.find(asked) is None


@given(st.lists(st.sampled_from(["b=1", "c=2", 'd="x y"', "ab=3"]), max_size=4), st.integers(0, 4))
def test_a_cookie_is_found_and_taken_off_between_any_others(others, position):
    cookies = [*others[:position], f"a={KEY}", *others[position:]]
    asked = request("", ("cookie", "; ".join(cookies)))
    cookie = source(cookieName="a")
    assert cookie.find(asked) == KEY.encode()
    cookie.remove(asked)
    assert (asked.headers.get("cookie") or "") == "; ".join(others)


@pytest.mark.parametrize("value", [f"ApiKey {KEY}", f"apikey  {KEY}", f"APIKEY {KEY} "])
def test_the_scheme_is_read_without_case(value):
    """RFC 9110 section 11.1."""
    assert source(scheme="ApiKey").find(request("", ("authorization", value))) == KEY.encode()


@pytest.mark.parametrize("value", [f"Bearer {KEY}", f"ApiKeys {KEY}", f"ApiKey={KEY}", "", " "])
def test_another_scheme_is_for_others(value):
    assert source(scheme="ApiKey").find(request("", ("authorization", value))) is None


def test_without_a_key_in_the_request_nothing_is_found():
    config = ApiKeyConfig.model_validate({"scheme": "ApiKey", "queryParam": "k", "cookieName": "c"})
    assert [each.find(request("a=1", ("cookie", "d=1"))) for each in sources_of(config)] == [None] * 4
