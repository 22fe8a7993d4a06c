"""The pipeline: what happens between the match of a route and the dispatch to an instance, compiled at load."""

from __future__ import annotations

from gateway.pipeline.compiled import CompiledRoute, Containment
from gateway.pipeline.compose import PlacedPolicy, RouteComponents, compile_route
from gateway.pipeline.observing import Observers

__all__ = ["CompiledRoute", "Containment", "Observers", "PlacedPolicy", "RouteComponents", "compile_route"]
