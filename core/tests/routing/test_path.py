"""The canonical form of a path, and what has none."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing import MalformedPath, normalise_path
from gateway.routing.path import comparison_form


@pytest.mark.parametrize(
    "path", ["/", "/users", "/users/", "/users/42/posts", "/a;v=1/b", "/@me:x,y!$&'()*+=~", "/x.y/z.."]
)
def test_canonical_path_is_returned_as_it_is(path):
    assert normalise_path(path) is path


def test_empty_path_is_the_root():
    """RFC 9110 section 4.2.3: http://example.com and http://example.com/ are the same."""
    assert normalise_path("") == "/"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/%7Euser/%61b%2D%5f", "/~user/ab-_"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%20b%3a%2b%40", "/a%20b%3A%2B%40"),
        ("/what%3F/%23/100%25", "/what%3F/%23/100%25"),
        ("/%2ewell-known", "/.well-known"),
    ],
)
def test_escapes_of_unreserved_characters_are_decoded_and_others_get_upper_case(raw, path):
    """RFC 3986 sections 6.2.2.1 and 6.2.2.2."""
    assert normalise_path(raw) == path


@pytest.mark.parametrize("raw", ["/%252e%252e/admin", "/%252E%252E%252Fadmin", "/%25%32%65", "/%25%32%46"])
def test_nothing_is_decoded_twice(raw):
    path = normalise_path(raw)
    assert path.count("/") == raw.count("/")
    assert path.startswith("/%25")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/.", "/"),
        ("/a/b/c/../../d", "/a/d"),
        ("/public/../admin/x", "/admin/x"),
        ("/.well-known/x", "/.well-known/x"),
        ("/..a/.b/...", "/..a/.b/..."),
    ],
)
def test_dot_segments_are_removed(raw, path):
    """RFC 3986 section 5.2.4."""
    assert normalise_path(raw) == path


@pytest.mark.parametrize(
    ("raw", "path"), [("//", "/"), ("//a///b//", "/a/b/"), ("/a//../b", "/b"), ("/a//.//b", "/a/b")]
)
def test_runs_of_slashes_become_one(raw, path):
    assert normalise_path(raw) == path


def test_visible_characters_that_may_not_stand_raw_get_one_spelling():
    assert normalise_path('/{a}|b^`"<>[]') == "/%7Ba%7D%7Cb%5E%60%22%3C%3E%5B%5D"
    assert normalise_path("/%7ba%7D%7c") == normalise_path("/{a}|")


@pytest.mark.parametrize("raw", ["/..", "/../etc/passwd", "/a/../..", "/./../a", "/a/../../b", "//.."])
def test_climbing_above_the_root_is_refused(raw):
    with pytest.raises(MalformedPath, match="above the root"):
        normalise_path(raw)


@pytest.mark.parametrize("raw", ["/%", "/%2", "/%zz", "/a%2/b", "/%%32e", "/%u002e", "/%-1", "/%+f", "/% 2", "/%2%65"])
def test_invalid_escapes_are_refused(raw):
    with pytest.raises(MalformedPath):
        normalise_path(raw)


@pytest.mark.parametrize(
    "raw",
    [
        "/a%00.png",
        "/a\0",
        "/a%0d%0aSet-Cookie:x",
        "/a\r\n",
        "/a%09b",
        "/a\tb",
        "/%1f",
        "/%7F",
        "/\x7f",
        "/a b",
        "/a#b",
        "/a?b",
    ],
)
def test_control_characters_and_delimiters_are_refused(raw):
    with pytest.raises(MalformedPath):
        normalise_path(raw)


@pytest.mark.parametrize("raw", ["/a\\b", "/..\\admin", "/a%5cb", "/a%5Cb", "/..%5c..%5cadmin", "\\a"])
def test_backslashes_are_refused(raw):
    with pytest.raises(MalformedPath):
        normalise_path(raw, encoded_slashes=True)


@pytest.mark.parametrize("raw", ["/café", "/\N{FULLWIDTH SOLIDUS}..", "/\udce9", "/\x80"])
def test_text_that_no_request_line_can_carry_is_refused(raw):
    with pytest.raises(MalformedPath):
        normalise_path(raw)


