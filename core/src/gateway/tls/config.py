"""The block ``tls`` of those who ask services, and the blocks of single services that lie over it."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from gateway.plugin_config import Config
from gateway.tls.cipher_suites import CipherSuite
from gateway.tls.versions import TlsVersion, check_suites, check_versions
from gateway.units import FilePath

__all__ = ["BackendServiceConfig", "BackendTlsConfig", "TlsToServicesConfig"]


class BackendTlsConfig(Config):
    """TLS towards services, for instances whose scheme says that it is spoken."""

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
        check_versions(self.min_version, self.max_version)
        check_suites(self.cipher_suites, self.min_version)
        return self

    def over(self, base: BackendTlsConfig) -> BackendTlsConfig:
        """Return this block with what it does not say taken from ``base``.

        Raises:
            ValueError: If the two do not go together.
        """
        said = {name: getattr(each, name) for each in (base, self) for name in each.model_fields_set}
        return BackendTlsConfig.model_validate(said)


class BackendServiceConfig(Config):
    """A protocol towards one service, where it is another than towards the others."""

    tls: BackendTlsConfig = Field(
        default_factory=BackendTlsConfig, description="TLS towards its instances, over that of all services."
    )


class TlsToServicesConfig(Config):
    """The block of a connector that speaks TLS: its keys ``tls`` and ``services``."""

    tls: BackendTlsConfig = Field(default_factory=BackendTlsConfig, description="TLS towards instances.")
    services: dict[str, BackendServiceConfig] = Field(
        default_factory=dict, description="What is different for single services, by their names."
    )

    @model_validator(mode="after")
    def _services_go_with_the_rest(self) -> Self:
        for name in self.services:
            try:
                self.tls_of(name)
            except ValueError as error:
                msg = f"services.{name}.tls does not go with the tls above it: {error}"
                raise ValueError(msg) from error
        return self

    def tls_of(self, service: str) -> BackendTlsConfig:
        """Return what counts for one service."""
        return self.services[service].tls.over(self.tls) if service in self.services else self.tls
