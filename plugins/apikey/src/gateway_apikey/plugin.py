"""What gateway-apikey offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AuthenticatorRegistration, BuildContext, hookimpl
from gateway_apikey.config import ApiKeyConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_apikey.authenticator import ApiKeyAuthenticator


@hookimpl
def gateway_register_authenticators() -> Sequence[AuthenticatorRegistration]:
    return [
        AuthenticatorRegistration(
            name="apikey",
            summary="API keys from the configuration or a file",
            config=ApiKeyConfig,
            build=build_authenticator,
            path="auth.apiKey",
            rule_key="auth.apiKey",
            aliases={
                "gateway.auth.apikey": "gateway.auth.apiKey",
                "gateway.router.rules[].auth.apikey": "gateway.router.rules[].auth.apiKey",
                "header": "headerName",
                "query": "queryParam",
                "cookie": "cookieName",
                "hashAlgorithm": "hashKeys",
            },
            challenge="ApiKey",
        )
    ]


def build_authenticator(config: ApiKeyConfig, context: BuildContext) -> ApiKeyAuthenticator:
    from gateway_apikey.authenticator import ApiKeyAuthenticator

    return ApiKeyAuthenticator(config, context)
