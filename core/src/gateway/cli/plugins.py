"""``gateway plugins``: what is installed, what it offers and what of it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.cli.arguments import add_configuration_flags, add_json_flag
from gateway.cli.describe import uses_of
from gateway.cli.loading import discover_plugins, load
from gateway.cli.plugin_commands import shadowing
from gateway.cli.screen import Column
from gateway.cli.settings import block_place
from gateway.errors import ConfigurationError
from gateway.registrations import Registration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from gateway.cli.arguments import Parser
    from gateway.cli.context import CommandContext
    from gateway.cli.describe import Use
    from gateway.cli.screen import Screen
    from gateway.config import Configuration
    from gateway.errors import Problem
    from gateway.pluginhost import Offer, Plugin, PluginHost

__all__ = ["add_arguments", "run"]


def add_arguments(parser: Parser) -> None:
    """Declare the flags of ``gateway plugins``."""
    add_configuration_flags(parser)
    add_json_flag(parser)


def run(args: argparse.Namespace, context: CommandContext) -> int:
    """Print the plugins, also where the configuration is wrong: who looks for a missing one needs them then."""
    configuration: Configuration | None = None
    problems: Sequence[Problem] = ()
    try:
        configuration = load(args, context)
        host = configuration.host
    except ConfigurationError as error:
        problems = error.problems
        host = discover_plugins(args.config, args.plugin_files, context.entry_points)
    listing = _Listing(host, configuration)
    if args.as_json:
        context.out.json(listing.data())
    else:
        listing.print(context.out)
    problems = (*problems, *shadowing(host))
    for problem in problems:
        context.err.line(str(problem))
    return 2 if problems else 0


class _Listing:
    """What there is to say about plugins.

    Args:
        host: The plugins.
        configuration: What says which of their offers are used; ``None`` if that cannot be known.
    """

    def __init__(self, host: PluginHost, configuration: Configuration | None) -> None:
        self._host = host
        self._configuration = configuration
        self._uses: Mapping[int, Use] = uses_of(configuration) if configuration is not None else {}

    def data(self) -> list[dict[str, Any]]:
        """Return it for JSON."""
        loaded = [self._plugin_data(plugin, "broken" if plugin.error else "loaded") for plugin in self._host.plugins]
        return [*loaded, *(self._plugin_data(plugin, "disabled") for plugin in self._host.disabled)]

    def _plugin_data(self, plugin: Plugin, state: str) -> dict[str, Any]:
        return {
            "name": plugin.name,
            "distribution": plugin.distribution,
            "version": plugin.version or None,
            "file": str(plugin.file) if plugin.file is not None else None,
            "state": state,
            "error": plugin.error,
            "loadSeconds": plugin.load_s,
            "offers": [self._offer_data(offer) for offer in plugin.registrations],
        }

    def _offer_data(self, offer: Offer) -> dict[str, Any]:
        use = self._uses.get(id(offer))
        return {
            "kind": offer.kind,
            "name": offer.name,
            "summary": offer.summary,
            "on": self._is_on(offer),
            "where": use.where if use is not None else [],
            "rules": use.rules if use is not None else [],
        }

    def _is_on(self, offer: Offer) -> bool | None:
        """Say whether an offer is used; ``None`` if that cannot be known. A command is there to be used."""
        if offer.kind == "command":
            return True
        return None if self._configuration is None else id(offer) in self._uses

    def print(self, screen: Screen) -> None:
        """Print it."""
        rows = [row for plugin in self._host.plugins for row in self._rows(plugin)]
        rows += [
            (plugin.name, plugin.distribution, plugin.version, "", "disabled", "", "") for plugin in self._host.disabled
        ]
        if not rows:
            screen.line("No plugin is installed; 'pip install gateway' brings those to start with.")
            return
        columns = (
            Column("PLUGIN", "bold"),
            Column("DISTRIBUTION"),
            Column("VERSION", is_optional=True),
            Column("LOADED IN", gives_way=1),
            Column("OFFERS"),
            Column("USED"),
            Column("SUMMARY", "dim", is_optional=True, gives_way=2),
        )
        screen.table(columns, rows)
        self._print_errors(screen)

    def _rows(self, plugin: Plugin) -> list[tuple[str, ...]]:
        """Return a row for each offer; the first says whose they are."""
        offers = [(f"{offer.kind} {offer.name}", self._used(offer), offer.summary) for offer in plugin.registrations]
        if plugin.error is not None:
            offers = [("broken", "", "")]
        head = (plugin.name, plugin.distribution, plugin.version, f"{plugin.load_s * 1000:.0f} ms")
        first, *others = offers or [("nothing", "", "")]
        return [(*head, *first), *(("", "", "", "", *offer) for offer in others)]

    def _used(self, offer: Offer) -> str:
        if offer.kind == "command":
            return f"gateway {offer.name}"
        use = self._uses.get(id(offer))
        if use is None:
            return "?" if self._configuration is None else "off"
        rules = f"by {len(use.rules)} rule{'s' if len(use.rules) != 1 else ''}" if use.rules else ""
        return ", ".join(filter(None, (self._where(offer, use), rules)))

    def _where(self, offer: Offer, use: Use) -> str:
        """Return where an offer is configured for all rules."""
        if offer.kind == "balancer" or self._configuration is None or not isinstance(offer, Registration):
            return ""
        return block_place(offer, self._configuration) or ("by default" if use.is_gateway_wide else "")

    def _print_errors(self, screen: Screen) -> None:
        broken = [plugin for plugin in self._host.plugins if plugin.error is not None]
        if broken:
            screen.line()
        for plugin in broken:
            screen.line(f"{plugin} cannot be used: {plugin.error}", "red")
