"""Who is calling, told by a JSON Web Token."""

from __future__ import annotations

import asyncio
import ssl
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

from gateway import ErrorType, GatewayError, Principal, Unauthorized
from gateway_jwt.issuers import Issuer, KeyFile
from gateway_jwt.jwks import Timing
from gateway_jwt.jwks_client import JwksClient
from gateway_jwt.sources import sources_of
from gateway_jwt.token_cache import TokenCache
from gateway_jwt.tokens import InvalidToken, candidates, check_claims, is_signed, parse, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from gateway import BuildContext, Request
    from gateway_jwt.config import JwtConfig
    from gateway_jwt.tokens import Token, Validity

__all__ = ["JwtAuthenticator"]


class JwtAuthenticator:
    """Looks for a token in the places of the configuration; the first that holds one decides.

    Args:
        config: The issuers and places.
        context: The gateway.
        clock: Unix seconds.

    Attributes:
        conceal: Takes tokens off a request; ``None`` if they are forwarded.

    Raises:
        ValueError: If a key of the configuration cannot be used.
    """

    waits = False  # but for a gateway.Waiter, and only for keys that are not known yet

    def __init__(self, config: JwtConfig, context: BuildContext, *, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._context = context
        self._sources = sources_of(config)
        self._cache = TokenCache(config.cache_entries, config.cache_size)
        self._issuers = [Issuer(issuer, context) for issuer in config.all_issuers]
        self._by_name = {issuer.config.issuer: issuer for issuer in self._issuers}
        tokens = context.metrics.counter("gateway_jwt_tokens_total", "Tokens that were presented.", ("result",))
        self._cached, self._verified = tokens.labels("cached"), tokens.labels("verified")
        self._refused, self._undecided = tokens.labels("refused"), tokens.labels("undecided")
        concealed = [source for source in self._sources if config.strip_token or source.is_always_removed]
        self._concealed = tuple(concealed)
        self.conceal: Callable[[Request], None] | None = self._remove if concealed else None
        if any(issuer.config.jwks_url is not None for issuer in self._issuers):
            self._start_fetching(context)

    async def __aenter__(self) -> Self:
        """Read key files and fetch keys.

        Raises:
            ValueError: If a file cannot be used. Keys that cannot be fetched are waited for while it serves.
        """
        for issuer in self._issuers:
            if isinstance(issuer.source, KeyFile):
                await asyncio.to_thread(issuer.source.read)
        await asyncio.gather(*(issuer.jwks.first() for issuer in self._issuers if issuer.jwks is not None))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is held."""

    def is_current(self) -> bool:
        """Say whether the key files are still as they were read."""
        return all(issuer.source.is_current() for issuer in self._issuers if isinstance(issuer.source, KeyFile))

    def recall(self, request: Request) -> Principal | None:
        """Return whom the token of the request names, if it was verified before."""
        try:
            token = self._find(request)
        except InvalidToken:
            return None  # authenticate() says what is wrong
        return self._known(sha256(token).digest()) if token is not None else None

    async def authenticate(self, request: Request) -> Principal | None:
        """Return whom the token of the request names; ``None`` if it carries none.

        Raises:
            Unauthorized: If it carries one that is not valid, or several.
            GatewayError: ``unavailable`` while the keys of its issuer cannot be fetched.
        """
        try:
            token = self._find(request)
            if token is None:
                return None
            digest = sha256(token).digest()
            return self._known(digest) or await self._verify(token, digest)
        except InvalidToken as error:
            self._refused.value += 1
            challenge = f'Bearer error="invalid_token", error_description="{error.public}"'
            raise Unauthorized(error.public, challenge=challenge, detail=str(error)) from error

    def _find(self, request: Request) -> bytes | None:
        for source in self._sources:
            token = source.find(request)
            if token is not None:
                return token
        return None

    def _known(self, digest: bytes) -> Principal | None:
        principal = self._cache.get(digest, self._clock())
        if principal is not None:
            self._cached.value += 1
        return principal

    async def _verify(self, raw: bytes, digest: bytes) -> Principal:
        if len(raw) > self._config.max_token_size:
            raise InvalidToken(f"it has {len(raw)} bytes")
        token = parse(raw)
        issuer = self._issuer_of(token)
        if token.algorithm not in issuer.config.algorithms:
            raise InvalidToken(f"alg is {token.algorithm!r}")
        # Before the signature, which costs more, and before anything is fetched: most tokens that are refused are old.
        validity = check_claims(token.claims, issuer.config, self._config, self._clock())
        is_genuine = is_signed(token, candidates(token, issuer.keys))
        # The issuer may have a new key, under a new id or the same one.
        if not is_genuine and issuer.jwks is not None and await issuer.jwks.fetched_again():
            is_genuine = is_signed(token, candidates(token, issuer.keys))
        if not issuer.keys:
            self._undecided.value += 1
            raise GatewayError(
                ErrorType.UNAVAILABLE,
                "the token cannot be verified at the moment",
                detail=f"no keys of the issuer {issuer.config.issuer!r} are known",
                headers=((b"retry-after", b"10"),),
            )
        if not is_genuine:
            raise InvalidToken(f"no key signed it; kid is {token.key_id!r}")
        principal = self._principal(token.claims, validity)
        self._cache.put(digest, principal, from_utc=validity.from_utc, to_utc=validity.to_utc, token_bytes=len(raw))
        self._verified.value += 1
        return principal

    def _issuer_of(self, token: Token) -> Issuer:
        if len(self._issuers) == 1:
            return self._issuers[0]
        name = token.claims.get("iss")
        issuer = self._by_name.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise InvalidToken(f"iss is {name!r}")
        return issuer

    def _principal(self, claims: Mapping[str, Any], validity: Validity) -> Principal:
        config = self._config
        subject = reach(claims, config.subject_claim)
        if not isinstance(subject, str) or not subject:
            raise InvalidToken(f"{config.subject_claim} is {subject!r}")
        kind = claims.get("typ")
        mapped = {
            name: found for path, name in config.claims_mapping.items() if (found := reach(claims, path)) is not None
        }
        return Principal(
            subject=subject,
            kind=kind if kind in ("service", "device") else "user",
            provider="jwt",
            scopes=_scopes(reach(claims, config.scope_claim)),
            claims={**claims, **mapped},
            expires_at_utc=claims.get("exp"),
        )

    def _remove(self, request: Request) -> None:
        for source in self._concealed:
            source.remove(request)

    def _start_fetching(self, context: BuildContext) -> None:
        config = self._config
        timing = Timing(
            refresh_s=config.jwks_refresh_interval,
            refetch_s=config.jwks_refetch_interval,
            max_stale_s=config.jwks_max_stale,
        )
        client = JwksClient(_tls(config, context), timeout_s=config.jwks_timeout, max_bytes=config.jwks_max_size)
        for issuer in self._issuers:
            issuer.start_fetching(client, timing, context, self._cache)


def _scopes(value: object) -> frozenset[str]:
    """Return scopes from text (RFC 8693 section 4.2) or a list, as many issuers write them."""
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list):
        return frozenset(scope for scope in value if isinstance(scope, str))
    return frozenset()


def _tls(config: JwtConfig, context: BuildContext) -> ssl.SSLContext:
    if config.jwks_ca_file is None:
        return ssl.create_default_context()
    path = context.resolve(config.jwks_ca_file)
    try:
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as error:
        msg = f"jwksCAFile {str(path)!r} cannot be used: {error}; it must hold PEM certificates"
        raise ValueError(msg) from error


if TYPE_CHECKING:
    from gateway.interfaces import Authenticator

    _: type[Authenticator] = JwtAuthenticator
