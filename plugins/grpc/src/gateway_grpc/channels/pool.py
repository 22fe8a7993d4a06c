"""Keeps the connections to instances."""

from __future__ import annotations

import os
import weakref
from functools import partial
from typing import TYPE_CHECKING

from gateway_grpc.channels.channel import TlsIdentity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway import BuildContext, Instance
    from gateway_grpc.channels.channel import Channel
    from gateway_grpc.channels.grpcio import GrpcioChannel
    from gateway_grpc.config import BackendGrpcConfig, BackendGrpcTlsConfig

__all__ = ["ChannelPool"]

FIRST_RECONNECT_S = 0.1
MAX_RECONNECT_S = 5.0
"""How long a connection that failed rests before the next try, at first and at most; the library's two minutes are
long for an instance that is back."""
TLS_SCHEMES = frozenset({"grpcs", "h2", "https"})


class ChannelPool:
    """Connections by instance. One opens when it is needed, and closes when nobody knows the instance any more.

    Args:
        config: How instances are connected to.
        context: The gateway.

    Raises:
        ValueError: If a file cannot be used; names it.
    """

    def __init__(self, config: BackendGrpcConfig, context: BuildContext) -> None:
        self._config = config
        self._read_identity = partial(_identity, config.tls, context)
        self._identity = self._read_identity()
        self._options = _options(config)
        # An instance that is gone from discovery is soon gone from memory, and its channels with it.
        self._channels: weakref.WeakKeyDictionary[Instance, list[GrpcioChannel]] = weakref.WeakKeyDictionary()

    def is_current(self) -> bool:
        """Tell whether the files of its TLS are still those that it read; it keeps what it has if they are broken."""
        try:
            return self._read_identity() == self._identity
        except ValueError:
            return True

    def channel(self, instance: Instance) -> Channel:
        """Return a channel to ``instance``; if it has several, the one whose turn it is."""
        channels = self._channels.get(instance)
        if channels is None:
            channels = self._channels[instance] = []
        if len(channels) < self._config.pool_size:
            channels.append(self._open(instance))
        elif len(channels) > 1:
            channels.append(channels.pop(0))
        return channels[-1]

    async def close(self) -> None:
        """Close all channels."""
        for channels in list(self._channels.values()):
            for channel in channels:
                await channel.close()
        self._channels.clear()

    def _open(self, instance: Instance) -> GrpcioChannel:
        # It would write to standard error by itself, with addresses, in the middle of the operator's log.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        # Who has no gRPC service does not wait for what it takes, nor has it in memory.
        from gateway_grpc.channels.grpcio import GrpcioChannel  # noqa: PLC0415 - see above

        is_tls = self._config.tls.enabled or instance.endpoint.scheme in TLS_SCHEMES
        return GrpcioChannel(_target(instance), self._identity if is_tls else None, self._options)


def _target(instance: Instance) -> str:
    """Return where an instance is; ``metadata.grpcPort`` is for services that speak HTTP on the other."""
    port = instance.endpoint.metadata.get("grpcPort")
    authority = instance.authority
    if isinstance(port, int | str) and str(port).isdecimal():
        authority = f"{authority.rpartition(':')[0]}:{port}"
    return authority


def _options(config: BackendGrpcConfig) -> Sequence[tuple[str, object]]:
    options: list[tuple[str, object]] = [
        ("grpc.enable_http_proxy", 0),  # it would ask the environment
        ("grpc.enable_retries", 0),  # gateway-retry's
        ("grpc.service_config_disable_resolution", 1),  # it would ask the DNS how to call
        ("grpc.use_local_subchannel_pool", 1),  # or channels to one address would share a connection
        ("grpc.initial_reconnect_backoff_ms", int(FIRST_RECONNECT_S * 1000)),
        ("grpc.max_reconnect_backoff_ms", int(MAX_RECONNECT_S * 1000)),
        ("grpc.min_reconnect_backoff_ms", int(config.dial_timeout * 1000)),  # it is how long connecting may take
        ("grpc.max_send_message_length", config.send_limit_bytes),
        ("grpc.max_receive_message_length", config.receive_limit_bytes),
        ("grpc.max_metadata_size", config.max_metadata_size),
        ("grpc.absolute_max_metadata_size", config.max_metadata_size),
    ]
    if config.keep_alive_time:
        options += [
            ("grpc.keepalive_time_ms", int(config.keep_alive_time * 1000)),
            ("grpc.keepalive_timeout_ms", int(config.keep_alive_timeout * 1000)),
        ]
    if config.initial_window_size is not None:
        options.append(("grpc.http2.lookahead_bytes", config.initial_window_size))
    if config.tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", config.tls.server_name))
    return options


def _identity(tls: BackendGrpcTlsConfig, context: BuildContext) -> TlsIdentity:
    def read(file: str | None, key: str, marker: bytes) -> bytes | None:
        return None if file is None else _pem(context.resolve(file), key, marker)

    return TlsIdentity(
        authorities=read(tls.root_ca_file, "rootCAFile", b"CERTIFICATE"),
        key=read(tls.client_key_file, "clientKeyFile", b"PRIVATE KEY"),
        chain=read(tls.client_cert_file, "clientCertFile", b"CERTIFICATE"),
    )


def _pem(path: Path, key: str, marker: bytes) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{key} {str(path)!r} cannot be read: {error.strerror}; check the path and its permissions"
        raise ValueError(msg) from error
    # The library would take anything, and fail with every connection.
    if b"-----BEGIN " not in data or marker not in data or b"ENCRYPTED" in data:
        msg = (
            f"{key} {str(path)!r} holds no {marker.decode().lower()} that could be used; it must be PEM, not encrypted"
        )
        raise ValueError(msg)
    return data
