"""``gateway plugins``: what is installed, what it offers and what of it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.cli.arguments import add_configuration_flags, add_json_flag
from gateway.cli.loading import discover_plugins, load
from gateway.cli.plugin_commands import shadowing
from gateway.cli.screen import Column
from gateway.cli.settings import block_place
from gateway.errors import ConfigurationError
from gateway.inventory import Inventory
from gateway.registrations import Registration

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gateway.cli.arguments import Parser
    from gateway.cli.context import CommandContext
    from gateway.cli.screen import Screen
    from gateway.config import Configuration
    from gateway.errors import Problem
    from gateway.inventory import Use
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
    if args.as_json:
        context.out.json(Inventory(host, configuration).data())
    else:
        _Listing(host, configuration).print(context.out)
    problems = (*problems, *shadowing(host))
    told = () if args.as_json else _errors(host)
    for problem in problems:
        if str(problem) not in told:
            context.err.line(str(problem))
    return 2 if problems else 0


def _errors(host: PluginHost) -> list[str]:
    """Return what is wrong with plugins that cannot be used, a line for each."""
    return [f"{plugin} cannot be used: {plugin.error}" for plugin in host.plugins if plugin.error is not None]


class _Listing:
    """A table of plugins.

    Args:
        host: The plugins.
        configuration: What says which of their offers are used; ``None`` if that cannot be known.
    """

    def __init__(self, host: PluginHost, configuration: Configuration | None) -> None:
        self._host = host
        self._configuration = configuration
        self._inventory = Inventory(host, configuration)

    def print(self, screen: Screen) -> None:
        """Print it."""
        rows = [row for plugin in self._host.plugins for row in self._rows(plugin)]
        rows += [
            (plugin.name, plugin.distribution, plugin.version, "", "disabled", "", "", "")
            for plugin in self._host.disabled
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
            Column("PLACE", is_optional=True, gives_way=3),
            Column("SUMMARY", "dim", is_optional=True, gives_way=2),
        )
        screen.table(columns, rows)
        self._print_errors(screen)

    def _rows(self, plugin: Plugin) -> list[tuple[str, ...]]:
        """Return a row for each offer; the first says whose they are."""
        offers = [
            (f"{offer.kind} {offer.name}", self._used(offer), self._place(offer), offer.summary)
            for offer in plugin.registrations
        ]
        if plugin.error is not None:
            offers = [("broken", "", "", "")]
        head = (plugin.name, plugin.distribution, plugin.version, f"{plugin.load_s * 1000:.0f} ms")
        first, *others = offers or [("nothing", "", "", "")]
        return [(*head, *first), *(("", "", "", "", *offer) for offer in others)]

    def _used(self, offer: Offer) -> str:
        if offer.kind == "command":
            return f"gateway {offer.name}"
        use = self._inventory.use(offer)
        if use is None:
            return "?" if self._configuration is None else "off"
        rules = f"by {len(use.rules)} rule{'s' if len(use.rules) != 1 else ''}" if use.rules else ""
        return ", ".join(filter(None, (self._where(offer, use), rules)))

    def _place(self, offer: Offer) -> str:
        place = self._inventory.place(offer)
        return place.text if place is not None else ""

    def _where(self, offer: Offer, use: Use) -> str:
        """Return where an offer is configured for all rules."""
        if offer.kind == "balancer" or self._configuration is None or not isinstance(offer, Registration):
            return ""
        return block_place(offer, self._configuration) or ("by default" if use.is_gateway_wide else "")

    def _print_errors(self, screen: Screen) -> None:
        errors = _errors(self._host)
        if errors:
            screen.line()
        for error in errors:
            screen.line(error, "red")