@pytest.mark.parametrize("raw", ["a", "*", "http://example.com/", "%2Fa", "./a", ";/a"])
def test_path_without_slash_in_front_is_refused(raw):
    with pytest.raises(MalformedPath, match="starts with"):
        normalise_path(raw)


@pytest.mark.parametrize(
    "raw",
    [
        # Escaped: clients that resolve dot segments resolve these too, so they only come from somebody who hides them.
        "/public/%2e%2e/admin",
        "/public/.%2E/admin",
        "/public/%2e./admin",
        "/%2e/admin",
        "/a/%2e%2e",
        # With path parameters, which Java's servers cut off before they resolve dot segments.
        "/public/..;/admin",
        "/public/..;x=1/admin",
        "/public/.;/admin",
        "/a/..;",
        "/public/%2e%2e;/admin",
        "/public/..%3b/admin",
        "/public/..%3Bx/admin",
    ],
)
def test_disguised_dot_segments_are_refused(raw):
    with pytest.raises(MalformedPath, match="disguised"):
        normalise_path(raw)


@pytest.mark.parametrize(
    "raw", ["/%c0%ae%c0%ae/admin", "/..%c0%af", "/%C1%9C", "/%e0%80%af", "/%E0%80%AE/", "/%f0%80%80%af"]
)
def test_overlong_utf8_is_refused(raw):
    """RFC 3629 section 3: C0 AE is no dot, but some decoders make one of it."""
    with pytest.raises(MalformedPath, match="overlong"):
        normalise_path(raw)


def test_encoded_slash_is_refused_unless_wanted():
    with pytest.raises(MalformedPath, match="%2F"):
        normalise_path("/files/a%2fb")
    assert normalise_path("/files/a%2fb", encoded_slashes=True) == "/files/a%2Fb"


@pytest.mark.parametrize(
    "raw", ["/a/..%2fadmin", "/a%2f../admin", "/a%2F..%2Fb", "/a%2f.", "/%2e%2e%2fadmin", "/a%2f..;x"]
)
def test_encoded_slash_cannot_hide_a_dot_segment(raw):
    with pytest.raises(MalformedPath, match="disguised"):
        normalise_path(raw, encoded_slashes=True)


def test_message_does_not_repeat_a_long_path():
    with pytest.raises(MalformedPath) as caught:
        normalise_path("/" + "a" * 5000 + "%00")
    assert len(str(caught.value)) < 200


PIECES = [
    "/",
    "//",
    ".",
    "..",
    "%2e",
    "%2E",
    "%2f",
    "%3b",
    "%3A",
    "%25",
    "%",
    "2e",
    "2f",
    "a",
    "~",
    "%41",
    "%c3%a9",
    ";",
    ":",
    "{",
    " ",
    "\\",
]


@given(raw=st.lists(st.sampled_from(PIECES)).map(lambda pieces: "/" + "".join(pieces)), encoded_slashes=st.booleans())
def test_normalising_again_changes_nothing(raw, encoded_slashes):
    try:
        path = normalise_path(raw, encoded_slashes=encoded_slashes)
    except MalformedPath:
        return
    assert normalise_path(path, encoded_slashes=encoded_slashes) == path
    assert not {"", ".", ".."} & set(path[1:].split("/")[:-1])
    assert path.rpartition("/")[2] not in (".", "..")


@given(raw=st.text(string.printable, max_size=30).map("/".__add__))
def test_whatever_is_accepted_is_a_path_by_the_grammar(raw):
    """RFC 3986 section 3.3."""
    try:
        path = normalise_path(raw, encoded_slashes=True)
    except MalformedPath:
        return
    assert set(path) <= set(string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@/%")


def test_comparison_form_has_one_spelling_for_each_character_that_may_stand_raw():
    assert comparison_form("/jobs/7%3Acancel%2B%40%21%24%26%27%28%29%2A%2C%3B%3D") == "/jobs/7:cancel+@!$&'()*,;="
    assert comparison_form("/a%20b%2F%25%3A") == "/a%20b%2F%25:"
    assert comparison_form("/plain") == "/plain"
