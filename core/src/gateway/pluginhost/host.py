"""Which plugins there are, what they offer, and who is to blame."""

from __future__ import annotations

import dataclasses
import sys
import time
from typing import TYPE_CHECKING

from gateway.errors import Problem
from gateway.pluginhost.collect import PluginFault, build_manager, collect_offers, describe_error
from gateway.pluginhost.discover import file_candidate, installed_candidates
from gateway.registrations import BalancerRegistration, ConnectorRegistration, Registration

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from importlib.metadata import EntryPoint
    from pathlib import Path
    from types import TracebackType

    import pluggy

    from gateway.pluginhost.discover import Candidate
    from gateway.pluginhost.plugin import Offer, Plugin

__all__ = ["PSEUDO_METHOD", "PluginHost"]

PSEUDO_METHOD = "pseudo method"
"""As a kind, finds the connector that brings one; see ``ConnectorRegistration.pseudo_methods``."""


class PluginHost:
    """The plugins of one configuration load.

    Immutable once made; a reload makes a new one.

    Args:
        plugins: All that were found and not disabled, broken ones too.
        disabled: Those that were left out because the configuration says so; they were not imported.
        problems: What was found wrong while looking for them.

    Attributes:
        plugins: All plugins, by name.
        disabled: The plugins that were left out.
        problems: What makes the whole unusable: two plugins of one name, two providers of one offer, a broken plugin
            file that was asked for.
        warnings: Broken plugins. Nothing else is wrong unless the configuration needs one of them.
    """

    def __init__(
        self, plugins: Iterable[Plugin], *, disabled: Iterable[Plugin] = (), problems: Iterable[Problem] = ()
    ) -> None:
        self.plugins = tuple(plugins)
        self.disabled = tuple(disabled)
        self._owners = {id(offer): plugin for plugin in self.plugins for offer in plugin.registrations}
        self._offers: dict[tuple[str, str], Offer] = {}
        self.problems = (*problems, *self._index())
        self.warnings = tuple(
            Problem(f"{plugin} cannot be used: {plugin.error}")
            for plugin in self.plugins
            if plugin.error is not None and plugin.file is None
        )

    @classmethod
    def discover(
        cls,
        *,
        files: Iterable[Path] = (),
        disabled: Collection[str] = frozenset(),
        entry_points: Iterable[EntryPoint] | None = None,
    ) -> PluginHost:
        """Find, import and ask every plugin; one that fails is contained and harms no other.

        Args:
            files: Python files that are plugins too. What they offer is on by default.
            disabled: Names of plugins or distributions that are not even imported.
            entry_points: Takes these instead of those of the installed distributions.
        """
        found = [*installed_candidates(entry_points), *map(file_candidate, dict.fromkeys(files))]
        left_out = [candidate.plugin for candidate in found if any(map(candidate.plugin.answers_to, disabled))]
        wanted, problems = _unique(candidate for candidate in found if candidate.plugin not in left_out)
        manager = build_manager()
        plugins = [_load(candidate, manager) for candidate in wanted]
        # Nobody asks it again. It knows its hooks, as they know it: let go of them, or they wait for the collector.
        vars(manager.hook).clear()
        problems += [
            Problem(f"{plugin} cannot be used: {plugin.error}")
            for plugin in plugins
            if plugin.error is not None and plugin.file is not None
        ]
        return cls(plugins, disabled=left_out, problems=problems)

    def find(self, kind: str, name: str) -> Offer | None:
        """Return the offer of a kind and name, or ``None``.

        A balancer is found by its other names too, a connector by its pseudo methods (``PSEUDO_METHOD``).
        """
        return self._offers.get((kind, name))

    def of_kind(self, kind: str) -> tuple[Offer, ...]:
        """Return all offers of a kind, by name."""
        offers = [offer for plugin in self.plugins for offer in plugin.registrations if offer.kind == kind]
        return tuple(sorted(offers, key=lambda offer: offer.name))

    def owner(self, offer: Offer) -> Plugin:
        """Return the plugin that made an offer.

        Raises:
            KeyError: If no plugin of this host did.
        """
        return self._owners[id(offer)]

    def blame(self, traceback: TracebackType | None) -> Plugin | None:
        """Return the plugin whose code the innermost frame is that belongs to any, or ``None``."""
        blamed = None
        while traceback is not None:
            module = traceback.tb_frame.f_globals.get("__name__", "")
            blamed = self.owner_of_module(module) or blamed
            traceback = traceback.tb_next
        return blamed

    def owner_of_module(self, module: str) -> Plugin | None:
        """Return the plugin that a module belongs to, by its dotted name, or ``None``."""
        owners = [plugin for plugin in self.plugins if _is_inside(module, _package_of(plugin))]
        return max(owners, key=lambda plugin: len(_package_of(plugin)), default=None)

    def _index(self) -> Iterator[Problem]:
        """File every offer under its names; the first of two that claim the same one keeps it."""
        for plugin in self.plugins:
            for offer in plugin.registrations:
                for kind, name in _names(offer):
                    other = self._offers.setdefault((kind, name), offer)
                    if other is not offer:
                        yield _two_providers(f"{kind} {name!r}", self.owner(other), plugin)


