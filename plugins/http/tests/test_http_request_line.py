import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import GatewayError
from gateway_http.request_line import MAX_KNOWN_LENGTH, RequestLine, read_request_line, split_ordinary_line

METHODS = st.sampled_from([b"GET", b"POST", b"get", b"CONNECT", b"OPTIONS", b"BREW", b""])
TARGETS = st.one_of(
    st.text('/abc%2F.;:?&=#~"{}|\\^` \x00\x7f\xe9', max_size=300).map(lambda text: text.encode("latin-1")),
    st.sampled_from([b"*", b"/", b"http://example.com/a?b", b"//host/path", b"/a?b?c", b"/?"]),
)
VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"http/1.1", b""])


@given(METHODS, TARGETS, VERSIONS)
def test_what_is_split_quickly_is_split_alike(method: bytes, target: bytes, version: bytes) -> None:
    line = b"%b %b %b" % (method, target, version)
    for _ in range(2):  # once anew, once remembered
        found = split_ordinary_line(line)
        if found is not None:
            assert RequestLine(*found, "1.1") == read_request_line(line, 10_000)


@pytest.mark.parametrize(
    "line", [b"GET /a\r HTTP/1.1", b"GET  /a HTTP/1.1", b"GET /a HTTP/1.1 ", b"GET /\xe9 HTTP/1.1"]
)
def test_malformed_lines_are_not_split(line: bytes) -> None:
    assert split_ordinary_line(line) is None
    with pytest.raises(GatewayError):
        read_request_line(line, 10_000)


def test_long_lines_are_split_too() -> None:
    path = "/" + "a" * MAX_KNOWN_LENGTH
    assert split_ordinary_line(f"GET {path}?b HTTP/1.1".encode()) == ("GET", path, "b")
