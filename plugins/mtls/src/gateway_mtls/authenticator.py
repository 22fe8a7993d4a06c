"""Who is calling, by the certificate that the client showed in the TLS handshake."""

from __future__ import annotations

import re
import ssl
import time
from fnmatch import translate
from typing import TYPE_CHECKING, Any

from gateway import ErrorType, GatewayError, Principal, Unauthorized
from gateway_mtls.names import common_name, distinguished_name, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway import BuildContext, Request
    from gateway_mtls.config import MtlsConfig

__all__ = ["MtlsAuthenticator"]

MAX_KNOWN = 4096
"""Certificates whose principal is remembered: working one out costs more than everything else."""


class MtlsAuthenticator:
    """Names the client by its certificate, which the listener verified when the connection was opened.

    Args:
        config: Which names count, and who may pass.
        context: The gateway.
        clock: Unix seconds.
    """

    waits = False

    def __init__(self, config: MtlsConfig, context: BuildContext, *, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._is_allowed_subject = _matcher(config.allowed_subjects)
        self._is_allowed_issuer = _matcher(config.allowed_issuers)
        self._scopes = [(_matcher([pattern]), frozenset(scopes)) for pattern, scopes in config.scopes.items()]
        # By identity, since a connection has one description; it is held, so that no other gets its id.
        self._known: dict[int, tuple[Mapping[str, Any], Principal]] = {}
        refusals = context.metrics.counter(
            "gateway_mtls_refusals_total", "Client certificates that were refused.", ("reason",)
        )
        self._expired = refusals.labels("expired")
        self._unnamed = refusals.labels("unnamed")
        self._not_allowed = refusals.labels("not_allowed")

    async def authenticate(self, request: Request) -> Principal | None:
        """Return whom the certificate names; ``None`` if the client showed none.

        Raises:
            Unauthorized: If it has expired since the connection was opened, or holds no name that counts.
            GatewayError: ``forbidden`` if its subject or issuer is not on the list.
        """
        certificate = request.peer_certificate
        if not certificate:
            return None
        known = self._known.get(id(certificate))
        principal = known[1] if known is not None else self._admit(certificate)
        expires_at_utc = principal.expires_at_utc
        if expires_at_utc is not None and self._clock() >= expires_at_utc:
            self._expired.value += 1
            raise Unauthorized("the client certificate has expired", detail=f"that of {principal.subject!r} expired")
        return principal

    def _admit(self, certificate: Mapping[str, Any]) -> Principal:
        subject = subject_of(certificate, self._config.subject_from)
        if subject is None:
            self._unnamed.value += 1
            wanted = ", ".join(self._config.subject_from)
            raise Unauthorized("the client certificate names nobody", detail=f"it has none of {wanted}")
        issuer = certificate.get("issuer", ())
        issuers = [distinguished_name(issuer), common_name(issuer) or ""]
        if self._config.allowed_subjects and not self._is_allowed_subject(subject):
            raise self._refusal(f"subject {subject!r} is not among allowedSubjects")
        if self._config.allowed_issuers and not any(map(self._is_allowed_issuer, issuers)):
            raise self._refusal(f"issuer {issuers[0]!r} of {subject!r} is not among allowedIssuers")
        principal = self._principal(subject, certificate)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[id(certificate)] = (certificate, principal)
        return principal

    def _principal(self, subject: str, certificate: Mapping[str, Any]) -> Principal:
        scopes = frozenset(self._config.default_scopes).union(*(more for fits, more in self._scopes if fits(subject)))
        not_after = certificate.get("notAfter")
        return Principal(
            subject=subject,
            kind=self._config.type,
            provider="mtls",
            scopes=scopes,
            claims={
                "subjectDN": distinguished_name(certificate.get("subject", ())),
                "issuerDN": distinguished_name(certificate.get("issuer", ())),
                "serialNumber": certificate.get("serialNumber", ""),
            },
            expires_at_utc=float(ssl.cert_time_to_seconds(not_after)) if isinstance(not_after, str) else None,
        )

    def _refusal(self, detail: str) -> GatewayError:
        self._not_allowed.value += 1
        return GatewayError(ErrorType.FORBIDDEN, "this client certificate is not allowed", detail=detail)


def _matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return what tells whether a name fits one of ``patterns``, in which only ``*`` has a meaning."""
    # fnmatch knows ? and [ ] as well, which stand in names.
    literal = [pattern.replace("[", "[[]").replace("?", "[?]") for pattern in patterns]
    expression = re.compile("|".join(map(translate, literal)) if literal else r"(?!)")
    return lambda name: expression.match(name) is not None


if TYPE_CHECKING:
    from gateway.interfaces import Authenticator

    _: type[Authenticator] = MtlsAuthenticator
