"""The table agrees with a matcher that looks at every route, written for clearness alone."""

import itertools
import re
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.routing import (
    Miss,
    RouteEntry,
    RouteTable,
    find_conflicts,
    parse_header_conditions,
    parse_pattern,
    parse_query_conditions,
)


class Fields:
    def __init__(self, fields):
        self.fields = fields

    def get(self, name):
        return self.fields.get(name)

    def get_all(self, name):
        return [self.fields[name]] if name in self.fields else []


# The reference.


def expression(path):
    """Write a template as a regular expression."""
    segments = path[1:].split("/")
    rest = segments[-1] == "*" or segments[-1].endswith("...}")
    return "".join("/" + segment_expression(each) for each in segments[: -1 if rest else None]) + (
        "(/.*)?" if rest else ""
    )


def segment_expression(segment):
    if segment == "*" or segment.startswith(":"):
        return "[^/]+"
    pieces = re.split(r"(\{\w+\}|\*)", segment)
    return "".join(
        {"*": "[^/]*"}.get(piece) or ("[^/]+" if piece.startswith("{") else re.escape(piece)) for piece in pieces
    )


def accepts(entry, method, host, path, query, fields):
    if not re.fullmatch(entry.pattern.text if entry.pattern.regex else expression(entry.pattern.text), path):
        return False
    if not any(host_fits(wanted, host) for wanted in entry.hosts or ("*",)):
        return False
    if entry.methods and method not in entry.methods and not (method == "HEAD" and "GET" in entry.methods):
        return False
    return all(condition_holds(each, fields) for each in entry.headers) and all(
        condition_holds(each, query) for each in entry.query
    )


def host_fits(wanted, host):
    return wanted in ("*", host) or (wanted.startswith("*.") and host.endswith(wanted[1:]))


def condition_holds(condition, sent):
    if condition.values:
        return sent.get(condition.name) in condition.values
    return (condition.name in sent) == condition.present


def preference(entry, method, host):
    """Sort first what is preferred, by the order that is documented."""
    return (
        -entry.priority,
        min(host_preference(wanted) for wanted in entry.hosts or ("*",) if host_fits(wanted, host)),
        path_preference(entry.pattern.text, entry.pattern.path_type),
        -(bool(entry.methods) + len(entry.headers) + len(entry.query)),
        -bool(entry.methods),
        -len(entry.headers),
        sum(not each.values for each in entry.headers),
        sum(not each.present for each in entry.headers),
        method not in (entry.methods or ()),
    )


def host_preference(host):
    return (2, 0) if host == "*" else (1, -len(host)) if host.startswith("*.") else (0, 0)


def path_preference(path, path_type):
    if path_type == "regex":
        return (2, -len(path), path)
    segments = path[1:].split("/")
    rest = segments[-1] == "*"
    fixed = segments[: -1 if rest else None]
    literal = ["*" not in each and "{" not in each and not each.startswith(":") for each in fixed]
    if all(literal) and not rest:
        return (0,)
    text = [re.sub(r":\w+|\{\w+\}", "*", each).split("*") for each in fixed]
    return (
        1,
        -sum(literal),
        -sum(len(run) for runs in text for run in runs),
        rest,
        -len(fixed),
        [
            (0,) if plain else (2,) if runs == ["", ""] else (1, *(-len(run) for run in runs))
            for plain, runs in zip(literal, text, strict=True)
        ],
    )


def reference(entries, method, host, path, query, fields):
    matching = [entry for entry in entries if accepts(entry, method, host, path, query, fields)]
    if matching:
        return min(matching, key=lambda entry: (preference(entry, method, host), entry.id)).id
    methods = {method for entry in entries for method in entry.methods or ()}
    allowed = {
        method
        for entry in entries
        for method in (entry.methods or ())
        if accepts(entry, method, host, path, query, fields)
    }
    if "GET" in allowed:
        allowed.add("HEAD")
    assert allowed <= methods | {"HEAD"}
    return Miss(tuple(sorted(allowed)))


# What is compared.

SEGMENTS = st.sampled_from(["a", "b", "ab", ":x", "*", "a*", "*b", "{x}b", "a{x}", "a*b", "{x}-{y}"])


def rename(segment, at):
    """Give the parameters of a segment names that no other segment has."""
    return re.sub("[xy]", rf"\g<0>{at}", segment)


