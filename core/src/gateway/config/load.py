"""From a file, the environment and flags to a whole valid configuration, or to everything that is wrong with it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gateway.config.access import parse_skip_path
from gateway.config.aliases import (
    apply_aliases,
    gateway_aliases,
    refuse_keys,
    refused_in_gateway,
    refused_in_rules,
    rule_aliases,
)
from gateway.config.authenticators import Authenticators
from gateway.config.balancers import Balancers
from gateway.config.claims import gateway_tree, place_of, registrations_of, rule_tree, split
from gateway.config.collector import collector_paused
from gateway.config.destinations import Destinations
from gateway.config.discovery import choose_providers
from gateway.config.draft import Context
from gateway.config.effective import Offers
from gateway.config.layers import Layers, named_values, read_gateway, zero_configuration
from gateway.config.missing import Missing
from gateway.config.model import GatewayConfig
from gateway.config.pipeline import Pipeline, check_order
from gateway.config.places import Block, Items, Place
from gateway.config.report import Report
from gateway.config.result import Configuration
from gateway.config.rules import RuleBuilder, RuleParts
from gateway.config.source import file_text
from gateway.config.sourced import Sourced, add_sourced_rules, build_admissions
from gateway.config.suggest import did_you_mean
from gateway.config.validation import validate
from gateway.pluginhost import PluginHost
from gateway.pluginhost.check import PER_RULE_KINDS
from gateway.registrations import Registration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from importlib.metadata import EntryPoint

    from gateway.config.admission import Admission
    from gateway.config.claims import Node
    from gateway.config.result import Configured, ConfiguredRule, SourcedRules, Verdict
    from gateway.config.shape import Shape

__all__ = ["DEFAULT_PATHS", "add_rules", "load_configuration"]

DEFAULT_PATHS = (Path("gateway.yaml"), Path("configs/gateway.yaml"))
"""Where a configuration file is looked for when none is named."""

_NO_FLAGS: Mapping[str, Any] = MappingProxyType({})


@collector_paused()
def load_configuration(
    path: Path | None,
    *,
    text: str | None = None,
    flags: Mapping[str, Any] = _NO_FLAGS,
    plugin_files: Sequence[Path] = (),
    environ: Mapping[str, str] | None = None,
    entry_points: Iterable[EntryPoint] | None = None,
) -> Configuration:
    """Load a configuration: flags over environment over file over defaults.

    Args:
        path: The file; ``None`` takes the first of ``DEFAULT_PATHS`` that exists, and if there is none what the plugins
            propose for that case (``zero_config``).
        text: What the file holds, as ``Configuration.text`` of an earlier load has it, so that a worker serves exactly
            what the control plane validated; the file is not read again, nor looked for. ``None`` reads it.
        flags: Values by dotted path below ``gateway``, such as ``logging.level``; those that are ``None`` do not count.
        plugin_files: Python files that are plugins too.
        environ: The environment; ``None`` takes that of the process.
        entry_points: Where plugins come from; ``None`` takes the installed distributions.

    Raises:
        ConfigurationError: With every problem that was found, by place.
    """
    report = Report()
    environ = os.environ if environ is None else environ
    if text is None:
        path = path or next((default for default in DEFAULT_PATHS if default.is_file()), None)
        text = file_text(path, report) if path is not None else ""
    written = read_gateway(path, environ, report, text) if path is not None and text is not None else None
    if path is not None and written is None:
        report.raise_errors()
    layers = Layers(environ, flags, report)
    gateway = Block(Place("no configuration file").below("gateway")) if written is None else written
    host = _discover(layers.before_plugins(gateway), path, plugin_files, entry_points, report)
    if written is None:
        gateway = zero_configuration(host, gateway.place)
    return _Loader(path, text or "", host, report).load(gateway, layers)


@collector_paused()
def add_rules(configuration: Configuration, sourced: Sequence[SourcedRules]) -> Configuration:
    """Return a configuration with rules of route sources behind its own.

    Nothing is read again: file, environment and plugins are those that ``configuration`` was loaded from. What is wrong
    with a rule of a source leaves out this rule; see ``Configuration.verdicts``.

    Args:
        configuration: As ``load_configuration`` returned it.
        sourced: What the sources published; those of sources that are not on do not count.

    Raises:
        ConfigurationError: If it cannot be worked out any more.
    """
    if not any(each.rules for each in sourced):
        return configuration
    loader = _Loader(configuration.path, configuration.text, configuration.host, Report())
    return dataclasses.replace(loader.load_again(configuration.data, sourced), id=configuration.id)


def _discover(
    gateway: Block,
    path: Path | None,
    plugin_files: Sequence[Path],
    entry_points: Iterable[EntryPoint] | None,
    report: Report,
) -> PluginHost:
    """Load the plugins that the configuration does not disable, and the files it names."""
    folder = path.parent if path is not None else Path()
    files = []
    for name, place in named_values(gateway, "plugins", "files"):
        file = folder / Path(name).expanduser()
        if file.is_file():
            files.append(file)
        else:
            report.error(f"there is no file {str(file)!r}; write its path from the folder of this file", value=place)
    for file in plugin_files:
        if file.is_file():
            files.append(file)
        else:
            report.error(f"there is no plugin file {str(file)!r}; check the path", where="command line")
    disabled = named_values(gateway, "disabledPlugins")
    host = PluginHost.discover(files=files, disabled=[name for name, _ in disabled], entry_points=entry_points)
    for name, place in disabled:
        if not any(plugin.answers_to(name) for plugin in host.disabled):
            names = [plugin.name for plugin in host.plugins]
            report.warn(f"no plugin {name!r} is installed; {did_you_mean(name, names)}", key=place)
    return host


class _Loader:
    """Works out a configuration from what is written and what is installed."""

    def __init__(self, path: Path | None, text: str, host: PluginHost, report: Report) -> None:
        self._path = path
        self._text = text
        self._host = host
        self._report = report
        self._missing = Missing(host)
        self._registrations = [registration for registration, _ in registrations_of(host)]

    def load(self, written: Block, layers: Layers) -> Configuration:
        """Return the configuration.

        Args:
            written: What is written below ``gateway``.
            layers: What lies over it.

        Raises:
            ConfigurationError: If anything is wrong.
        """
        self._report.extend(self._host.problems)
        tree = gateway_tree(self._host, self._report)
        gateway = apply_aliases(written, gateway_aliases(self._registrations), self._report)
        gateway = refuse_keys(gateway, refused_in_gateway(self._registrations), self._report)
        return self._work_out(tree, layers.over(gateway, tree.shape, self._missing))

    def load_again(self, gateway: Block, sourced: Sequence[SourcedRules]) -> Configuration:
        """Return the configuration with rules of route sources.

        Args:
            gateway: What is in ``Configuration.data``.
            sourced: What the sources published.

        Raises:
            ConfigurationError: If anything is wrong.
        """
        return self._work_out(gateway_tree(self._host, self._report), gateway, sourced)

    def _work_out(self, tree: Node, gateway: Block, sourced: Sequence[SourcedRules] = ()) -> Configuration:
        core, claimed = split(tree, gateway, self._report, self._missing.block)
        config, rules = self._own(core)
        context = Context(
            host=self._host,
            offers=Offers(self._host, claimed, gateway.place, self._report),
            missing=self._missing,
            report=self._report,
        )
        choose_providers(context, config.registry.type, _block(core, "registry"))
        check_order(context, _block(core, "pipeline"))
        parts = RuleParts(
            tree=rule_tree(tree),
            aliases=rule_aliases(self._registrations),
            refused=refused_in_rules(self._registrations),
            auth=config.auth,
            skip_paths=self._skip_paths(core),
            authenticators=Authenticators(context, config.auth, _block(core, "auth")),
            pipeline=Pipeline(context, config.pipeline.order),
            balancers=Balancers(context, config.router.default_load_balance, _block(core, "router")),
            destinations=Destinations(context),
        )
        sources = self._on(context.offers, "route source")
        self._check_sources(context.offers, sources)
        built, verdicts = self._rules(context, parts, rules, build_admissions(sources, parts.aliases), sourced)
        configuration = self._whole(context, config, parts, built, gateway, tree.shape)
        return dataclasses.replace(configuration, route_sources=sources, verdicts=verdicts)

    def _own(self, core: Block) -> tuple[GatewayConfig, Items]:
        """Return the core's own part, and the rules apart from it."""
        router = _block(core, "router").copy()
        rules = router.get("rules")
        if "rules" in router:
            place = router.places["rules"]
            router.drop("rules")
            core = core.copy()
            core.put("router", router, core.places["router"])
            if rules is not None and not isinstance(rules, Items):
                self._report.error("is not a list; begin each rule with '- '", key=place)
        config = validate(GatewayConfig, core, self._report)
        return config or GatewayConfig(), rules if isinstance(rules, Items) else Items(core.place)

    def _skip_paths(self, core: Block) -> list[str]:
        found = []
        for text, place in named_values(core, "auth", "skipPaths"):
            try:
                path = parse_skip_path(text)
            except ValueError as error:
                self._report.error(str(error), value=place)
                continue
            if not path:
                self._report.warn("nobody is asked for credentials anywhere, because of '/'", key=place)
            found.append(path)
        return found

    def _rules(
        self,
        context: Context,
        parts: RuleParts,
        rules: Items,
        admissions: Mapping[str, Admission],
        sourced: Sequence[SourcedRules],
    ) -> tuple[tuple[ConfiguredRule, ...], tuple[Verdict, ...]]:
        for admission in admissions.values():
            self._report.extend(admission.problems)
        builder = RuleBuilder(context, parts, rules)
        built = builder.build_all()
        if not rules:
            parts.authenticators.check_required()
        # What is wrong with the rest would be found in every rule of every source, and nothing is served then.
        found = Sourced() if self._report.errors else add_sourced_rules(builder, built, admissions, sourced)
        for registration in self._registrations:
            if registration.kind in PER_RULE_KINDS:
                context.offers.check_unused(registration)
        return (*built, *found.rules), tuple(found.verdicts)

    def _whole(
        self,
        context: Context,
        config: GatewayConfig,
        parts: RuleParts,
        rules: tuple[ConfiguredRule, ...],
        gateway: Block,
        shape: Shape,
    ) -> Configuration:
        """Put everything together, unless something is wrong."""
        kinds = ("adapter", "connector", "discovery provider", "health checker", "observer", "admin route")
        on = {kind: self._on(context.offers, kind) for kind in kinds}
        edge_policies = parts.pipeline.edge_policies()
        self._check_adapters(context.offers)
        self._report.raise_errors()
        self._report.extend(self._host.warnings, are_warnings=True)
        return Configuration(
            path=self._path,
            text=self._text,
            gateway=config,
            host=self._host,
            adapters=on["adapter"],
            connectors=on["connector"],
            discovery=on["discovery provider"],
            health_checkers=on["health checker"],
            observers=on["observer"],
            admin_routes=on["admin route"],
            route_sources=(),
            edge_policies=edge_policies,
            rules=rules,
            warnings=self._report.warnings,
            data=gateway,
            shape=shape,
        )

    def _on(self, offers: Offers, kind: str) -> tuple[Configured, ...]:
        """Return the offers of a kind that are on gateway-wide, by name."""
        registrations = [offer for offer in self._host.of_kind(kind) if isinstance(offer, Registration)]
        found = map(offers.gateway_wide, registrations)
        return tuple(configured for configured in found if configured is not None)

    def _check_sources(self, offers: Offers, sources: Sequence[Configured]) -> None:
        """Report sources that need a discovery provider which is off."""
        for configured in sources:
            over = configured.registration.over
            provider = self._host.find("discovery provider", over) if over is not None else None
            if over is None or (isinstance(provider, Registration) and offers.is_on(provider)):
                continue
            block = f"gateway.{'.'.join(place_of(provider))}" if isinstance(provider, Registration) else "a plugin"
            message = f"reads its routes from the discovery provider {over!r}, which is off; add {block}"
            self._report.error(message, where=configured.where, path=".".join(place_of(configured.registration)))

    def _check_adapters(self, offers: Offers) -> None:
        """Report that nothing would listen."""
        adapters = [offer for offer in self._host.of_kind("adapter") if isinstance(offer, Registration)]
        if any(map(offers.is_on, adapters)):
            return
        if adapters:
            blocks = " or ".join(f"gateway.{'.'.join(place_of(adapter))}" for adapter in adapters)
            message = f"nothing can listen: every adapter is off; turn on {blocks}"
        else:
            message = f"nothing can listen: {self._missing.kind('an adapter', 'http')}"
        self._report.error(message, where=str(self._path or ""))


def _block(core: Block, key: str) -> Block:
    value = core.get(key)
    return value if isinstance(value, Block) else Block(core.place)
