"""TLS of checks: whoever asks an instance believes it as those do who send it requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.tls import BackendTlsConfig, ServiceTls, TlsToServicesConfig, file_digests

if TYPE_CHECKING:
    from gateway import BuildContext
    from gateway_healthcheck.probe import Place

__all__ = ["CheckTls"]

_TLS_SCHEMES = frozenset({"https", "wss", "h2", "grpcs"})
_HTTP2_SCHEMES = frozenset({"h2", "grpcs"})


class CheckTls:
    """TLS towards whatever is checked.

    Args:
        context: Of the health checker.
    """

    def __init__(self, context: BuildContext) -> None:
        self._context = context
        self._http = _block_of(context.connector_config("http"))
        self._http2 = _block_of(context.connector_config("http2"))
        grpc = getattr(context.connector_config("grpc"), "tls", None)
        self._is_all_grpc_tls = bool(getattr(grpc, "enabled", False))
        # Ten thousand services have few different blocks.
        self._made: dict[BackendTlsConfig, ServiceTls] = {}
        self._files: dict[BackendTlsConfig, object] = {}

    def is_spoken(self, place: Place, *, is_grpc: bool) -> bool:
        """Tell whether TLS is spoken there."""
        return place.scheme in _TLS_SCHEMES or (is_grpc and self._is_all_grpc_tls and bool(place.service))

    def of(self, own: BackendTlsConfig, place: Place, *, is_http2: bool) -> ServiceTls:
        """Return what is believed and shown there.

        Args:
            own: What the check itself says.
            place: What is checked; if it is an instance of a service, the rest is as for requests to that.
            is_http2: Whether it is asked by HTTP/2, as by gRPC.

        Raises:
            ValueError: If a file cannot be used; names it.
        """
        block = own.over(self._base(place, is_http2=is_http2))
        if block not in self._made:
            self._files[block] = self._digests(block)
            self._made[block] = ServiceTls(block, self._context, f"checks of {place.service or place.authority}")
        return self._made[block]

    def is_current(self) -> bool:
        """Tell whether files are still those that were loaded; asked at a reload."""
        return all(self._digests(block) == digests for block, digests in self._files.items())

    def _base(self, place: Place, *, is_http2: bool) -> BackendTlsConfig:
        if not place.service:
            return BackendTlsConfig()
        connector = self._http2 if is_http2 or place.scheme in _HTTP2_SCHEMES else self._http
        base = connector.tls_of(place.service)
        return base if base.enabled else BackendTlsConfig()

    def _digests(self, block: BackendTlsConfig) -> object:
        files = (block.root_ca_file, block.client_cert_file, block.client_key_file)
        return file_digests(self._context.resolve(file) for file in files if file is not None)


def _block_of(connector: object) -> TlsToServicesConfig:
    """Return the block of a connector; an empty one where there is none."""
    return connector if isinstance(connector, TlsToServicesConfig) else TlsToServicesConfig()
