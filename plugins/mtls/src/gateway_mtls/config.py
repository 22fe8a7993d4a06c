"""The block ``auth.mtls``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gateway import Config

__all__ = ["MtlsConfig", "SubjectSource"]

SubjectSource = Literal["uri", "dns", "email", "cn", "dn"]
Pattern = Annotated[str, Field(min_length=1)]


class MtlsConfig(Config):
    """Who is calling, by the certificate that the client showed."""

    subject_from: tuple[SubjectSource, ...] = Field(
        default=("uri", "dns", "email", "cn"),
        min_length=1,
        description="Where the subject stands, first found first taken: `uri` (SPIFFE), `dns`, `email` among the "
        "alternative names, `cn`, or `dn`, the whole distinguished name.",
    )
    allowed_subjects: tuple[Pattern, ...] = Field(
        default=(), description="Who may pass, `*` standing for anything; without it everybody with a certificate."
    )
    allowed_issuers: tuple[Pattern, ...] = Field(
        default=(),
        description="Who may have issued the certificate, by the common name or the whole distinguished name as in "
        "RFC 4514 (`CN=Partners,O=Example`), `*` standing for anything; without it all of `clientCAFile`.",
    )
    default_scopes: tuple[str, ...] = Field(default=(), description="Scopes of everybody with a certificate.")
    scopes: dict[Pattern, tuple[str, ...]] = Field(
        default_factory=dict, description="Further scopes by subject, `*` standing for anything."
    )
    type: Literal["service", "user", "device"] = Field(default="service", description="What clients are.")
