"""Routing: which route a request gets.

- ``normalise_path`` makes the canonical form of a request's path, or refuses it.
- ``parse_pattern`` reads a rule's ``path`` and ``pathType``; ``parse_host``, ``parse_header_conditions`` and
  ``parse_query_conditions`` read what else a rule asks of a request.
- ``RouteTable`` takes one ``RouteEntry`` for each rule and finds the one for a request; ``RouteConflicts`` says which
  rules cannot stand beside each other.
- ``build_rewrite`` changes the path for the service.

Nothing here does I/O or knows what a route leads to. Everything is compiled when the configuration is loaded.
"""

from __future__ import annotations

from gateway.routing.conditions import (
    HeaderCondition,
    HeaderLookup,
    QueryCondition,
    parse_header_conditions,
    parse_query_conditions,
)
from gateway.routing.conflicts import RouteConflict, RouteConflicts, TakenRoutes, find_conflicts
from gateway.routing.entry import RouteEntry
from gateway.routing.hosts import normalise_host, parse_host
from gateway.routing.path import MalformedPath, comparison_form, normalise_path
from gateway.routing.pattern import PathType, Pattern, PatternError, parse_pattern
from gateway.routing.rewrite import build_rewrite
from gateway.routing.table import Miss, RouteTable

__all__ = [
    # The path of a request.
    "MalformedPath",
    "build_rewrite",
    "comparison_form",
    "normalise_path",
    # What a rule says.
    "HeaderCondition",
    "PathType",
    "Pattern",
    "PatternError",
    "QueryCondition",
    "normalise_host",
    "parse_header_conditions",
    "parse_host",
    "parse_pattern",
    "parse_query_conditions",
    # The table.
    "HeaderLookup",
    "Miss",
    "RouteConflict",
    "RouteConflicts",
    "RouteEntry",
    "RouteTable",
    "TakenRoutes",
    "find_conflicts",
]
