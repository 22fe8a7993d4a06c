"""The configuration of ``auth.jwt``."""

from __future__ import annotations

import re
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from gateway import Config, Duration, Size

__all__ = ["ALGORITHMS", "IssuerConfig", "JwtConfig"]

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - of RFC 9110 section 5.6.2, no secret
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

ALGORITHMS = (
    *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448"),
)
"""RFC 7518 section 3.1 without ``none``, RFC 8037 section 3.1, and RFC 9864 section 2.2."""


def _as_list(value: Any) -> Any:  # noqa: ANN401 - what pydantic hands to a validator
    return [value] if isinstance(value, str) else value


_NAMES = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
Names = Annotated[tuple[str, ...], BeforeValidator(_as_list), _NAMES]


def _algorithms(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in ALGORITHMS:
            msg = f"{name!r} is not an algorithm that is taken; choose among {', '.join(ALGORITHMS)}"
            raise ValueError(msg)
    if not names:
        msg = "the list is empty; name the algorithms that tokens may be signed with"
        raise ValueError(msg)
    return names


def _https(url: str) -> str:
    parts = urlsplit(url)
    is_url = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
    if not is_url or parts.username is not None or parts.fragment:
        msg = f"{_without_credentials(url)!r} is not a URL such as https://issuer.example/jwks.json"
        raise ValueError(msg)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        msg = f"{url!r} is not HTTPS, so that anybody on the way could give the keys; use https"
        raise ValueError(msg)
    return url


def _without_credentials(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)


def _named(value: str | None) -> str | None:
    value = value.strip() if value is not None else None
    if value and not re.fullmatch(_TOKEN, value):
        msg = f"{value!r} is not a name; use letters, digits and hyphens"
        raise ValueError(msg)
    return value or None


Name = Annotated[str | None, AfterValidator(_named)]


_OTHER_SPELLINGS = {
    "signingMethod": "algorithms",
    "algorithm": "algorithms",
    "jwksEndpoint": "jwksUrl",
    "jwksURI": "jwksUrl",
}


class IssuerConfig(Config):
    """Whose tokens are taken, and the keys that they are signed with."""

    issuer: str | None = Field(default=None, min_length=1, description="What `iss` must be; without it anything.")
    audience: Names = Field(default=(), description="One of these must be among `aud`; without it anything may.")
    algorithms: Annotated[tuple[str, ...], BeforeValidator(_as_list), AfterValidator(_algorithms), _NAMES] = Field(
        default=("RS256",), description="What tokens may be signed with; never `none`."
    )
    public_key: str | None = Field(
        default=None,
        min_length=1,
        description="The public key: PEM (also several, or a certificate), or a JWK or JWKS.",
    )
    public_key_file: str | None = Field(
        default=None, min_length=1, description="The same in a file, relative to the configuration file."
    )
    secret: SecretStr | None = Field(
        default=None, description="The shared secret for HS256, HS384 or HS512: at least 32, 48 or 64 bytes."
    )
    jwks_url: Annotated[str, AfterValidator(_https)] | None = Field(
        default=None, description="Where the public keys are fetched from, with HTTPS; plain only on loopback."
    )

    @property
    def has_keys(self) -> bool:
        """Whether it says where keys are."""
        return any(source is not None for source in self._sources)

    @property
    def _sources(self) -> tuple[object, ...]:
        return self.public_key, self.public_key_file, self.secret, self.jwks_url

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, value: Any) -> Any:  # noqa: ANN401 - what pydantic hands to a validator
        # In entries of `issuers`; the aliases of the registration are for the block itself.
        if not isinstance(value, dict):
            return value
        spelled = {_OTHER_SPELLINGS.get(name, name): entry for name, entry in value.items()}
        if len(spelled) < len(value):
            msg = "a key is given in two spellings; remove one of them"
            raise ValueError(msg)
        return spelled

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if sum(source is not None for source in self._sources) > 1:
            msg = "give one of 'publicKey', 'publicKeyFile', 'secret' and 'jwksUrl', not several"
            raise ValueError(msg)
        shared = [name for name in self.algorithms if name.startswith("HS")]
        # An issuer with both kinds could be asked to take a public key, which anybody has, for a secret.
        if shared and len(shared) < len(self.algorithms):
            msg = f"{shared[0]} has a shared secret and {self.algorithms} has others too; make two issuers of it"
            raise ValueError(msg)
        if shared and self.has_keys and self.secret is None:
            msg = f"{shared[0]} needs 'secret': a public key is known to everybody, who could then sign"
            raise ValueError(msg)
        if self.secret is not None and not shared:
            msg = f"'secret' is for HS256, HS384 and HS512; for {self.algorithms[0]} give a public key or 'jwksUrl'"
            raise ValueError(msg)
        return self


