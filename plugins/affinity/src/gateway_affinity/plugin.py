"""What gateway-affinity offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BalancerRegistration, BuildContext, hookimpl
from gateway_affinity.config import SessionAffinityConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.interfaces import Balancer


@hookimpl
def gateway_register_balancers() -> Sequence[BalancerRegistration]:
    return [
        BalancerRegistration(
            name="sticky_session",
            summary="Each client stays with its instance",
            config=SessionAffinityConfig,
            build=build_sticky_session,
            path="router.sessionAffinity",
            rule_key="sessionAffinity",
            other_names=("sticky",),
            refused={
                "methods": "one thing says who a client is; write 'source'",
                "encoding": "the cookie is opaque to clients, and signed; remove it",
                "algorithm": "the cookie is opaque to clients, and signed; remove it",
                "maxEntries": "sessions are not stored, and any number of them fits; remove it",
            },
            aliases={
                "type": "source",
                "cookie.name": "cookieName",
                "cookie.path": "path",
                "cookie.maxAge": "ttl",
                "cookie.httpOnly": "httpOnly",
                "cookie.secure": "secure",
                "cookie.sameSite": "sameSite",
                "gateway.router.rules[].stickySession": "gateway.router.rules[].sessionAffinity",
            },
        )
    ]


def build_sticky_session(config: SessionAffinityConfig, context: BuildContext) -> Balancer:
    from gateway_affinity.sticky_session import NamedSession, StickyCookie
    from gateway_affinity.tagged import TaggedServices

    if config.source != "cookie":
        return NamedSession(config)
    # Kept across routes and reloads: the tags of a service's instances serve them all.
    return StickyCookie(config, context, context.keep("tagged", TaggedServices))
