"""What gateway-jwt offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import AuthenticatorRegistration, BuildContext, hookimpl
from gateway_jwt.config import JwtConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_jwt.authenticator import JwtAuthenticator


@hookimpl
def gateway_register_authenticators() -> Sequence[AuthenticatorRegistration]:
    return [
        AuthenticatorRegistration(
            name="jwt",
            summary="JSON Web Tokens, with keys from the configuration, from files or by JWKS",
            config=JwtConfig,
            build=build_authenticator,
            path="auth.jwt",
            rule_key="auth.jwt",
            aliases={
                "signingMethod": "algorithms",
                "algorithm": "algorithms",
                "jwksEndpoint": "jwksUrl",
                "jwksURI": "jwksUrl",
                "jwksCacheDuration": "jwksRefreshInterval",
                "clockSkew": "leeway",
                "tokenHeader": "headerName",
                "tokenCookie": "cookieName",
                "tokenQuery": "queryParam",
                "bearerPrefix": "scheme",
                "customClaims": "claimsMapping",
                "validateExp": "requireExp",
                "providers": "issuers",
            },
            refused={"validateNbf": "a token is never accepted before its 'nbf'; remove it"},
            challenge="Bearer",
        )
    ]


def build_authenticator(config: JwtConfig, context: BuildContext) -> JwtAuthenticator:
    from gateway_jwt.authenticator import JwtAuthenticator

    return JwtAuthenticator(config, context)
