"""TLS towards services: whom the gateway trusts, and what it shows of itself."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from gateway.trust import SystemTrust
from gateway_http.certificates import file_digests, load_authorities, load_chain
from gateway_http.cipher_suites import TLS13_SUITES

if TYPE_CHECKING:
    from gateway import BuildContext
    from gateway_http.config import BackendHttpConfig
    from gateway_http.tls_config import BackendTlsConfig

__all__ = ["ServiceTls", "TlsOfServices"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class ServiceTls:
    """TLS towards the instances of a service.

    Args:
        config: Its block.
        context: The gateway.
        name: What the block is for, for messages.

    Attributes:
        context: For new connections, once it is ready.
        server_name: The name to ask for and to verify; ``None`` is the address of the instance.

    Raises:
        ValueError: If a file cannot be read or is not what it should be; names it.
    """

    __slots__ = ("context", "server_name")

    def __init__(self, config: BackendTlsConfig, context: BuildContext, name: str) -> None:
        self.server_name = config.server_name
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.minimum_version, tls.maximum_version = _VERSIONS[config.min_version], _VERSIONS[config.max_version]
        tls.set_alpn_protocols(["http/1.1"])
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
        config: The block ``backend.http``.
        context: The gateway.
    """

    def __init__(self, config: BackendHttpConfig, context: BuildContext) -> None:
        blocks = {name: service.tls.over(config.tls) for name, service in config.services.items()}
        self._paths = [
            context.resolve(path)
            for block in (config.tls, *blocks.values())
            for path in (block.root_ca_file, block.client_cert_file, block.client_key_file)
            if path is not None
        ]
        self._digests = file_digests(self._paths)
        self._default = ServiceTls(config.tls, context, "services")
        self._by_service = {name: ServiceTls(block, context, f"service {name!r}") for name, block in blocks.items()}

    def of(self, service: str) -> ServiceTls:
        """Return TLS towards the instances of ``service``."""
        return self._by_service.get(service, self._default)

    def is_current(self) -> bool:
        """Tell whether the files are still those that were loaded."""
        return file_digests(self._paths) == self._digests
