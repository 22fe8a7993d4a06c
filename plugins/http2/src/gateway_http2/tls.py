"""The TLS context for connections to services."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from gateway.trust import SystemTrust

if TYPE_CHECKING:
    from gateway import BuildContext
    from gateway_http2.config import BackendTlsConfig

__all__ = ["service_context"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def service_context(config: BackendTlsConfig, context: BuildContext) -> SystemTrust:
    """Return the context, once it is ready; certificates are verified unless told otherwise.

    Raises:
        ValueError: If a file cannot be used; names it.
    """
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = _VERSIONS[config.min_version]
    tls.set_alpn_protocols(["h2"])
    # RFC 9113 section 9.2.1.
    tls.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if config.root_ca_file is not None:
        path = context.resolve(config.root_ca_file)
        try:
            tls.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:
            msg = f"rootCAFile {str(path)!r} cannot be used: {error}; it must hold PEM certificates"
            raise ValueError(msg) from error
    if config.insecure_skip_verify:
        context.logger.warning("certificates of services are not verified (backend.http2.tls.insecureSkipVerify)")
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if config.client_cert_file is not None and config.client_key_file is not None:
        cert_path, key_path = context.resolve(config.client_cert_file), context.resolve(config.client_key_file)
        try:
            # An encrypted key must fail, not ask on a terminal that nobody watches.
            tls.load_cert_chain(cert_path, key_path, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            msg = f"{str(cert_path)!r} and {str(key_path)!r} are not a certificate and its key: {error}"
            raise ValueError(msg) from error
    return SystemTrust(tls, is_wanted=config.root_ca_file is None and not config.insecure_skip_verify)
