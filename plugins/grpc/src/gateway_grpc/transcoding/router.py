"""Finds what a request is bound to, in time that does not depend on how many bindings there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from gateway import ErrorType, GatewayError
from gateway_grpc.transcoding.template import ANY, REST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway_grpc.transcoding.binding import Binding
    from gateway_grpc.transcoding.template import PathTemplate, Variable

__all__ = ["ANY_METHOD", "Match", "Router"]

ANY_METHOD = "*"
"""A kind of binding for every method of HTTP (``custom`` of ``google.api.http``)."""


@dataclass(frozen=True, slots=True)
class Match:
    """A binding, and what the variables of its path are.

    Attributes:
        binding: The binding.
        values: For each variable of its template its text, decoded.
    """

    binding: Binding
    values: Sequence[str]


class _Node:
    __slots__ = ("any", "bindings", "literals", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.rest: _Node | None = None
        # By verb, then by method of HTTP.
        self.bindings: dict[str, dict[str, Binding]] = {}


class Router:
    """All bindings, as a tree of segments.

    A plain text goes before ``*``, and that before ``**``; a method of HTTP before any.
    """

    def __init__(self) -> None:
        self._root = _Node()
        self._plain: dict[str, Binding] = {}

    def add(self, http_method: str, template: PathTemplate, binding: Binding) -> Binding | None:
        """Bind requests; returns what they are bound to already, if they are, which stays."""
        node = self._root
        for segment in template.segments:
            node = _child(node, segment)
        there = node.bindings.setdefault(template.verb, {})
        first = there.setdefault(http_method, binding)
        return None if first is binding else first

    def add_path(self, path: str, binding: Binding) -> None:
        """Bind POST of the path of a method as it is."""
        self._plain[path] = binding

    def find(self, http_method: str, path: str) -> Match:
        """Return what a request is bound to.

        Args:
            http_method: Of the request.
            path: Of the request, percent-encoded, without query.

        Raises:
            GatewayError: ``not_found``; ``method_not_allowed`` if only other methods are bound; ``bad_request`` if the
                path is no UTF-8.
        """
        plain = self._plain.get(path)
        if plain is not None and http_method == "POST":
            return Match(plain, ())
        raw = path[1:].split("/")
        segments = raw if "%" not in path else [_decoded(segment) for segment in raw]
        last, colon, verb = segments[-1].rpartition(":")
        allowed: set[str] = set()
        # "a:b" at the end may be a verb, or just a text with a colon.
        candidates = [([*segments[:-1], last], verb)] if colon else []
        for names, wanted in (*candidates, (segments, "")):
            node = self._find(names, wanted, http_method, allowed)
            if node is not None:
                binding = node.get(http_method) or node[ANY_METHOD]
                return Match(binding, _values(binding.template.variables, names, raw))
        if plain is not None:
            allowed.add("POST")
        if allowed:
            allow = ", ".join(sorted(allowed)).encode("ascii", "replace")
            raise GatewayError(
                ErrorType.METHOD_NOT_ALLOWED,
                f"{http_method} is not bound to a method here",
                headers=[(b"allow", allow)],
            )
        raise GatewayError(ErrorType.NOT_FOUND, "no method of the service is bound to this path")

    def _find(
        self, segments: Sequence[str], verb: str, http_method: str, allowed: set[str]
    ) -> Mapping[str, Binding] | None:
        """Return the bindings of a path that has one for the method; notes the methods of those that have none."""
        # A list of what is still to be tried, best last. No node is ever tried twice.
        waiting: list[tuple[_Node, int]] = [(self._root, 0)]
        count = len(segments)
        while waiting:
            node, at = waiting.pop()
            if at == count:
                found = node.bindings.get(verb)
                if found is not None:
                    if http_method in found or ANY_METHOD in found:
                        return found
                    allowed.update(found)
            if node.rest is not None:
                waiting.append((node.rest, count))
            if at < count:
                # What is empty is no segment: "/a//b" and "/a/" have nothing for a variable.
                if node.any is not None and segments[at]:
                    waiting.append((node.any, at + 1))
                literal = node.literals.get(segments[at])
                if literal is not None:
                    waiting.append((literal, at + 1))
        return None


def _child(node: _Node, segment: str) -> _Node:
    if segment == REST:
        if node.rest is None:
            node.rest = _Node()
        return node.rest
    if segment == ANY:
        if node.any is None:
            node.any = _Node()
        return node.any
    return node.literals.setdefault(segment, _Node())


def _decoded(segment: str) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as error:
        raise GatewayError(ErrorType.BAD_REQUEST, "the path is no UTF-8") from error


def _values(variables: Sequence[Variable], names: Sequence[str], raw: Sequence[str]) -> list[str]:
    """Return the texts of variables: fully decoded, but for slashes where there may be several segments."""
    return [names[variable.start] if variable.is_single else _joined(variable, names, raw) for variable in variables]


def _joined(variable: Variable, names: Sequence[str], raw: Sequence[str]) -> str:
    end = len(names) if variable.end is None else variable.end
    return "/".join(
        # "{var=**}": reserved characters stay as they are, so that the service can tell a slash in a name from others.
        name.replace("/", "%2F") if "%" in source else name
        for name, source in zip(names[variable.start : end], raw[variable.start : end], strict=True)
    )
