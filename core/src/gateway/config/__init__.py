"""The configuration: YAML with line numbers, the environment, and the blocks of plugins, validated together.

- ``load_configuration`` reads it all and returns a ``Configuration``, or raises ``ConfigurationError`` with every
  problem.
- ``Configured`` is an offer of a plugin that is on, with its effective configuration; ``ConfiguredRule`` is a rule with
  everything that is on for it; ``RouteAuth`` says who may use its route.
- ``add_rules`` puts rules of route sources behind those of the file.
- ``configuration_schema`` describes the file for editors.

On the way: ``places`` (data that know their line), ``source`` and ``expand`` (the file), ``environment`` and ``layers``
(what lies over it), ``claims`` (who reads which key), ``effective`` (a rule's block over the gateway's), ``rules``.
"""

from __future__ import annotations

from gateway.config.access import RouteAuth
from gateway.config.load import DEFAULT_PATHS, add_rules, load_configuration
from gateway.config.model import GatewayConfig, RuleConfig
from gateway.config.result import Configuration, Configured, ConfiguredRule, SourcedRules, Verdict
from gateway.config.schema import configuration_schema

__all__ = [
    "DEFAULT_PATHS",
    "Configuration",
    "Configured",
    "ConfiguredRule",
    "GatewayConfig",
    "RouteAuth",
    "RuleConfig",
    "SourcedRules",
    "Verdict",
    "add_rules",
    "configuration_schema",
    "load_configuration",
]
