"""The sources that a configuration means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_grpc.descriptors.remote import ConfigMapSource, UrlSource
from gateway_grpc.descriptors.source import Base64Source, FileSource, FolderSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway import BuildContext
    from gateway_grpc.config import DescriptorSourceConfig, GrpcConfig
    from gateway_grpc.descriptors.source import Source

__all__ = ["UPLOADED", "sources_of"]

UPLOADED = ".desc"
"""How the names of uploaded files end, as the original gateway wants it."""


def sources_of(config: GrpcConfig, context: BuildContext) -> Iterator[Source]:
    """Yield the sources of a configuration."""
    interval_s = config.reload_interval
    if config.proto_descriptor_base64 is not None:
        yield Base64Source(config.proto_descriptor_base64)
    elif config.proto_descriptor is not None:  # the mission's order
        yield FileSource(context.resolve(config.proto_descriptor), interval_s)
    for path in config.files:
        yield FileSource(context.resolve(path), interval_s)
    for path in config.directories:
        yield FolderSource(context.resolve(path), config.file_extensions, interval_s)
    if config.upload_directory is not None:
        yield FolderSource(context.resolve(config.upload_directory), (UPLOADED,), interval_s)
    for source in config.descriptor_sources:
        yield from _of(source, config, context)


def _of(source: DescriptorSourceConfig, config: GrpcConfig, context: BuildContext) -> Iterator[Source]:
    interval_s = config.reload_interval
    if source.type == "file":
        for path in source.paths:
            yield FileSource(context.resolve(path), interval_s)
    elif source.type == "directory":
        for path in source.paths:
            yield FolderSource(context.resolve(path), config.file_extensions, interval_s)
    elif source.type in ("http", "https"):
        for url in source.urls:
            yield UrlSource(url, source.headers, source.timeout, interval_s)
    else:
        for config_map in source.config_maps:
            yield ConfigMapSource(config_map, source.namespace, source.timeout, interval_s)
