"""Overrides by environment variables: ``GATEWAY__FRONTEND__HTTP__PORT=9000``.

The words between double underscores are the keys that lead to the value; case, hyphens and single underscores in them
do not matter, and a number is a position in a list that is there (``GATEWAY__ROUTER__RULES__0__TIMEOUT``). Lists and
blocks are written as JSON or YAML; a list of names may be written with commas. An empty variable counts as not set. The
original gateway's ``GATEWAY_GATEWAY_FRONTEND_HTTP_PORT`` works too.

Not made with pydantic-settings: its sources read into one model that is known beforehand, while most blocks here belong
to plugins, are merged before they are validated, and have camelCase keys that variables cannot spell; and it would pass
over a misspelt variable and lose which variable a wrong value came from.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.config.catalogue import BLOCKS
from gateway.config.merge import merge
from gateway.config.places import Block, Items, Place, assign, find_entry
from gateway.config.source import read_text
from gateway.config.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config.missing import Missing
    from gateway.config.places import Value
    from gateway.config.report import Report
    from gateway.config.shape import Shape

__all__ = ["override", "override_from_environment"]

_PREFIX = "GATEWAY__"
_ORIGINAL_PREFIX = "GATEWAY_GATEWAY_"
_SERVICE_LINK = re.compile(r"SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP).*)?")
"""What Kubernetes and Docker set for a service named ``gateway-gateway``."""


def override_from_environment(
    gateway: Block, environ: Mapping[str, str], shape: Shape, report: Report, missing: Missing | None
) -> Block:
    """Return ``gateway`` with what the environment says over it; variables that lead nowhere are reported.

    Args:
        gateway: The configuration below ``gateway``.
        environ: The variables.
        shape: What may stand in it.
        report: Takes the problems.
        missing: Explains what is missing; ``None`` passes over variables that lead nowhere.
    """
    for name in sorted(environ, key=lambda name: (name.upper().startswith(_PREFIX), name)):
        words = _words(name.upper())
        if words is None or not environ[name]:
            continue
        is_original = not name.upper().startswith(_PREFIX)
        keys = _resolve(words, shape, gateway, may_join=is_original)
        if keys:
            place = gateway.place.below(*keys, source=name)
            gateway = override(gateway, keys, _value(environ[name], place, shape.at(keys), report), place)
        elif missing is not None and is_original:
            _warn_unread(name, report)
        elif missing is not None:
            report.error(_explain(words, shape, gateway, missing), where=name)
    return gateway


def override(block: Block, keys: Sequence[str | int], value: Value, place: Place) -> Block:
    """Return a copy of ``block`` in which ``value`` lies over the entry that ``keys`` lead to.

    Args:
        block: Where to begin.
        keys: What leads to the entry.
        value: A block is merged with one that is there; anything else replaces it.
        place: Where the value comes from.
    """
    beneath: Value = block
    for key in keys:
        entry = find_entry(beneath, key)
        beneath = entry[0] if entry is not None else None
    if isinstance(value, Block) and isinstance(beneath, Block):
        value = merge(beneath, value)
    return assign(block, keys, value, place)


def _words(name: str) -> list[str] | None:
    """Return the words of a variable that is meant for the gateway, else ``None``."""
    if name.startswith(_PREFIX):
        return name.removeprefix(_PREFIX).split("__")
    if name.startswith(_ORIGINAL_PREFIX) and not _SERVICE_LINK.fullmatch(name.removeprefix(_ORIGINAL_PREFIX)):
        return name.removeprefix(_ORIGINAL_PREFIX).split("_")
    return None


def _resolve(words: Sequence[str], shape: Shape, value: Value, *, may_join: bool) -> tuple[str | int, ...] | None:
    """Return the keys that ``words`` mean, or ``None``; with ``may_join`` a key may be several words."""
    if not words:
        return ()
    for length in range(1, len(words) + 1 if may_join else 2):
        key = _key("".join(words[:length]), shape, value)
        if key is not None:
            entry = find_entry(value, key)
            rest = _resolve(
                words[length:], shape.below(key), entry[0] if entry is not None else None, may_join=may_join
            )
            if rest is not None:
                return key, *rest
    return None


def _key(word: str, shape: Shape, value: Value) -> str | int | None:
    if isinstance(value, Items):
        return int(word) if word.isdecimal() and int(word) < len(value) else None
    written = value.keys() if isinstance(value, Block) else ()
    wanted = _fold(word)
    known: str | None = next((key for key in (*written, *shape.keys) if _fold(key) == wanted), None)
    return known or (word.lower() if shape.is_mapping and word else None)


def _fold(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()


def _value(text: str, place: Place, shape: Shape, report: Report) -> Value:
    """Return what a variable holds. Numbers stay text here: the model that takes them knows what they are to be."""
    if text == "null":
        return None
    if text[0] in "[{" and not shape.is_text:
        return read_text(text, place, None, report)
    if not shape.is_list:
        return text
    items = Items(place)
    for position, name in enumerate(text.split(",")):
        items.put(name.strip(), Place(place.source, place, position))
    return items


def _explain(words: Sequence[str], shape: Shape, gateway: Block, missing: Missing) -> str:
    """Return the message for a variable that leads nowhere."""
    value: Value = gateway
    above, word = ["gateway"], ""
    for word in words:
        key = _key(word, shape, value)
        if key is None:
            break
        entry = find_entry(value, key)
        value, shape = entry[0] if entry is not None else None, shape.below(key)
        above.append(str(key))
    failed = _fold("".join(words[: len(above)]))
    for path in BLOCKS:
        if _fold(path.replace(".", "")) == failed:
            return missing.block(path.split("."), ())
    close = closest(word, shape.keys)
    remedy = f"did you mean {close.upper()!r}?" if close is not None else "unset it"
    return f"there is no {word!r} in {'.'.join(above)}; {remedy}"


def _warn_unread(name: str, report: Report) -> None:
    report.warn(f"leads to no key of the configuration; write {_PREFIX}... with the keys that lead there", where=name)
