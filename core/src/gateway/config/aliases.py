"""Other spellings that are accepted: those of the original gateway's examples, and those that registrations bring.

An alias maps an old key to a new one, both dotted and relative to the block it is about. One that begins with
``gateway.`` is about the whole configuration instead (``gateway.middleware.cors`` to ``gateway.cors``), one that begins
with ``gateway.router.rules[].`` about every rule.

Keys that are refused with a reason (``Registration.refused``) are named in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.places import Block, assign, find_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.config.places import Place, Value
    from gateway.config.report import Report
    from gateway.registrations import Registration

__all__ = [
    "BALANCER_ALIASES",
    "RULE_ALIASES",
    "apply_aliases",
    "gateway_aliases",
    "local_aliases",
    "refuse_keys",
    "refused_in_gateway",
    "refused_in_rules",
    "rule_aliases",
]

BALANCER_ALIASES: Mapping[str, str] = {"sticky": "sticky_session", "weighted": "weighted_round_robin"}
"""Values of ``loadBalance``."""

RULE_ALIASES: Mapping[str, str] = {
    "backend": "protocol",
    "metadata.authRequired": "authRequired",
    "metadata.requiredScopes": "auth.scopes",
}

_GATEWAY = "gateway."
_RULE = "gateway.router.rules[]."


def local_aliases(registration: Registration) -> dict[str, str]:
    """Return the aliases inside the registration's own block."""
    return {old: new for old, new in registration.aliases.items() if not old.startswith(_GATEWAY)}


def gateway_aliases(registrations: Iterable[Registration]) -> dict[str, str]:
    """Return the aliases of blocks, relative to ``gateway``."""
    found = _with_prefix(registrations, _GATEWAY)
    return {old: new for old, new in found.items() if not old.startswith(_RULE.removeprefix(_GATEWAY))}


def rule_aliases(registrations: Iterable[Registration]) -> dict[str, str]:
    """Return the aliases of a rule's keys, the core's own included."""
    return {**RULE_ALIASES, **_with_prefix(registrations, _RULE)}


def apply_aliases(block: Block, aliases: Mapping[str, str], report: Report) -> Block:
    """Return the block with every old key moved to its new place; a key that is given in both spellings is reported."""
    moves: list[tuple[str, Value, Place]] = []
    for old, new in aliases.items():
        keys = old.split(".")
        taken = _take(block, keys) if keys[0] in block else None
        if taken is not None:
            block, value, place = taken
            moves.append((new, value, place))
    for new, value, place in moves:
        keys = new.split(".")
        if _find(block, keys) is not None:
            report.error(f"is another spelling of {new!r}, which is given too; remove one of them", key=place)
        else:
            block = assign(block, keys, value, place)
    return block


def refused_in_gateway(registrations: Iterable[Registration]) -> dict[str, str]:
    """Return the keys outside of blocks that registrations refuse, relative to ``gateway``, each with the reason."""
    return {
        key.removeprefix(_GATEWAY): reason
        for key, reason in _refused(registrations)
        if key.startswith(_GATEWAY) and not key.startswith(_RULE)
    }


def refused_in_rules(registrations: Iterable[Registration]) -> dict[str, str]:
    """Return the keys of a rule that registrations refuse there, each with the reason."""
    return {key.removeprefix(_RULE): reason for key, reason in _refused(registrations) if key.startswith(_RULE)}


def _refused(registrations: Iterable[Registration]) -> Iterable[tuple[str, str]]:
    return (entry for registration in registrations for entry in registration.refused.items())


def refuse_keys(block: Block, refused: Mapping[str, str], report: Report) -> Block:
    """Return the block without the keys that are refused; each is reported with the reason."""
    for key, reason in refused.items():
        keys = key.split(".")
        taken = _take(block, keys) if keys[0] in block else None
        if taken is not None:
            block, _, place = taken
            report.error(reason, key=place)
    return block


def _with_prefix(registrations: Iterable[Registration], prefix: str) -> dict[str, str]:
    return {
        old.removeprefix(prefix): new.removeprefix(prefix)
        for registration in registrations
        for old, new in registration.aliases.items()
        if old.startswith(prefix)
    }


def _find(block: Block, keys: list[str]) -> tuple[Value, Place] | None:
    entry: tuple[Value, Place] | None = (block, block.place)
    for key in keys:
        entry = find_entry(entry[0], key) if entry is not None else None
    return entry


def _take(block: Block, keys: list[str]) -> tuple[Block, Value, Place] | None:
    """Return the block without the entry that ``keys`` lead to, and that entry; blocks left empty go too."""
    key, *rest = keys
    found = find_entry(block, key)
    if found is None:
        return None
    value, place = found
    taken = None
    if rest:
        taken = _take(value, rest) if isinstance(value, Block) else None
        if taken is None:
            return None
    smaller = block.copy()
    if taken is None:
        smaller.drop(key)
        return smaller, value, place
    if taken[0]:
        smaller.put(key, taken[0], place)
    else:
        smaller.drop(key)
    return smaller, taken[1], taken[2]
