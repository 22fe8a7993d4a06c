"""An authenticator: bearer tokens that are listed in the configuration, by team."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from pydantic import Field, SecretStr

from gateway import AuthenticatorRegistration, Config, Principal, Unauthorized, hookimpl

if TYPE_CHECKING:
    from gateway import BuildContext, Request


class TeamTokensConfig(Config):
    tokens: dict[str, SecretStr] = Field(description="The token of each team.")
    scopes: frozenset[str] = Field(frozenset(), description="What every team may do.")


class TeamTokens:
    waits = False

    def __init__(self, config: TeamTokensConfig) -> None:
        self._tokens = {team: token.get_secret_value().encode() for team, token in config.tokens.items()}
        self._scopes = config.scopes

    async def authenticate(self, request: Request) -> Principal | None:
        scheme, _, given = (request.headers.get("authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            return None  # no credentials of this kind: another authenticator may have more luck
        for team, token in self._tokens.items():
            if hmac.compare_digest(given.encode(), token):
                return Principal(subject=team, kind="service", provider="team_tokens", scopes=self._scopes)
        raise Unauthorized("the token is not valid", challenge='Bearer error="invalid_token"')


@hookimpl
def gateway_register_authenticators() -> list[AuthenticatorRegistration]:
    return [
        AuthenticatorRegistration(
            name="team_tokens",
            summary="Bearer tokens from the configuration",
            config=TeamTokensConfig,
            build=build,
            path="auth.teamTokens",
            challenge="Bearer",
        )
    ]


def build(config: TeamTokensConfig, context: BuildContext) -> TeamTokens:
    return TeamTokens(config)
