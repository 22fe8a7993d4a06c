"""Which distribution brings what, so that a message about a missing plugin can say what to install.

Data only: the core knows the names of the first-party distributions and nothing else of them. Third parties' plugins
are known once they are installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BLOCKS", "OFFERS", "RULE_KEYS", "distribution_of", "install_command"]

BLOCKS: Mapping[str, str] = {
    "frontend.http": "http",
    "backend.http": "http",
    "frontend.http2": "http2",
    "backend.http2": "http2",
    "frontend.websocket": "websocket",
    "backend.websocket": "websocket",
    "frontend.sse": "sse",
    "backend.sse": "sse",
    "frontend.grpc": "grpc",
    "backend.grpc": "grpc",
    "registry.static": "static",
    "registry.docker": "docker",
    "registry.dockerCompose": "docker",
    "registry.dockercompose": "docker",
    "registry.kubernetes": "kubernetes",
    "router.sources.docker": "docker",
    "router.sources.dockerCompose": "docker",
    "router.sources.composeFile": "docker",
    "router.sources.kubernetes": "kubernetes",
    "auth.jwt": "jwt",
    "auth.apiKey": "apikey",
    "auth.apikey": "apikey",
    "auth.oauth2": "oauth2",
    "auth.rbac": "rbac",
    "middleware.auth": "oauth2",
    "middleware.authz": "rbac",
    "middleware.transform": "transform",
    "middleware.cors": "cors",
    "middleware.ratelimit": "ratelimit",
    "middleware.circuitbreaker": "circuitbreaker",
    "middleware.retry": "retry",
    "rateLimitStorage": "ratelimit",
    "redis": "ratelimit",
    "cors": "cors",
    "transform": "transform",
    "versioning": "versioning",
    "openapi": "openapi",
    "circuitBreaker": "circuitbreaker",
    "retry": "retry",
    "health": "healthcheck",
    "telemetry": "otel",
    "metrics": "prometheus",
    "management": "management",
}
"""Blocks under ``gateway``, each with the extra of the distribution that reads it."""

RULE_KEYS: Mapping[str, str] = {
    "rateLimit": "ratelimit",
    "rateLimitBurst": "ratelimit",
    "rateLimitExpiration": "ratelimit",
    "rateLimitStorage": "ratelimit",
    "sessionAffinity": "affinity",
    "stickySession": "affinity",
    "grpc": "grpc",
    "transcoding": "grpc",
    "cors": "cors",
    "transform": "transform",
    "versioning": "versioning",
    "circuitBreaker": "circuitbreaker",
    "retry": "retry",
    "auth.jwt": "jwt",
    "auth.apiKey": "apikey",
    "auth.apikey": "apikey",
    "auth.oauth2": "oauth2",
}
"""Keys of a rule."""

OFFERS: Mapping[tuple[str, str], str] = {
    **{("protocol", name): name for name in ("http", "http2", "websocket", "sse", "grpc")},
    **{("authenticator", name): name for name in ("jwt", "apikey", "oauth2")},
    **{("discovery provider", name): name for name in ("static", "docker", "kubernetes")},
    ("pseudo method", "WEBSOCKET"): "websocket",
    ("pseudo method", "SSE"): "sse",
    ("discovery provider", "docker-compose"): "docker",
    ("discovery provider", "dockercompose"): "docker",
    **{
        ("balancer", name): "balancers"
        for name in (
            *("round_robin", "weighted_round_robin", "weighted_random", "least_connections", "response_time"),
            *("adaptive", "consistent_hash", "power_of_two", "weighted"),
        )
    },
    ("balancer", "sticky_session"): "affinity",
    ("balancer", "sticky"): "affinity",
    ("policy", "cors"): "cors",
    ("policy", "transform"): "transform",
    ("policy", "rbac"): "rbac",
    ("policy", "retry"): "retry",
    ("policy", "circuitbreaker"): "circuitbreaker",
}
"""Offers by kind and name; ``protocol`` is the kind of what a rule's ``protocol`` names."""


def distribution_of(extra: str) -> str:
    """Return the distribution that an extra installs."""
    return f"gateway-{extra}"


def install_command(extra: str) -> str:
    """Return what to type to install it."""
    return f"pip install 'gateway[{extra}]'"
