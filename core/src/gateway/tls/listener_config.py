"""How TLS towards clients is configured, on whatever address."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from gateway.plugin_config import Config
from gateway.tls.cipher_suites import CipherSuite
from gateway.tls.versions import TlsVersion, check_suites, check_versions
from gateway.units import Duration, FilePath

__all__ = ["CertificateConfig", "ClientAuth", "ListenerTlsConfig", "ServerName"]

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


class ListenerTlsConfig(Config):
    """TLS towards clients, on whatever address."""

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

    @property
    def client_ca_files(self) -> tuple[FilePath, ...]:
        """All files with authorities of client certificates."""
        return (*(() if self.client_ca_file is None else (self.client_ca_file,)), *self.client_cas)

    @property
    def has_certificates(self) -> bool:
        """Whether there is anything to show."""
        return self.cert_file is not None or bool(self.certificates)

    @model_validator(mode="after")
    def _whole_pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            msg = "certFile and keyFile belong together; give both or none"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _versions_and_suites_agree(self) -> Self:
        check_versions(self.min_version, self.max_version)
        check_suites(self.cipher_suites, self.min_version)
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
