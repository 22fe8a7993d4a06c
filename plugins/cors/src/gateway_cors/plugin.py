"""What gateway-cors offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BuildContext, PolicyRegistration, Stage, hookimpl
from gateway_cors.config import CorsConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_cors.policy import CorsPolicy


@hookimpl
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="cors",
            summary="Cross-origin resource sharing: answers preflights, tells browsers who may read answers",
            config=CorsConfig,
            build=build_policy,
            stage=Stage.EDGE,
            path="cors",
            rule_key="cors",
            answers_preflights=True,
            aliases={
                "gateway.middleware.cors": "gateway.cors",
                "allowOrigins": "allowedOrigins",
                "allowMethods": "allowedMethods",
                "allowHeaders": "allowedHeaders",
                "exposeHeaders": "exposedHeaders",
            },
        )
    ]


def build_policy(config: CorsConfig, context: BuildContext) -> CorsPolicy:
    from gateway_cors.policy import CorsPolicy

    return CorsPolicy(config)
