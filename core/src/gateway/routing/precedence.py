"""Which of several matching routes gets the request.

In this order, each deciding only what those before it left open:

1. the higher priority;
2. the host: a name, then the longer wildcard, then any;
3. the path: exact, then templates and prefixes with more segments free of wildcards, with more literal text, without a
   rest wildcard, with more segments, with literal text further left; then regexes, the longer first;
4. more conditions (methods, header fields, query parameters) in total, then on methods, header fields and query
   parameters; then values before globs, regexes and mere presence.

A path fixes how many segments there are, so more segments free of wildcards means fewer wildcards. Regexes aside, a
route that matches only part of what another does comes first; the place in the file never matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.routing.hosts import ANY_HOST
from gateway.routing.pattern import GlobSegment, Pattern, Segment

if TYPE_CHECKING:
    from gateway.routing.conditions import Condition
    from gateway.routing.entry import RouteEntry

__all__ = ["precedence"]


def precedence(entry: RouteEntry[Any], host: str) -> tuple[object, ...]:
    """Return a key that sorts before that of every entry over which this one is preferred.

    Args:
        entry: A route.
        host: One of its hosts, in canonical form.
    """
    return (-entry.priority, _host_key(host), _path_key(entry.pattern), _condition_key(entry))


def _host_key(host: str) -> tuple[int, int]:
    if host == ANY_HOST:
        return (2, 0)
    return (1, -len(host)) if host.startswith("*.") else (0, 0)


def _path_key(pattern: Pattern) -> tuple[object, ...]:
    if pattern.regex is not None:
        return (2, -len(pattern.text), pattern.text)
    if pattern.exact_path is not None:
        return (0,)
    return (
        1,
        -pattern.literal_segments,
        -sum(map(_literal_length, pattern.segments)),
        pattern.rest is not None,
        -len(pattern.segments),
        tuple(map(_shape, pattern.segments)),
    )


def _literal_length(segment: Segment) -> int:
    match segment:
        case str():
            return len(segment)
        case GlobSegment():
            return sum(map(len, segment.glob.runs))
    return 0


def _shape(segment: Segment) -> tuple[int, ...]:
    match segment:
        case str():
            return (0,)
        case GlobSegment():
            return (1, *(-len(run) for run in segment.glob.runs))
    return (2,)


def _condition_key(entry: RouteEntry[Any]) -> tuple[object, ...]:
    methods, headers, query = int(entry.methods is not None), len(entry.headers), len(entry.query)
    return (
        -(methods + headers + query),
        -methods,
        -headers,
        tuple(sorted(map(_weakness, entry.headers))),
        tuple(sorted(map(_weakness, entry.query))),
    )


def _weakness(condition: Condition) -> tuple[int, int]:
    globs = [len(value) for value in condition.values if "*" in value]
    return (condition.weakness, -min(globs, default=0))
