"""What rules may write as their path, and what they are told otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.headers import Headers
from gateway.routing import PatternError, RouteEntry, RouteTable, parse_pattern
from gateway.routing.glob import Glob


def matches(pattern, path, path_type="template"):
    """Return the parameters, or ``None`` if the path does not match."""
    table = RouteTable([RouteEntry(id="route", pattern=parse_pattern(pattern, path_type), target="route")])
    found = table.match("GET", "", path, "", Headers())
    return dict(found[1]) if isinstance(found, tuple) else None


@pytest.mark.parametrize("pattern", ["/users/:id", "/users/{id}"])
def test_parameter_is_one_segment(pattern):
    assert matches(pattern, "/users/42") == {"id": "42"}
    assert matches(pattern, "/users/") is None
    assert matches(pattern, "/users") is None
    assert matches(pattern, "/users/42/") is None
    assert matches(pattern, "/users/42/posts") is None


def test_several_parameters():
    assert matches("/users/:user/posts/{post-id}", "/users/ann/posts/7") == {"user": "ann", "post-id": "7"}


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_trailing_star_matches_the_bare_prefix(path):
    assert matches("/api/*", path) == {"*": ""}


def test_trailing_star_matches_everything_below_and_only_that():
    assert matches("/api/*", "/api/x/y/") == {"*": "x/y/"}
    assert matches("/api/*", "/apis") is None
    assert matches("/*", "/") == {"*": ""}
    assert matches("/*", "/a/b") == {"*": "a/b"}


def test_rest_can_have_a_name():
    assert matches("/files/{path...}", "/files/a/b") == {"path": "a/b"}
    assert matches("/:tenant/files/{path...}", "/acme/files") == {"tenant": "acme", "path": ""}


def test_star_in_the_middle_is_one_segment():
    assert matches("/api/*/users", "/api/v1/users") == {}
    assert matches("/api/*/users", "/api/v1/v2/users") is None
    assert matches("/api/*/users", "/api//users") is None


def test_several_stars():
    assert matches("/*/users/*/posts/*", "/v1/users/7/posts/8/9") == {"*": "8/9"}


def test_star_inside_a_segment():
    assert matches("/v*/users/*", "/v2/users/7") == {"*": "7"}
    assert matches("/v*/users", "/v/users") == {}
    assert matches("/v*/users", "/w2/users") is None
    assert matches("/api/users*", "/api/users") == {}
    assert matches("/api/users*", "/api/users-old") == {}
    assert matches("/api/users*", "/api/users/7") is None
    assert matches("/*.json", "/a.json") == {}
    assert matches("/*.json", "/json") is None
    assert matches("/a*b*c", "/a-b-b-c") == {}
    assert matches("/a*b*c", "/acb") is None


def test_parameter_inside_a_segment():
    assert matches("/v1/{job}:cancel", "/v1/7:cancel") == {"job": "7"}
    assert matches("/v1/{job}:cancel", "/v1/:cancel") is None
    assert matches("/{name}.{format}", "/a.tar.gz") == {"name": "a", "format": "tar.gz"}
    assert matches("/*-{id}-*", "/x-7-y") == {"id": "7"}
    assert matches("/:kind/{from}..{to}/*", "/n/1..2/x") == {"kind": "n", "from": "1", "to": "2", "*": "x"}


def test_values_are_decoded():
    assert matches("/users/:id", "/users/a%20b") == {"id": "a b"}
    assert matches("/{a}-{b}", "/%C3%A9-%2F") == {"a": "é", "b": "/"}
    assert matches("/files/*", "/files/a%20b/c") == {"*": "a b/c"}
    assert matches("/:a/:b", "/%25/x") == {"a": "%", "b": "x"}


def test_trailing_slash_counts():
    assert matches("/users", "/users/") is None
    assert matches("/users/", "/users/") == {}
    assert matches("/users/", "/users") is None
    assert matches("/:id/", "/7/") == {"id": "7"}
    assert matches("/", "/") == {}


def test_exact_takes_every_character_for_itself():
    assert matches("/a/*", "/a/*", "exact") == {}
    assert matches("/a/*", "/a/b", "exact") is None
    assert matches("/:id/{x}", "/:id/%7Bx%7D", "exact") == {}


@pytest.mark.parametrize("prefix", ["/api", "/api/"])
def test_prefix_matches_whole_segments(prefix):
    assert matches(prefix, "/api", "prefix") == {"*": ""}
    assert matches(prefix, "/api/x/y", "prefix") == {"*": "x/y"}
    assert matches(prefix, "/apis", "prefix") is None
    assert matches("/", "/x", "prefix") == {"*": "x"}


def test_regex_matches_the_whole_path_and_captures_groups():
    assert matches(r"/users/(?P<id>\d+)(?:/(posts|likes))?", "/users/7/posts", "regex") == {"id": "7", "2": "posts"}
    assert matches(r"/users/(?P<id>\d+)(?:/(posts|likes))?", "/users/7", "regex") == {"id": "7"}
    assert matches(r"/users/\d+", "/users/7/posts", "regex") is None
    assert matches(r"^/a$", "/a", "regex") == {}


def test_patterns_are_normalised_like_paths():
    assert matches("/api//%7Euser/./x/../y", "/api/~user/y") == {}
    assert matches("/café/:id", "/caf%C3%A9/7") == {"id": "7"}
    assert matches("/é*", "/%C3%A9a") == {}
    assert matches("/%caf", "/%CAf") == {}
    assert matches("/a|b", "/a%7Cb") == {}
    assert matches("/%3Aid/%2A", "/:id/*") == {}


def test_escape_of_a_character_that_may_stand_raw_does_not_slip_past_a_rule():
    assert matches("/jobs:batch", "/jobs%3Abatch") == {}
    assert matches("/jobs%3Abatch", "/jobs:batch") == {}
    assert matches("/jobs/{id}:cancel", "/jobs/7%3Acancel") == {"id": "7"}


@pytest.mark.parametrize(
    ("pattern", "column", "remedy"),
    [
        ("", 1, "write '/'"),
        ("api", 1, "write '/api'"),
        ("*", 1, "write '/*'"),
        ("/a/{id", 4, "write '{name}', or '%7B'"),
        ("/a/id}", 6, "'%7D'"),
        ("/a/{", 4, "never closed"),
        ("/a/}/b", 4, "closes nothing"),
        ("/a/{}", 4, "not a name"),
        ("/a/:", 4, "'%3A'"),
        ("/a/:user-id", 4, "'{name}' beside text"),
        ("/a/{1x}", 4, "not a name"),
        ("/a/{id:[0-9]+}", 4, "pathType regex"),
        ("/a/{id?}", 4, "not a name"),
        ("/:id/b/{id}", 8, "'id' is used twice"),
        ("/a/**/b", 4, "'**' means nothing"),
        ("/a/b**", 5, "'**' means nothing"),
        ("/{p...}/b", 2, "write it last"),
        ("/a/b{p...}", 5, "a segment of its own"),
        ("/a/{x}{y}", 7, "put text between"),
        ("/a/{x}*", 7, "put text between"),
        ("/a b", 2, "unless percent-encoded"),
        ("/a/b c*", 4, "unless percent-encoded"),
        ("/a%zz", 2, "not an escape"),
        ("/a\\b", 2, "no request can have such a path"),
        ("/a?b=c", 2, "queryParams"),
        ("/a/%2e%2e/b", 4, "disguised"),
        ("/../a", 1, "without dot segments"),
    ],
)
def test_mistake_is_shown_with_its_place_and_a_remedy(pattern, column, remedy):
    with pytest.raises(PatternError) as caught:
        parse_pattern(pattern)
    message = str(caught.value)
    assert caught.value.column == column
    assert message.startswith(repr(pattern))
    assert remedy in message


@pytest.mark.parametrize(
    ("regex", "column", "remedy"),
    [
        ("/a(b", 3, "not a regular expression"),
        ("/a{99999999999999999999}", 1, "write a simpler one"),
        ("(?<go>a)", 2, "Python"),
    ],
)
def test_mistake_in_a_regex_is_found_at_load(regex, column, remedy):
    with pytest.raises(PatternError, match=remedy) as caught:
        parse_pattern(regex, "regex")
    assert caught.value.column == column


def test_prefix_with_a_star_is_refused():
    with pytest.raises(PatternError, match="write '/api'"):
        parse_pattern("/api/*", "prefix")
    with pytest.raises(PatternError, match="write '/'"):
        parse_pattern("/*", "prefix")


def test_unknown_path_type_is_refused():
    with pytest.raises(ValueError, match="'glob' is not a path type; write one of template, exact, prefix, regex"):
        parse_pattern("/a", "glob")


def test_literal_prefix_is_what_can_be_stripped():
    assert parse_pattern("/api/v1/:id/x").literal_prefix == "/api/v1"
    assert parse_pattern("/api/*").literal_prefix == "/api"
    assert parse_pattern("/*").literal_prefix == ""
    assert parse_pattern("/api/", "prefix").literal_prefix == "/api"
    assert parse_pattern("/.*", "regex").literal_prefix == ""


def naive_glob(runs, minimums, text):
    """Try every length of the first wildcard."""
    if not minimums:
        return text == runs[0]
    rest = text.removeprefix(runs[0])
    if not text.startswith(runs[0]):
        return False
    return any(naive_glob(runs[1:], minimums[1:], rest[taken:]) for taken in range(minimums[0], len(rest) + 1))


RUN = st.text("ab", min_size=1, max_size=3)


@given(
    runs=st.tuples(st.text("ab", max_size=2), st.lists(RUN, max_size=2), st.text("ab", max_size=2)),
    minimums=st.lists(st.integers(0, 1), min_size=3, max_size=3),
    text=st.text("ab", max_size=10),
)
def test_glob_agrees_with_one_that_tries_everything(runs, minimums, text):
    first, inner, last = runs
    glob = Glob((first, *inner, last), tuple(minimums[: len(inner) + 1]))
    assert glob.matches(text) == naive_glob(list(glob.runs), list(glob.minimums), text)
    if spans := glob.spans(text):
        woven = "".join(run + span for run, span in zip(glob.runs, [*spans, ""], strict=True))
        assert woven == text
