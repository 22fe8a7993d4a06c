"""Which rule a request gets, and why the others do not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gateway.cli.arguments import UsageError
from gateway.cli.describe import condition_text
from gateway.headers import Headers
from gateway.messages import Request
from gateway.pluginhost import PseudoMethods
from gateway.routing import MalformedPath, Miss, RouteEntry, RouteTable, normalise_path, parse_pattern
from gateway.routing.precedence import precedence
from gateway.runtime.compiling import ADMIN_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config import Configuration, ConfiguredRule

__all__ = ["Asked", "Found", "Verdict", "find_rule", "parse_request", "verdicts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that somebody asks about.

    Attributes:
        method: The method.
        host: The host, perhaps with a port; empty if there is none.
        raw_path: The path as it would be sent.
        query: The query without ``?``.
        headers: The header fields.
    """

    method: str
    host: str
    raw_path: str
    query: str
    headers: Headers

    def as_request(self) -> Request:
        """Return it as plugins would see it."""
        upgrade = (self.headers.get("upgrade") or "").lower() or None
        return Request(
            self.method, self.raw_path, query=self.query, headers=self.headers, host=self.host, upgrade=upgrade
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a request gets.

    Attributes:
        path: The path in canonical form; ``None`` if it has none.
        rule: The rule, if there is one.
        is_own: Whether the gateway answers by itself, before it looks at any rule.
        method: The method as rules may name it.
        pseudo_methods: The pseudo methods that rules name.
        params: The captured parameters.
        status: What is answered where no rule matches: 400, 404 or 405; 0 if one does.
        reason: Why.
        allowed: The methods that there are rules for, with 405.
    """

    path: str | None
    rule: ConfiguredRule | None = None
    is_own: bool = False
    method: str = ""
    pseudo_methods: frozenset[str] = frozenset()
    params: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    reason: str = ""
    allowed: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether the rules were not looked at."""
        return self.is_own or self.path is None

    @property
    def answer(self) -> str:
        """What is answered where no rule matches, and why, for people."""
        if self.is_own:
            return self.reason
        allowed = f"; allowed are {', '.join(self.allowed)}" if self.allowed else ""
        return f"{self.status}: {self.reason}{allowed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a rule has to do with a request.

    Attributes:
        rule: The rule.
        is_chosen: Whether the request gets it.
        has_path: Whether the path at least is one of its own.
        reasons: Why the request does not get it.
    """

    rule: ConfiguredRule
    is_chosen: bool
    has_path: bool
    reasons: tuple[str, ...]


_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://(?P<host>[^/?#]*))?(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?", re.IGNORECASE)
_METHOD = re.compile(r"[A-Z0-9!#$%&'*+.^_`|~-]+")


def parse_request(method: str, url: str, fields: Sequence[str] = ()) -> Asked:
    """Return the request that the words mean. The URL is taken as it is, not tidied up as browsers do.

    Args:
        method: The method, in any case.
        url: With scheme and host, or a path only.
        fields: Header fields as ``Name: value``; ``Host`` counts more than the URL's.

    Raises:
        UsageError: If they mean none.
    """
    if not _METHOD.fullmatch(method.upper()):
        raise UsageError(f"gateway: {method!r} is not a method; write one such as GET")
    parts = _URL.match(url)
    if parts is None or (parts["host"] is None and not url.startswith("/")):
        raise UsageError(f"gateway: {url!r} is not a URL; write http://{url} or /{url}")
    headers = _headers(fields)
    host = headers.get("host") or (parts["host"] or "").rpartition("@")[2]
    return Asked(method=method.upper(), host=host, raw_path=parts["path"], query=parts["query"] or "", headers=headers)


def _headers(fields: Sequence[str]) -> Headers:
    headers = Headers()
    for line in fields:
        name, colon, value = line.partition(":")
        if not colon:
            raise UsageError(f"gateway: {line!r} is not a header field; write 'Name: value'")
        try:
            headers.add(name, value.strip())
        except ValueError as error:
            raise UsageError(f"gateway: {line!r} is not a header field: {error}") from error
    return headers


def find_rule(asked: Asked, configuration: Configuration) -> Found:
    """Return what a request gets."""
    try:
        path = normalise_path(asked.raw_path, encoded_slashes=configuration.gateway.router.encoded_slashes)
    except MalformedPath as error:
        return Found(path=None, status=400, reason=f"the path is malformed: {error}")
    if f"{path}/".startswith(f"{ADMIN_PREFIX}/"):
        return Found(path=path, is_own=True, reason=f"everything below {ADMIN_PREFIX} is the gateway's own")
    entries = [rule.entry(rule) for rule in configuration.rules]
    named = {method for entry in entries for method in entry.methods or ()}
    pseudo_methods = PseudoMethods(configuration.host, named)
    try:
        method = pseudo_methods.method_of(asked.as_request())
    except Exception as error:  # noqa: BLE001 - whatever a plugin's function raises
        return Found(path=path, method=asked.method, status=500, reason=f"a plugin's pseudo method raised {error!r}")
    table = RouteTable(entries, pseudo_methods=pseudo_methods.names)
    match = table.match(method, asked.host, path, asked.query, asked.headers)
    found = Found(path=path, method=method, pseudo_methods=pseudo_methods.names)
    if not isinstance(match, Miss):
        rule, params = match
        return replace(found, rule=rule, params=params)
    if match.allowed:
        return replace(found, status=405, reason="no rule is for this method", allowed=match.allowed)
    return replace(found, status=404, reason="no rule matches")


def verdicts(asked: Asked, found: Found, rules: Sequence[ConfiguredRule]) -> list[Verdict]:
    """Return what each of the rules has to do with a request whose path is well-formed."""
    request = _Request(asked, found)
    return [_verdict(rule, request, found.rule) for rule in rules]


def _verdict(rule: ConfiguredRule, request: _Request, chosen: ConfiguredRule | None) -> Verdict:
    has_path = request.has_path(rule.matches)
    reasons = [] if has_path else ["another path"]
    reasons += request.misses(rule.matches)
    is_chosen = rule is chosen
    if not reasons and not is_chosen and chosen is not None:
        reasons.append(f"matches too, but {chosen.matches.id} comes first: {request.preference(chosen, rule)}")
    return Verdict(rule=rule, is_chosen=is_chosen, has_path=has_path, reasons=tuple(reasons))


_EVERYTHING = parse_pattern("/*")
_PREFERENCES = ("a higher priority", "a more specific host", "a more specific path", "more conditions")
"""What each part of a rule's precedence means for the one that comes first."""
_TIE = "equal otherwise, it names the method itself or its id sorts first"


class _Request:
    """Tries a request on parts of rules; a table of its own matches each part, so that it means what it means there."""

    def __init__(self, asked: Asked, found: Found) -> None:
        self._asked = asked
        self._found = found

    def has_path(self, entry: RouteEntry[int]) -> bool:
        """Say whether the path is one of the rule's."""
        return self._matches(RouteEntry(id="", pattern=entry.pattern, target=None))

    def misses(self, entry: RouteEntry[int]) -> list[str]:
        """Return what the request is not like, its path aside."""
        missed = []
        if entry.hosts and not self._has("hosts", entry.hosts):
            missed.append(f"host is not {' or '.join(entry.hosts)}")
        if entry.methods is not None and not self._has("methods", entry.methods):
            missed.append(f"method is not {' or '.join(sorted(entry.methods))}")
        missed += [f"not {condition_text(each)}" for each in entry.headers if not self._has("headers", (each,))]
        missed += [f"not {condition_text(each)}" for each in entry.query if not self._has("query", (each,))]
        return missed

    def preference(self, first: ConfiguredRule, second: ConfiguredRule) -> str:
        """Say why the first of two rules that match comes first."""
        keys = zip(_PREFERENCES, self._precedence(first), self._precedence(second), strict=True)
        return next((name for name, one, other in keys if one != other), _TIE)

    def _precedence(self, rule: ConfiguredRule) -> tuple[Any, ...]:
        entry = rule.matches
        hosts = [host for host in entry.canonical_hosts if host == "*" or self._has("hosts", (host,))]
        return min(precedence(entry, host) for host in hosts)

    def _has(self, part: str, value: object) -> bool:
        options: dict[str, Any] = {part: value}
        return self._matches(RouteEntry(id="", pattern=_EVERYTHING, target=None, **options))

    def _matches(self, entry: RouteEntry[None]) -> bool:
        asked = self._asked
        table = RouteTable([entry], pseudo_methods=self._found.pseudo_methods)
        path = self._found.path or "/"
        match = table.match(self._found.method, asked.host, path, asked.query, asked.headers)
        return not isinstance(match, Miss)