@st.composite
def templates(draw):
    segments = draw(st.lists(SEGMENTS, max_size=3))
    numbered = [rename(each, at) for at, each in enumerate(segments)]
    return "/" + "/".join([*numbered, *draw(st.sampled_from([[], ["*"], [""]]))])


PATTERNS = st.one_of(
    templates().map(parse_pattern),
    templates().map(parse_pattern),
    templates().map(parse_pattern),
    st.sampled_from(["/a.*", "/.*b", "/(a|b)/[^/]+"]).map(lambda text: parse_pattern(text, "regex")),
)
METHODS = st.none() | st.sampled_from([{"GET"}, {"POST"}, {"HEAD"}, {"GET", "POST"}]).map(frozenset)
HOSTS = st.sampled_from([(), (), ("a.x.org",), ("b.x.org",), ("*.x.org",), ("*.org",), ("a.x.org", "*.org")])
CONDITIONS = st.sampled_from(
    [None, None, {"k": "1"}, {"k": "2"}, {"k": {"present": True}}, {"k": {"present": False}}, {"k": "1", "l": "1"}]
)


@st.composite
def tables(draw):
    """Return entries that do not conflict."""
    entries = [
        RouteEntry(
            id=f"r{number}",
            pattern=draw(PATTERNS),
            methods=draw(METHODS),
            hosts=draw(HOSTS),
            headers=parse_header_conditions(draw(CONDITIONS)),
            query=parse_query_conditions(draw(CONDITIONS)),
            priority=draw(st.sampled_from([0, 0, 0, 1])),
            target=f"r{number}",
        )
        for number in range(draw(st.integers(1, 12)))
    ]
    while conflicts := find_conflicts(entries):
        entries = [entry for entry in entries if entry.id != conflicts[0].ids[1]]
    return entries


PARTS = ["a", "b", "ab", "aab", "a-b", "c", "-"]
PATHS = st.tuples(st.lists(st.sampled_from(PARTS), max_size=4), st.sampled_from(["", "/"])).map(
    lambda drawn: "/" + "/".join(drawn[0]) + (drawn[1] if drawn[0] else "")
)
SENT = st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["1", "2"]))


@settings(max_examples=100, deadline=None)
@given(
    entries=tables(),
    requests=st.lists(
        st.tuples(
            st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
            st.sampled_from(["a.x.org", "b.x.org", "c.x.org", "y.org", "z.net"]),
            PATHS,
            SENT,
            SENT,
        ),
        min_size=1,
        max_size=12,
    ),
    seed=st.integers(),
)
def test_table_agrees_with_the_reference_in_any_order(entries, requests, seed):
    table = RouteTable(entries)
    shuffled = RouteTable(Random(seed).sample(entries, len(entries)))  # noqa: S311 - an order, not a secret
    for method, host, path, query, fields in requests:
        text = "&".join(f"{name}={value}" for name, value in query.items())
        expected = reference(entries, method, host, path, query, fields)
        for each in (table, shuffled):
            found = each.match(method, host, path, text, Fields(fields))
            assert (found if isinstance(found, Miss) else found[0]) == expected


UNIVERSE = ["".join(chars) for length in range(1, 5) for chars in itertools.product("ab-", repeat=length)]
MATCHED = {
    segment: frozenset(path for path in UNIVERSE if re.fullmatch(segment_expression(segment), path))
    for segment in ("a", "b", "ab", ":x", "a*", "*b", "{x}b", "a{x}", "a*b", "{x}-{y}", "a*a*", "*ab*")
}


@given(
    st.lists(st.tuples(*[st.sampled_from(sorted(MATCHED))] * 2), min_size=1, max_size=3), st.sampled_from(["", "/*"])
)
def test_pattern_that_matches_less_comes_first(pairs, rest):
    """A template whose every segment matches part of what the other's does is preferred, so no route is unreachable."""
    assume_narrower = [(first, second) for first, second in pairs if MATCHED[first] < MATCHED[second]]
    if not assume_narrower:
        return
    narrow, wide = (
        RouteEntry(
            id=str(side),
            pattern=parse_pattern(
                "/" + "/".join(rename(pair[side], at) for at, pair in enumerate(assume_narrower)) + rest
            ),
            target=side,
        )
        for side in (0, 1)
    )
    if not find_conflicts([narrow, wide]):
        assert [entry.id for entry in RouteTable([wide, narrow]).entries] == ["0", "1"]
