"""What to say of something the configuration names and no usable plugin provides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.catalogue import BLOCKS, OFFERS, RULE_KEYS, distribution_of, install_command
from gateway.config.places import dotted
from gateway.config.suggest import closest
from gateway.config.validation import unknown_key

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from gateway.pluginhost import Plugin, PluginHost

__all__ = ["Missing"]


_PLUGIN_DEPTH = len(("plugins", "name"))


class Missing:
    """Explains what is missing.

    Args:
        host: The plugins, among them broken ones and those that were left out.
    """

    def __init__(self, host: PluginHost) -> None:
        self._host = host
        # Ten thousand rules may have the same mistake.
        self._rule_messages: dict[tuple[str, ...], str] = {}

    def block(self, keys: Sequence[str], known: Collection[str]) -> str:
        """Return the message for a key under ``gateway`` that nobody reads.

        Args:
            keys: The keys that lead there from ``gateway``.
            known: The keys that somebody reads in the same block.
        """
        return self._misplaced("gateway.", keys, "path") or self._key(keys, known, BLOCKS)

    def rule_key(self, keys: Sequence[str], known: Collection[str]) -> str:
        """Return the message for a key of a rule that nobody reads; ``keys`` lead there from the rule."""
        key = tuple(keys)
        if key not in self._rule_messages:
            self._rule_messages[key] = self._misplaced("", keys, "rule_key") or self._key(keys, known, RULE_KEYS)
        return self._rule_messages[key]

    def offer(self, kind: str, name: str, installed: Collection[str]) -> str:
        """Return the message for an offer that the configuration names.

        Args:
            kind: What it would be, such as ``authenticator`` or ``protocol``.
            name: Its name.
            installed: The names of those that are there.
        """
        extra = OFFERS.get((kind, name))
        blamed = self._blame(name, extra)
        if blamed is not None:
            return blamed
        if extra is not None:
            return _ships_in(f"the {kind} {name!r}", extra)
        close = closest(name, installed)
        suggestion = f"did you mean {close!r}? " if close is not None else ""
        names = f"installed are {', '.join(map(repr, sorted(installed)))}" if installed else "none is installed"
        return f"no installed plugin provides the {kind} {name!r}; {suggestion}{names}"

    def kind(self, kind: str, extra: str) -> str:
        """Return the message for a kind of offers of which there must be one; ``extra`` is the usual choice."""
        return self._blame(extra, extra) or _ships_in(kind, extra)

    def _key(self, keys: Sequence[str], known: Collection[str], catalogue: Mapping[str, str]) -> str:
        name = keys[-1]
        extra = catalogue.get(dotted(keys))
        blamed = self._blame(name, extra)
        if blamed is not None:
            return blamed
        if extra is not None:
            return _ships_in(repr(name), extra)
        if keys[0] == "plugins" and len(keys) > 1:
            close = closest(name, known)
            remedy = f"did you mean {close!r}?" if close else "install the one that does, or remove the block"
            return f"no installed plugin provides {name!r}; {remedy}"
        return unknown_key(name, {*known, *_siblings(keys, catalogue)})

    def _misplaced(self, prefix: str, keys: Sequence[str], attribute: str) -> str | None:
        """Return the message for ``plugins.<name>`` if that offer is there and has its block elsewhere."""
        if len(keys) != _PLUGIN_DEPTH or keys[0] != "plugins":
            return None
        offers = [offer for plugin in self._host.plugins for offer in plugin.registrations if offer.name == keys[1]]
        places = [place for offer in offers if (place := getattr(offer, attribute, None)) is not None]
        return f"{keys[1]!r} has a place of its own; write it as {prefix}{places[0]}" if places else None

    def _blame(self, name: str, extra: str | None) -> str | None:
        """Return the message if a plugin that is there would provide it, but cannot or must not."""
        usual = distribution_of(extra) if extra is not None else None

        def provides(plugin: Plugin) -> bool:
            return plugin.name == name or plugin.distribution == usual

        for plugin in filter(provides, self._host.plugins):
            if plugin.error is not None:
                return f"{plugin} provides it and cannot be used: {plugin.error}; mend it or install it again"
            if extra is not None and plugin.distribution == usual:
                command = install_command(extra).replace("install", "install --upgrade", 1)
                return f"{plugin} does not provide it; another version may:  {command}"
        for plugin in filter(provides, self._host.disabled):
            return f"{plugin} provides it and is named in gateway.disabledPlugins; remove it there"
        return None


def _ships_in(what: str, extra: str) -> str:
    return f"no installed plugin provides {what}; it ships in {distribution_of(extra)}:  {install_command(extra)}"


def _siblings(keys: Sequence[str], catalogue: Mapping[str, str]) -> set[str]:
    """Return the keys that first-party plugins would read in the same block."""
    depth = len(keys)
    paths = [path.split(".") for path in catalogue]
    return {path[depth - 1] for path in paths if len(path) >= depth and path[: depth - 1] == list(keys[:-1])}