def _names(offer: Offer) -> Iterator[tuple[str, str]]:
    """Yield everything that only one offer may be called."""
    yield offer.kind, offer.name
    if isinstance(offer, BalancerRegistration):
        for name in offer.other_names:
            yield offer.kind, name
    if isinstance(offer, ConnectorRegistration):
        for method in offer.pseudo_methods:
            yield PSEUDO_METHOD, method
        for protocol, schemes in {**offer.also, offer.protocol: offer.schemes}.items():
            for scheme in schemes:
                yield f"connector for protocol {protocol!r} and scheme", scheme


def _two_providers(what: str, first: Plugin, second: Plugin) -> Problem:
    if first is second:
        return Problem(f"{first} offers {what} twice; give each offer its own name")
    return Problem(
        f"{what} is offered by both {first.origin} (plugin {first.name!r}) and {second.origin} (plugin "
        f"{second.name!r}); uninstall one of them, or name its plugin in gateway.disabledPlugins"
    )


def _unique(candidates: Iterable[Candidate]) -> tuple[list[Candidate], list[Problem]]:
    kept: dict[str, Candidate] = {}
    problems = []
    for candidate in candidates:
        plugin = candidate.plugin
        other = kept.setdefault(plugin.name, candidate).plugin
        if other is not plugin:
            problems.append(
                Problem(
                    f"there are two plugins named {plugin.name!r}, of {other.origin} and of {plugin.origin}; "
                    "uninstall one of them, or name its distribution in gateway.disabledPlugins"
                )
            )
    return list(kept.values()), problems


def _load(candidate: Candidate, manager: pluggy.PluginManager) -> Plugin:
    """Import a plugin and ask for what it offers, whatever happens in there."""
    started_s = time.perf_counter()
    error: str | None = None
    offers: tuple[Offer, ...] = ()
    try:
        offers = collect_offers(manager, candidate.plugin.name, candidate.load())
    except PluginFault as fault:
        error = str(fault)
    except (Exception, SystemExit) as raised:  # noqa: BLE001 - whatever a plugin does while it is imported is its own affair
        error = f"importing {candidate.plugin.module} raised {describe_error(raised)}"
    if candidate.plugin.file is not None:
        offers = tuple(map(_on_by_default, offers))
    load_s = time.perf_counter() - started_s
    return dataclasses.replace(candidate.plugin, load_s=load_s, error=error, registrations=offers)


def _on_by_default(offer: Offer) -> Offer:
    """Turn on what a single file offers: whoever names a file in the configuration wants what is in it."""
    return dataclasses.replace(offer, default_on=True) if isinstance(offer, Registration) else offer


def _is_inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _package_of(plugin: Plugin) -> str:
    """Return the package or module that is the plugin's own; an outer namespace package belongs to several."""
    module = plugin.module
    if plugin.file is not None:
        return module
    parts = module.split(".")
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        if getattr(sys.modules.get(package), "__file__", None) is not None:
            return package
    return module
