"""What gateway-cache offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AdminRouteRegistration, BuildContext, NoConfig, PolicyRegistration, Stage, hookimpl
from gateway_cache.config import CacheConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_cache.admin import Purge, ShowCache
    from gateway_cache.policy import CachePolicy


@hookimpl
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="cache",
            summary="Answers again what a service said may be answered again (RFC 9111)",
            config=CacheConfig,
            build=build_cache,
            stage=Stage.TRANSFORM,
        )
    ]


@hookimpl
def gateway_register_admin_routes() -> Sequence[AdminRouteRegistration]:
    return [
        AdminRouteRegistration(
            name="cache-status", summary="How full the cache is", build=build_show_cache, admin_path="/cache"
        ),
        AdminRouteRegistration(
            name="cache-purge",
            summary="Removes responses from the cache",
            build=build_purge,
            method="POST",
            admin_path="/cache",
        ),
        AdminRouteRegistration(
            name="cache-delete",
            summary="Removes responses from the cache",
            build=build_purge,
            method="DELETE",
            admin_path="/cache",
        ),
    ]


def build_cache(config: CacheConfig, context: BuildContext) -> CachePolicy:
    from gateway_cache.policy import CachePolicy

    return CachePolicy(config, context)


def build_show_cache(config: NoConfig, context: BuildContext) -> ShowCache:
    from gateway_cache.admin import ShowCache

    return ShowCache(context)


def build_purge(config: NoConfig, context: BuildContext) -> Purge:
    from gateway_cache.admin import Purge

    return Purge(context)
