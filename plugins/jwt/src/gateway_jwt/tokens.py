"""What a token says, and whether it is true (RFC 7519 section 7.2)."""

from __future__ import annotations

import binascii
import math
import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError

from gateway_jwt.config import ALGORITHMS
from gateway_jwt.strict_json import parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from joserfc.jwa import JWSAlgModel

    from gateway_jwt.config import IssuerConfig, JwtConfig
    from gateway_jwt.keys import VerificationKey

__all__ = [
    "MAX_CANDIDATES",
    "InvalidToken",
    "Token",
    "Validity",
    "candidates",
    "check_claims",
    "is_signed",
    "parse",
    "reach",
]

MAX_CANDIDATES = 4
"""Keys that are tried for one token: a stranger's token must not cost a verification for each key of a large set."""

MAX_TIME_UTC = 1e12
"""Beyond all calendars; a larger number is a mistake, such as milliseconds."""

# Three segments without padding, RFC 7515 section 7.1; anything else would be other spellings of the same token.
_COMPACT = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class InvalidToken(ValueError):
    """A token is refused.

    Args:
        detail: Why, for the log.
        public: Why, for the client.
    """

    def __init__(self, detail: str, public: str = "the token is not valid") -> None:
        super().__init__(detail)
        self.public = public


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token that was read and not verified: nothing it says may be believed.

    Attributes:
        raw: The token.
        header: Its protected header.
        claims: Its claims.
        algorithm: ``alg``.
        key_id: ``kid``; ``None`` if there is none.
    """

    raw: bytes
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    algorithm: str
    key_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """When a token is valid, leeway included, in Unix seconds."""

    from_utc: float
    to_utc: float


class _Registry(jws.JWSRegistry):
    """Sizes are bounded by ``maxTokenSize``, and unknown header parameters are ignored (RFC 7515 section 4)."""

    max_header_length = 65536
    max_signature_length = 65536

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm], strict_check_header=False)
        self._algorithm = algorithm

    def get_alg(self, name: str) -> JWSAlgModel:
        # As the base class, without its warning about EdDSA, whose successors most issuers do not know yet (RFC 9864).
        if name != self._algorithm or name not in self.algorithms:
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


_REGISTRIES = {name: _Registry(name) for name in ALGORITHMS}


def parse(raw: bytes) -> Token:
    """Read a token without believing it.

    Raises:
        InvalidToken: If it is none, or demands what is not understood.
    """
    if _COMPACT.fullmatch(raw) is None:
        raise InvalidToken("it does not have the form of a signed token")
    header_part, claims_part, _ = raw.split(b".")
    try:
        header, claims = parse_object(_decoded(header_part)), parse_object(_decoded(claims_part))
    except ValueError as error:
        raise InvalidToken(f"it cannot be read: {error}") from error
    # Extensions must be understood (RFC 7515 section 4.1.11), and none is; b64 is not for tokens (RFC 7797 section 7).
    if "crit" in header or "b64" in header:
        raise InvalidToken("its header has 'crit' or 'b64'")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not (key_id is None or isinstance(key_id, str)):
        raise InvalidToken("its header has no 'alg', or a 'kid' that is no text")
    return Token(raw=raw, header=header, claims=claims, algorithm=algorithm, key_id=key_id)


def candidates(token: Token, keys: Sequence[VerificationKey]) -> list[VerificationKey]:
    """Return the keys that may have signed a token; keys without an id may be any."""
    return [
        key
        for key in keys
        if token.algorithm in key.algorithms and (token.key_id is None or key.id is None or key.id == token.key_id)
    ][:MAX_CANDIDATES]


def is_signed(token: Token, keys: Sequence[VerificationKey]) -> bool:
    """Say whether one of ``keys``, which are good for the algorithm of the token, has signed it."""
    registry = _REGISTRIES.get(token.algorithm)
    if registry is None or not keys:
        return False
    try:
        signed = jws.extract_compact(token.raw, registry=registry)
    except (JoseError, ValueError, TypeError):
        return False
    for key in keys:
        try:
            if jws.validate_compact(signed, key.key, registry=registry):
                return True
        except (JoseError, ValueError, TypeError):
            continue
    return False


def check_claims(claims: Mapping[str, Any], issuer: IssuerConfig, config: JwtConfig, now_utc: float) -> Validity:
    """Return when a token is valid (RFC 7519 section 4.1), if it is now and for us.

    Raises:
        InvalidToken: If it is not.
    """
    if issuer.issuer is not None and claims.get("iss") != issuer.issuer:
        raise InvalidToken(f"iss is {claims.get('iss')!r}")
    if issuer.audience:
        found = claims.get("aud")
        audiences = found if isinstance(found, list) else [found]
        if not any(audience in audiences for audience in issuer.audience):
            raise InvalidToken(f"aud is {found!r}")
    for name in config.required_claims:
        if claims.get(name) is None:
            raise InvalidToken(f"there is no {name!r}")
    expires, begins = _instant(claims, "exp"), _instant(claims, "nbf")
    if expires is None and config.require_exp:
        raise InvalidToken("there is no 'exp'")
    validity = Validity(
        from_utc=-math.inf if begins is None else begins - config.leeway,
        to_utc=math.inf if expires is None else expires + config.leeway,
    )
    if now_utc >= validity.to_utc:
        raise InvalidToken(f"it expired at {expires}", "the token has expired")
    if now_utc < validity.from_utc:
        raise InvalidToken(f"it begins at {begins}", "the token is not valid yet")
    return validity


def reach(claims: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - whatever the issuer wrote
    """Return a claim, or one inside another: ``realm_access.roles``; ``None`` if there is none.

    A claim that is called like the whole path comes first: names of claims are often URLs.
    """
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _decoded(part: bytes) -> bytes:
    try:
        return urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error as error:
        msg = "it is no base64"
        raise ValueError(msg) from error


def _instant(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate (RFC 7519 section 2)."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_TIME_UTC:
        raise InvalidToken(f"{name} is no time: {value!r}")
    return float(value)
