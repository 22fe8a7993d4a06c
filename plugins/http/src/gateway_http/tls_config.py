"""The blocks ``frontend.http.tls`` and ``backend.http.tls``."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gateway import Config, Duration, FilePath
from gateway_http.cipher_suites import TLS13_SUITES, CipherSuite

__all__ = ["BackendTlsConfig", "CertificateConfig", "ClientAuth", "FrontendTlsConfig", "ServerName", "TlsVersion"]

Port = Annotated[int, Field(ge=0, le=65535)]


def _parse_version(value: object) -> object:
    """Take 1.2, which YAML makes a number of, and ``TLS1.2``, ``TLSv1.2`` and ``VersionTLS12``."""
    found = re.fullmatch(r"(?:VERSION)?(?:TLS)?[V_ ]?1[._]?([0-3])", str(value).strip().upper())
    if found is None:
        return value
    if found[1] in "01":
        msg = f"{value!r} is not spoken any more (RFC 8996); write '1.2' or '1.3'"
        raise ValueError(msg)
    return f"1.{found[1]}"


TlsVersion = Annotated[
    Literal["1.2", "1.3"], BeforeValidator(_parse_version), WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]})
]

_CLIENT_AUTH = {
    "none": "none",
    "noclientcert": "none",
    "request": "request",
    "optional": "request",
    "verifyifgiven": "request",
    "verifyclientcertifgiven": "request",
    "require": "require",
    "required": "require",
    "verify": "require",
    "requireandverify": "require",
    "requireandverifyclientcert": "require",
}
_UNVERIFIED = ("requestclientcert", "requireanyclientcert", "optionalnoca", "requireany")


def _parse_client_auth(value: object) -> object:
    word = re.sub(r"[^a-z]", "", str(value).lower())
    if word in _UNVERIFIED:
        msg = (
            f"{value!r} would take certificates that nobody verified, which prove nothing; "
            "write 'request' (verified if there is one) or 'require'"
        )
        raise ValueError(msg)
    return _CLIENT_AUTH.get(word, value)


ClientAuth = Annotated[
    Literal["none", "request", "require"],
    BeforeValidator(_parse_client_auth),
    WithJsonSchema({"enum": ["none", "request", "require", "verify"]}),
]


def _parse_server_name(value: str) -> str:
    name = value.strip().lower().removesuffix(".")
    if not re.fullmatch(r"(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?", name):
        msg = f"{value!r} is not a host name; write 'shop.example' or '*.shop.example', without scheme and port"
        raise ValueError(msg)
    return name


ServerName = Annotated[str, AfterValidator(_parse_server_name)]


def _check_versions(low: str, high: str) -> None:
    if high < low:
        msg = f"maxVersion {high!r} is below minVersion {low!r}; swap them"
        raise ValueError(msg)


def _check_suites(suites: tuple[str, ...], min_version: str) -> None:
    newer = set(suites) & set(TLS13_SUITES.values())
    if newer and len(newer) < len(TLS13_SUITES):
        msg = (
            f"cipherSuites has of TLS 1.3 only {', '.join(sorted(newer))}, but its suites cannot be chosen among; "
            "list all three or none of them"
        )
        raise ValueError(msg)
    older = set(suites) - newer
    if older and min_version == "1.3":
        msg = "cipherSuites has suites of TLS 1.2, which minVersion '1.3' excludes; remove one of the two"
        raise ValueError(msg)
    if suites and not older and min_version == "1.2":
        msg = "cipherSuites has no suite of TLS 1.2; add one, or write minVersion '1.3'"
        raise ValueError(msg)


class CertificateConfig(Config):
    """One of several certificates."""

    cert_file: FilePath = Field(description="The certificate with its chain, PEM.")
    key_file: FilePath = Field(description="Its private key, PEM, not encrypted.")
    hosts: tuple[ServerName, ...] = Field(
        default=(), description="The names it is for, `*.example.com` too; without them those in the certificate."
    )
    client_auth: Literal["require"] | None = Field(
        default=None,
        description="`require`: requests for these names need a client certificate, where `tls.clientAuth` is "
        "`request`.",
    )


class FrontendTlsConfig(Config):
    """TLS towards clients."""

    enabled: bool = Field(default=True, description="Whether TLS is terminated.")
    cert_file: FilePath | None = Field(
        default=None, description="The certificate with its chain, PEM; of several, the one for unknown names."
    )
    key_file: FilePath | None = Field(default=None, description="Its private key, PEM, not encrypted.")
    certificates: tuple[CertificateConfig, ...] = Field(
        default=(), description="Certificates for further names, chosen by the name a client asks for (SNI)."
    )
    sni_strict: bool = Field(
        default=False, description="Refuse clients that ask for an unknown name, or none; else the first is shown."
    )
    min_version: TlsVersion = Field(default="1.2", description="The oldest TLS version that is spoken.")
    max_version: TlsVersion = Field(default="1.3", description="The newest TLS version that is spoken.")
    cipher_suites: tuple[CipherSuite, ...] = Field(
        default=(), description="Suites of TLS 1.2, by the names of IANA or OpenSSL; without them all that are good."
    )
    prefer_server_cipher: bool = Field(
        default=True, description="Whether the order of the suites counts, or else that of the client."
    )
    client_auth: ClientAuth = Field(
        default="none",
        description="`request`: a client's certificate is verified if it shows one. `require` (`verify`): it must.",
    )
    client_ca_file: FilePath | None = Field(
        default=None, alias="clientCAFile", description="The authorities of client certificates, PEM."
    )
    client_cas: tuple[FilePath, ...] = Field(default=(), alias="clientCAs", description="More such files.")
    client_crl_file: FilePath | None = Field(
        default=None,
        alias="clientCRLFile",
        description="Revocation lists, PEM, one for each authority that issued client certificates; read at a reload.",
    )
    handshake_timeout: Duration = Field(default=10.0, gt=0, description="Seconds a client may take for the handshake.")
    port: Port | None = Field(
        default=None, description="Serve TLS on this port beside plain HTTP on `port`; without it TLS takes `port`."
    )

    @property
    def client_ca_files(self) -> tuple[FilePath, ...]:
        """All files with authorities of client certificates."""
        return (*(() if self.client_ca_file is None else (self.client_ca_file,)), *self.client_cas)

    @model_validator(mode="after")
    def _has_certificates(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            msg = "certFile and keyFile belong together; give both or none"
            raise ValueError(msg)
        if self.enabled and self.cert_file is None and not self.certificates:
            msg = "there is no certificate; add certFile and keyFile, or certificates, or say 'enabled: false'"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _versions_and_suites_agree(self) -> Self:
        _check_versions(self.min_version, self.max_version)
        _check_suites(self.cipher_suites, self.min_version)
        return self

    @model_validator(mode="after")
    def _clients_can_be_verified(self) -> Self:
        if self.client_auth != "none" and not self.client_ca_files:
            msg = f"clientAuth {self.client_auth!r} needs clientCAFile, the authorities to verify certificates by"
            raise ValueError(msg)
        if self.client_auth == "none" and (self.client_ca_files or self.client_crl_file):
            msg = (
                "nobody is asked for a certificate; say 'clientAuth: require' or 'request', or remove the authorities "
                "and revocation lists of clients"
            )
            raise ValueError(msg)
        if self.client_auth != "request" and any(each.client_auth for each in self.certificates):
            msg = "clientAuth of a certificate needs 'clientAuth: request' above it, by which clients are asked at all"
            raise ValueError(msg)
        return self


class BackendTlsConfig(Config):
    """TLS towards services, for instances whose scheme is ``https``."""

    enabled: bool = Field(
        default=True, description="Whether the rest counts; which instances are asked by TLS, their scheme says."
    )
    insecure_skip_verify: bool = Field(default=False, description="Do not verify certificates. For tests only.")
    server_name: str | None = Field(
        default=None, description="The name to ask for (SNI) and verify; default the address."
    )
    root_ca_file: FilePath | None = Field(
        default=None, alias="rootCAFile", description="Trust these authorities, PEM, instead of the system's."
    )
    client_cert_file: FilePath | None = Field(
        default=None, description="The gateway's own certificate with its chain, PEM."
    )
    client_key_file: FilePath | None = Field(default=None, description="Its private key, PEM.")
    min_version: TlsVersion = Field(default="1.2", description="The oldest TLS version that is spoken.")
    max_version: TlsVersion = Field(default="1.3", description="The newest TLS version that is spoken.")
    cipher_suites: tuple[CipherSuite, ...] = Field(
        default=(), description="Suites of TLS 1.2, by the names of IANA or OpenSSL; without them all that are good."
    )

    @model_validator(mode="after")
    def _is_off(self) -> BackendTlsConfig:
        return self if self.enabled else BackendTlsConfig.model_construct(enabled=False)

    @model_validator(mode="after")
    def _whole_pairs(self) -> Self:
        if (self.client_cert_file is None) != (self.client_key_file is None):
            msg = "clientCertFile and clientKeyFile belong together; give both or none"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _versions_and_suites_agree(self) -> Self:
        _check_versions(self.min_version, self.max_version)
        _check_suites(self.cipher_suites, self.min_version)
        return self

    def over(self, base: BackendTlsConfig) -> BackendTlsConfig:
        """Return this block with what it does not say taken from ``base``.

        Raises:
            ValueError: If the two do not go together.
        """
        said = {name: getattr(each, name) for each in (base, self) for name in each.model_fields_set}
        return BackendTlsConfig.model_validate(said)
