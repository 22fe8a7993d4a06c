"""TLS towards services: whom the gateway trusts, and what it shows of itself."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from gateway.tls.certificates import file_digests, load_authorities, load_chain
from gateway.tls.cipher_suites import TLS13_SUITES
from gateway.tls.versions import VERSIONS
from gateway.trust import SystemTrust

if TYPE_CHECKING:
    from gateway.interfaces import BuildContext
    from gateway.tls.config import BackendTlsConfig, TlsToServicesConfig

__all__ = ["HTTP_1", "HTTP_2", "ServiceTls", "TlsOfServices"]

HTTP_1 = "http/1.1"
HTTP_2 = "h2"
"""As they are called in a handshake (RFC 7301; RFC 9113 section 3.1)."""


class ServiceTls:
    """TLS towards the instances of a service.

    Args:
        config: Its block.
        context: The gateway.
        name: What the block is for, for messages.
        protocol: What to ask for in the handshake (ALPN).

    Attributes:
        context: For new connections, once it is ready.
        server_name: The name to ask for and to verify; ``None`` is the address of the instance.

    Raises:
        ValueError: If a file cannot be read or is not what it should be; names it.
    """

    __slots__ = ("context", "server_name")

    def __init__(self, config: BackendTlsConfig, context: BuildContext, name: str, *, protocol: str = HTTP_1) -> None:
        self.server_name = config.server_name
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.minimum_version, tls.maximum_version = VERSIONS[config.min_version], VERSIONS[config.max_version]
        tls.set_alpn_protocols([protocol])
        if protocol == HTTP_2:
            # RFC 9113 section 9.2.1. Compression is off already: the ssl module sees to that.
            tls.options |= ssl.OP_NO_RENEGOTIATION
        suites = [suite for suite in config.cipher_suites if suite not in TLS13_SUITES.values()]
        if suites:
            tls.set_ciphers(":".join(suites))
        is_blind = config.insecure_skip_verify
        self.context = SystemTrust(tls, is_wanted=config.root_ca_file is None and not is_blind)
        if config.root_ca_file is not None:
            load_authorities(tls, context.resolve(config.root_ca_file), "rootCAFile")
        if is_blind:
            context.logger.warning("certificates of %s are not verified (insecureSkipVerify)", name)
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        if config.client_cert_file is not None and config.client_key_file is not None:
            load_chain(tls, context.resolve(config.client_cert_file), context.resolve(config.client_key_file))


class TlsOfServices:
    """TLS towards every service. Built with the connector, so that an unreadable certificate stops the start.

    Args:
        config: The block of the connector.
        context: The gateway.
        protocol: What to ask for in the handshake (ALPN).
    """

    def __init__(self, config: TlsToServicesConfig, context: BuildContext, *, protocol: str = HTTP_1) -> None:
        blocks = {name: config.tls_of(name) for name in config.services}
        self._paths = [
            context.resolve(path)
            for block in (config.tls, *blocks.values())
            for path in (block.root_ca_file, block.client_cert_file, block.client_key_file)
            if path is not None
        ]
        self._digests = file_digests(self._paths)
        self._default = ServiceTls(config.tls, context, "services", protocol=protocol)
        self._by_service = {
            name: ServiceTls(block, context, f"service {name!r}", protocol=protocol) for name, block in blocks.items()
        }

    def of(self, service: str) -> ServiceTls:
        """Return TLS towards the instances of ``service``."""
        return self._by_service.get(service, self._default)

    def is_current(self) -> bool:
        """Tell whether the files are still those that were loaded."""
        return file_digests(self._paths) == self._digests
