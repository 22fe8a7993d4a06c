"""TLS contexts for both sides."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway import BuildContext
    from gateway_http.config import BackendTlsConfig, FrontendTlsConfig

__all__ = ["client_context", "service_context"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def client_context(config: FrontendTlsConfig, context: BuildContext) -> ssl.SSLContext:
    """Return the context that terminates TLS of clients.

    Raises:
        ValueError: If a file cannot be read or is not what it should be; names it.
    """
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version, tls.maximum_version = _VERSIONS[config.min_version], _VERSIONS[config.max_version]
    tls.set_alpn_protocols(["http/1.1"])
    tls.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    _load_chain(tls, context, config.cert_file, config.key_file)
    return tls


def service_context(config: BackendTlsConfig, context: BuildContext) -> ssl.SSLContext:
    """Return the context for connections to services; certificates are verified unless told otherwise.

    Raises:
        ValueError: If a file cannot be read or is not what it should be; names it.
    """
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version, tls.maximum_version = _VERSIONS[config.min_version], _VERSIONS[config.max_version]
    tls.set_alpn_protocols(["http/1.1"])
    if config.root_ca_file is not None:
        path = context.resolve(config.root_ca_file)
        try:
            tls.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:
            msg = f"rootCAFile {str(path)!r} cannot be used: {error}; it must hold PEM certificates"
            raise ValueError(msg) from error
    else:
        tls.load_default_certs()
    if config.insecure_skip_verify:
        context.logger.warning("certificates of services are not verified (insecureSkipVerify)")
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if config.client_cert_file is not None and config.client_key_file is not None:
        _load_chain(tls, context, config.client_cert_file, config.client_key_file)
    return tls


def _load_chain(tls: ssl.SSLContext, context: BuildContext, cert_file: str, key_file: str) -> None:
    cert_path, key_path = context.resolve(cert_file), context.resolve(key_file)
    for path in (cert_path, key_path):
        try:
            path.open("rb").close()
        except OSError as error:
            msg = f"{str(path)!r} cannot be read: {error.strerror}; check the path and its permissions"
            raise ValueError(msg) from error
    try:
        # An encrypted key must fail, not ask on a terminal that nobody watches.
        tls.load_cert_chain(cert_path, key_path, password=lambda: "")
    except (ssl.SSLError, OSError) as error:
        msg = f"{str(cert_path)!r} and {str(key_path)!r} are not a certificate and its key: {error}"
        raise ValueError(msg) from error
