"""What gateway-forward-auth offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import BuildContext, PolicyRegistration, Stage, hookimpl
from gateway_forward_auth.config import ForwardAuthConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_forward_auth.policy import ForwardAuth


@hookimpl
def gateway_register_policies() -> Sequence[PolicyRegistration]:
    return [
        PolicyRegistration(
            name="forward-auth",
            summary="Asks another service over HTTP who may pass",
            config=ForwardAuthConfig,
            build=build_forward_auth,
            stage=Stage.AUTHENTICATE,
            aliases={
                "address": "url",
                "authRequestHeaders": "requestHeaders",
                "authResponseHeaders": "responseHeaders",
            },
        )
    ]


def build_forward_auth(config: ForwardAuthConfig, context: BuildContext) -> ForwardAuth:
    from gateway_forward_auth.policy import ForwardAuth

    return ForwardAuth(config, context)
