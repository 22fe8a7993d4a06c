"""What the service sees of the path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing import MalformedPath, build_rewrite, normalise_path


@pytest.mark.parametrize(
    ("path", "rewritten"),
    [
        ("/api/users", "/users"),
        ("/api/users/", "/users/"),
        ("/api/", "/"),
        ("/api", "/"),
        ("/apis/users", "/apis/users"),
        ("/other", "/other"),
        ("/", "/"),
    ],
)
@pytest.mark.parametrize("prefix", ["/api", "/api/", "//%61pi"])
def test_prefix_is_stripped_by_whole_segments(prefix, path, rewritten):
    rewrite = build_rewrite(prefix, None)
    assert rewrite is not None
    assert rewrite(path) == rewritten


def test_prefix_of_several_segments():
    rewrite = build_rewrite("/api/v1", None)
    assert rewrite is not None
    assert rewrite("/api/v1/a/b") == "/a/b"
    assert rewrite("/api/v1") == "/"
    assert rewrite("/api/v2") == "/api/v2"
    assert rewrite("/api") == "/api"


def test_escapes_are_compared_like_routes_compare_them_and_the_rest_is_left_alone():
    rewrite = build_rewrite("/a:b", None)
    assert rewrite is not None
    assert rewrite("/a%3Ab/c%3Ad") == "/c%3Ad"


@pytest.mark.parametrize(("path", "rewritten"), [("/users", "/v2/users"), ("/", "/v2/"), ("/a%2Fb", "/v2/a%2Fb")])
def test_prefix_is_added(path, rewritten):
    rewrite = build_rewrite(None, "/v2/")
    assert rewrite is not None
    assert rewrite(path) == rewritten


def test_one_prefix_is_replaced_by_another():
    rewrite = build_rewrite("/api", "/internal/v2")
    assert rewrite is not None
    assert rewrite("/api/users") == "/internal/v2/users"
    assert rewrite("/api/") == "/internal/v2/"
    assert rewrite("/api") == "/internal/v2"
    assert rewrite("/other") == "/internal/v2/other"


@pytest.mark.parametrize(("strip", "add"), [(None, None), ("", ""), ("/", None), ("/", "/"), (None, "//")])
def test_nothing_to_do_costs_nothing(strip, add):
    assert build_rewrite(strip, add) is None


@pytest.mark.parametrize("prefix", ["api", "/a/%2e%2e", "/a b", "/.."])
def test_prefix_that_is_no_path_is_refused(prefix):
    with pytest.raises(MalformedPath):
        build_rewrite(prefix, None)
    with pytest.raises(MalformedPath):
        build_rewrite(None, prefix)


PATHS = st.lists(st.sampled_from(["a", "b", "a:b", "a%3Ab", "%2F", ""]), max_size=4).map(
    lambda segments: normalise_path("/" + "/".join(segments), encoded_slashes=True)
)


@given(strip=st.none() | PATHS, add=st.none() | PATHS, path=PATHS)
def test_result_is_a_canonical_path(strip, add, path):
    rewrite = build_rewrite(strip, add)
    rewritten = rewrite(path) if rewrite else path
    assert rewritten.startswith("/")
    assert normalise_path(rewritten, encoded_slashes=True) == rewritten
