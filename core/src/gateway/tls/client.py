"""TLS towards clients: which certificate they are shown, and whether they must show one."""

from __future__ import annotations

import hashlib
import ssl
import time
from typing import TYPE_CHECKING

from gateway.tls.certificates import describe, dns_names, file_digests, load_authorities, load_chain
from gateway.tls.cipher_suites import DEFAULT_CIPHERS, TLS13_SUITES
from gateway.tls.versions import VERSIONS

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from gateway.interfaces import BuildContext
    from gateway.tls.listener_config import ListenerTlsConfig

__all__ = ["ClientTls", "ShownCertificate", "obtain_client_tls"]

_CLIENT_AUTH = {"none": ssl.CERT_NONE, "request": ssl.CERT_OPTIONAL, "require": ssl.CERT_REQUIRED}


def obtain_client_tls(config: ListenerTlsConfig, context: BuildContext) -> ClientTls:
    """Return what terminates TLS of clients: the same as before if neither configuration nor files are others.

    So a reload that changes something else leaves the contexts, and clients can resume their sessions.

    Args:
        config: The block, such as ``frontend.http.tls``.
        context: The gateway.

    Raises:
        ValueError: If a file cannot be read or is not what it should be; names it.
    """
    fingerprint = _fingerprint(config, context)
    kept: dict[object, ClientTls] = context.keep("client TLS", dict)
    if fingerprint not in kept:
        made = ClientTls(config, context.resolve, context.logger, fingerprint)
        kept.clear()  # generations that are retiring have theirs
        kept[fingerprint] = made
    return kept[fingerprint]


class ShownCertificate:
    """A certificate of the gateway, with the context that shows it.

    Attributes:
        tls: The context.
        requires_client: Whether requests for its names need a client certificate.
    """

    __slots__ = ("requires_client", "tls")

    def __init__(self, tls: ssl.SSLContext, *, requires_client: bool) -> None:
        self.tls = tls
        self.requires_client = requires_client


class ClientTls:
    """The contexts of a block such as ``frontend.http.tls``.

    Args:
        config: The block.
        resolve: Makes paths absolute.
        logger: Where to warn.
        fingerprint: What it is made of.

    Attributes:
        context: Begins each handshake; the others are chosen by the name that the client asks for.
        fingerprint: As given.
        has_guarded_names: Whether some names need a client certificate, and others do not.
    """

    def __init__(
        self,
        config: ListenerTlsConfig,
        resolve: Callable[[str], Path],
        logger: logging.Logger,
        fingerprint: object,
    ) -> None:
        self.fingerprint = fingerprint
        self._config = config
        self._resolve = resolve
        self._logger = logger
        self._by_name: dict[str, ShownCertificate] = {}
        self._by_context: dict[ssl.SSLContext, ShownCertificate] = {}
        if config.cert_file is not None and config.key_file is not None:
            self._add(config.cert_file, config.key_file, (), requires_client=False)
        for each in config.certificates:
            self._add(each.cert_file, each.key_file, each.hosts, requires_client=each.client_auth == "require")
        self._default = next(iter(self._by_context.values()))
        self.context = self._default.tls
        self.has_guarded_names = any(shown.requires_client for shown in self._by_context.values())
        if len(self._by_context) > 1 or config.sni_strict:
            self.context.sni_callback = self._choose
        self.offer(["http/1.1"])

    def offer(self, protocols: Sequence[str]) -> None:
        """Say what is spoken inside, the preferred first, as ALPN names it (RFC 7301)."""
        for tls in self._by_context:
            tls.set_alpn_protocols(list(protocols))

    def is_current(self, context: BuildContext) -> bool:
        """Tell whether the files are still those that were loaded."""
        return _fingerprint(self._config, context) == self.fingerprint

    def is_misdirected(self, host: str, tls: ssl.SSLContext | None) -> bool | None:
        """Tell why a request over a connection without a client certificate is refused, for the sake of its host.

        Args:
            host: The authority it asks.
            tls: What the connection was opened with; ``None`` if it is plain.

        Returns:
            ``None`` if it is not refused. ``True`` if the connection was opened for other names, whose clients need
            none, so that a new one makes sense (RFC 9110 section 7.4); ``False`` if it was opened for this one.
        """
        wanted = self._find(_name_of(host.lower())) or self._default
        if not wanted.requires_client:
            return None
        return tls is None or self._by_context.get(tls) is not wanted

    def _add(self, cert_file: str, key_file: str, hosts: Iterable[str], *, requires_client: bool) -> None:
        certificate, key = self._resolve(cert_file), self._resolve(key_file)
        tls = self._new_context()
        load_chain(tls, certificate, key)
        description = describe(tls, certificate)
        not_after = description.get("notAfter")
        if isinstance(not_after, str) and ssl.cert_time_to_seconds(not_after) < time.time():
            self._logger.warning("certificate %s has expired: clients will refuse it", certificate)
        tls.verify_mode = _CLIENT_AUTH[self._config.client_auth]
        shown = self._by_context[tls] = ShownCertificate(tls, requires_client=requires_client)
        names = tuple(hosts) or dns_names(description)
        if not names and len(self._by_context) > 1:
            msg = f"{str(certificate)!r} holds no DNS names; say in 'hosts' what it is for"
            raise ValueError(msg)
        for name in names:
            self._by_name.setdefault(name, shown)

    def _new_context(self) -> ssl.SSLContext:
        config = self._config
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version, tls.maximum_version = VERSIONS[config.min_version], VERSIONS[config.max_version]
        tls.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        if not config.prefer_server_cipher:
            tls.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        newer = set(TLS13_SUITES.values())
        suites = [suite for suite in config.cipher_suites if suite not in newer] or DEFAULT_CIPHERS
        tls.set_ciphers(":".join(suites))
        for path in config.client_ca_files:
            load_authorities(tls, self._resolve(path), "clientCAFile")
        if config.client_crl_file is not None:
            load_authorities(tls, self._resolve(config.client_crl_file), "clientCRLFile")
            tls.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        return tls

    def _choose(self, client: ssl.SSLObject, name: str | None, _begun_with: ssl.SSLContext) -> int | None:
        """Show the certificate for a name (RFC 6066 section 3); the handshake's own callback."""
        shown = self._find(name.lower()) if name else None
        if shown is None:
            if self._config.sni_strict:
                return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            shown = self._default
        client.context = shown.tls
        return None

    def _find(self, name: str) -> ShownCertificate | None:
        found = self._by_name.get(name)
        # A wildcard stands for one label (RFC 6125 section 6.4.3).
        return found if found is not None else self._by_name.get("*." + name.partition(".")[2])


def _fingerprint(config: ListenerTlsConfig, context: BuildContext) -> object:
    names = [config.cert_file, config.key_file, *config.client_ca_files, config.client_crl_file]
    names += [name for each in config.certificates for name in (each.cert_file, each.key_file)]
    digests = file_digests(context.resolve(name) for name in names if name is not None)
    settings = hashlib.sha256(config.model_dump_json().encode()).digest()
    return settings, digests


def _name_of(host: str) -> str:
    """Return the name in an authority, without its port and a final dot."""
    return host if host.startswith("[") else host.partition(":")[0].removesuffix(".")