class JwtConfig(IssuerConfig):
    """JSON Web Tokens: where they are looked for, whose are taken, and what they say of the caller."""

    issuers: tuple[IssuerConfig, ...] = Field(
        default=(), max_length=100, description="More issuers, each with its keys; found by `iss`."
    )
    leeway: Annotated[Duration, Field(le=600)] = Field(
        default=30.0, description="By how much the clocks may differ when `exp` and `nbf` are read."
    )
    require_exp: bool = Field(default=True, description="Whether tokens without `exp` are refused.")
    required_claims: Names = Field(default=(), description="Claims that tokens must have, besides.")
    subject_claim: str = Field(default="sub", min_length=1, description="The claim that says who it is.")
    scope_claim: str = Field(
        default="scope", min_length=1, description="The claim with the scopes: text with spaces, or a list."
    )
    claims_mapping: dict[str, str] = Field(
        default_factory=dict, description="Further names of claims: `realm_access.roles: roles`."
    )
    header_name: Name = Field(default="Authorization", description="The field that carries a token; `null` for none.")
    scheme: Name = Field(default="Bearer", description="What stands before a token in `Authorization`.")
    cookie_name: Name = Field(default=None, description="The cookie that carries a token; without it none does.")
    query_param: str | None = Field(default=None, description="The parameter of the query; without it none does.")
    websocket_protocol: Name = Field(
        default=None, description="What stands before a token in `Sec-WebSocket-Protocol`, such as `bearer.`."
    )
    strip_token: bool = Field(default=False, description="Whether the token is taken off what is forwarded.")
    max_token_size: Annotated[Size, Field(ge=256, le=65536)] = Field(
        default=8192, description="Longer tokens are refused unread."
    )
    cache_entries: int = Field(
        default=10_000, ge=0, le=1_000_000, description="How many verified tokens are remembered; 0 remembers none."
    )
    cache_size: Size = Field(default=16 * 1024 * 1024, description="How much memory they may take.")
    jwks_refresh_interval: Annotated[Duration, Field(ge=1)] = Field(
        default=3600.0, description="How often keys are fetched."
    )
    jwks_refetch_interval: Annotated[Duration, Field(ge=0.1)] = Field(
        default=10.0, description="At most this often because of a key id that is not known."
    )
    jwks_timeout: Annotated[Duration, Field(gt=0, le=8)] = Field(default=5.0, description="How long a fetch may take.")
    jwks_max_size: Annotated[Size, Field(ge=1024, le=16 * 1024 * 1024)] = Field(
        default=512 * 1024, description="How long the document may be."
    )
    jwks_max_stale: Duration = Field(
        default=86400.0, description="How long keys stay in use when they cannot be fetched any more."
    )
    jwks_ca_file: str | None = Field(
        default=None, alias="jwksCAFile", description="Trust these authorities, PEM, instead of the system's."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.has_keys and not self.issuers:
            msg = "no token could be verified; give 'publicKey', 'publicKeyFile', 'secret', 'jwksUrl' or 'issuers'"
            raise ValueError(msg)
        misplaced = {"issuer", "audience", "algorithms"} & self.model_fields_set
        if not self.has_keys and misplaced:
            msg = f"{min(misplaced)!r} has no keys beside it; write it in each of 'issuers'"
            raise ValueError(msg)
        names = [issuer.issuer for issuer in self.all_issuers]
        for issuer in self.all_issuers:
            if not issuer.has_keys:
                msg = f"issuer {issuer.issuer!r} has no keys; give 'publicKey', 'publicKeyFile', 'secret' or 'jwksUrl'"
                raise ValueError(msg)
            if len(names) > 1 and (issuer.issuer is None or names.count(issuer.issuer) > 1):
                msg = "of several issuers each needs an 'issuer' of its own, by which it is found"
                raise ValueError(msg)
        if not (self.header_name or self.cookie_name or self.query_param or self.websocket_protocol):
            msg = "no request could carry a token; give headerName, cookieName, queryParam or websocketProtocol"
            raise ValueError(msg)
        if (self.header_name or "").lower() in ("cookie", "host", "sec-websocket-protocol"):
            msg = f"headerName {self.header_name!r} is read otherwise; use cookieName or websocketProtocol"
            raise ValueError(msg)
        return self

    @property
    def all_issuers(self) -> tuple[IssuerConfig, ...]:
        """The issuer that stands here by itself, if there is one, and the others."""
        return ((self, *self.issuers)) if self.has_keys else self.issuers
