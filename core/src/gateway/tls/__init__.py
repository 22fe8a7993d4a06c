"""TLS: how it is configured, and how the gateway speaks it towards clients and services, whatever runs over it."""

from __future__ import annotations

from gateway.tls.certificates import file_digests, load_authorities, load_chain
from gateway.tls.cipher_suites import DEFAULT_CIPHERS, TLS13_SUITES, CipherSuite, parse_cipher_suite
from gateway.tls.client import ClientTls, ShownCertificate, obtain_client_tls
from gateway.tls.config import BackendServiceConfig, BackendTlsConfig, TlsToServicesConfig
from gateway.tls.listener_config import CertificateConfig, ListenerTlsConfig
from gateway.tls.service import HTTP_1, HTTP_2, ServiceTls, TlsOfServices
from gateway.tls.versions import VERSIONS, TlsVersion, check_suites, check_versions

__all__ = [
    "DEFAULT_CIPHERS",
    "HTTP_1",
    "HTTP_2",
    "TLS13_SUITES",
    "VERSIONS",
    "BackendServiceConfig",
    "BackendTlsConfig",
    "CertificateConfig",
    "CipherSuite",
    "ClientTls",
    "ListenerTlsConfig",
    "ServiceTls",
    "ShownCertificate",
    "TlsOfServices",
    "TlsToServicesConfig",
    "TlsVersion",
    "check_suites",
    "check_versions",
    "file_digests",
    "load_authorities",
    "load_chain",
    "obtain_client_tls",
    "parse_cipher_suite",
]
