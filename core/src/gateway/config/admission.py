"""Which rules of a route source are let in, and what the operator adds to them.

Whoever may label a container or write an object of a cluster writes rules, and is not the operator. So a rule is
bounded before anything else is done with it, may set only what its source's block allows, and may be fenced in by
hosts, paths and a highest priority. Text in it is never expanded as an environment variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.config.access import covers, parse_skip_path
from gateway.config.aliases import apply_aliases
from gateway.config.merge import merge
from gateway.config.places import Block, Place, block_of, find_entry
from gateway.config.report import Report
from gateway.config.suggest import closest
from gateway.routing import parse_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.config.result import Configured, ConfiguredRule
    from gateway.interfaces import SourcedRule
    from gateway.plugin_config import RouteSourceConfig

__all__ = ["Admission", "NotAdmitted"]

MAX_DEPTH = 16
MAX_VALUES = 1000
MAX_RULE_LENGTH = 65536
"""Characters of all keys and texts of a rule. Kubernetes takes objects of 1.5 MB; rules people write have some 300."""
MAX_WHERE_LENGTH = 200

_HOST_KEYS = ("host", "hosts")
_STRICTER = (("authRequired",), ("auth", "required"))
"""Keys that may always be ``true``: whoever asks for credentials weakens nothing."""


class NotAdmitted(Exception):
    """A rule is not let in.

    Args:
        problems: Why, in one line each.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Admission:
    """Lets the rules of one source in.

    Args:
        configured: The source.
        aliases: Other spellings of a rule's keys.

    Attributes:
        problems: What is wrong with the source's own block; nothing is let in then.
    """

    def __init__(self, configured: Configured, aliases: Mapping[str, str]) -> None:
        config: RouteSourceConfig = configured.config
        self._config = config
        self._aliases = aliases
        self._allowed = [tuple(key.split(".")) for key in (*config.allow, *config.also_allow)]
        report = Report()
        self._defaults = self._own(configured, "defaults", report)
        self._forced = self._own(configured, "force", report)
        self._hosts, self._prefixes = list[str](), list[str]()
        for key, texts, parse, parsed in (
            ("hosts", config.hosts, parse_host, self._hosts),
            ("pathPrefixes", config.path_prefixes, parse_skip_path, self._prefixes),
        ):
            for text in texts:
                try:
                    parsed.append(parse(text))
                except ValueError as error:
                    report.error(str(error), where=f"{configured.where}: {key}")
        self.problems = report.errors

    def block(self, sourced: SourcedRule) -> Block:
        """Return a rule as it is served: its own keys, over the defaults and below what is forced.

        Raises:
            NotAdmitted: If it is none, too large, or sets what it must not.
        """
        if sourced.problem:
            raise NotAdmitted(sourced.problem)
        _check_bounds(sourced.rule)
        report = Report()
        place = Place(clean(sourced.where))
        written = apply_aliases(block_of(sourced.rule, place), self._aliases, report)
        refused = [self._refusal(keys) for keys, value in _leaves(written) if not self._may_set(keys, value)]
        if refused or report.errors:
            raise NotAdmitted(*refused, *(problem.message for problem in report.errors))
        if str(written.get("pathType")).lower() == "regex" and not self._config.allow_regex:
            raise NotAdmitted("pathType 'regex' is not allowed here; the operator can set 'allowRegex: true'")
        block = merge(_without_other_spelling(self._defaults, written), written)
        block = merge(_without_other_spelling(block, self._forced), self._forced)
        block.place = place
        return block

    def check(self, rule: ConfiguredRule) -> None:
        """See that a rule stays inside its fence.

        Raises:
            NotAdmitted: If it does not.
        """
        entry = rule.matches
        if entry.priority > self._config.max_priority:
            raise NotAdmitted(f"priority {entry.priority} is higher than {self._config.max_priority}, which is allowed")
        if self._hosts and not all(map(self._is_allowed_host, entry.canonical_hosts)):
            hosts = ", ".join(entry.canonical_hosts) if entry.hosts else "every host"
            raise NotAdmitted(f"it is for {hosts}; only {', '.join(self._hosts)} may be used here")
        if self._prefixes and not any(covers(prefix, entry.pattern) for prefix in self._prefixes):
            prefixes = ", ".join(prefix or "/" for prefix in self._prefixes)
            raise NotAdmitted(f"path {rule.route.path!r} does not lie below {prefixes}")

    def _own(self, configured: Configured, key: str, report: Report) -> Block:
        place = Place(configured.where).below(key)
        return apply_aliases(block_of(getattr(self._config, key), place), self._aliases, report)

    def _may_set(self, keys: Sequence[str], value: object) -> bool:
        if value is True and tuple(keys) in _STRICTER:
            return True
        return any(tuple(keys[: len(allowed)]) == allowed for allowed in self._allowed)

    def _refusal(self, keys: Sequence[str]) -> str:
        key = clean(".".join(keys))
        close = closest(key, [".".join(allowed) for allowed in self._allowed])
        hint = f"did you mean {close!r}?" if close is not None else "the operator can add it to 'alsoAllow'"
        return f"the key {key!r} is not allowed here; {hint}"

    def _is_allowed_host(self, host: str) -> bool:
        return any(
            host == allowed or (allowed.startswith("*") and host != "*" and host.endswith(allowed[1:]))
            for allowed in self._hosts
        )


def clean(text: str, max_length: int = MAX_WHERE_LENGTH) -> str:
    """Return text that a stranger wrote as it may stand in a message: one line, printable, not too long."""
    return "".join(each if each.isprintable() else "?" for each in text[:max_length])


def _without_other_spelling(beneath: Block, above: Block) -> Block:
    """Return a block without what is said of hosts in it if that is said above it: one key would add to the other."""
    if not any(key in above for key in _HOST_KEYS):
        return beneath
    smaller = beneath.copy()
    for key in _HOST_KEYS:
        if key in smaller:
            smaller.drop(key)
    return smaller


def _check_bounds(rule: object) -> None:
    """See that a rule is made of what YAML has, without being large or deep; strangers wrote it.

    Raises:
        NotAdmitted: If it is not.
    """
    if not isinstance(rule, Mapping):
        raise NotAdmitted(f"a {type(rule).__name__} is not a rule; write its keys, such as 'path'")
    count = length = 0
    waiting: list[tuple[object, int]] = [(rule, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if isinstance(value, str):
            length += len(value)
        elif isinstance(value, dict) or (isinstance(value, Mapping) and value is rule):
            for key in value:
                if not isinstance(key, str):
                    raise NotAdmitted(f"a key is a {type(key).__name__}; keys are text")
                length += len(key)
            waiting.extend((entry, depth + 1) for entry in value.values())
        elif isinstance(value, list | tuple):
            waiting.extend((entry, depth + 1) for entry in value)
        elif value is not None and not isinstance(value, bool | int | float):
            raise NotAdmitted(f"a value is a {type(value).__name__}; write text, numbers, lists and blocks")
        if depth > MAX_DEPTH or count + len(waiting) > MAX_VALUES or length > MAX_RULE_LENGTH:
            raise NotAdmitted("it is too large for a rule")


def _leaves(block: Block, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield every value that is no block, and every empty block, with the keys that lead there."""
    for key in block:
        entry = find_entry(block, key)
        value = entry[0] if entry is not None else None
        keys = (*above, key)
        if isinstance(value, Block) and value:
            yield from _leaves(value, keys)
        else:
            yield keys, value
