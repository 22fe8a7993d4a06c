"""Everything that is known of a service, ready for requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_grpc.transcoding.binding import build_router
from gateway_grpc.transcoding.reading import MessageReader
from gateway_grpc.transcoding.writing import MessageWriter

if TYPE_CHECKING:
    from gateway_grpc.config import GrpcConfig
    from gateway_grpc.descriptors.schema import Schema

__all__ = ["Transcoder"]


class Transcoder:
    """What requests are matched, read and answered with. Never changed: new descriptors make a new one.

    Args:
        schema: The methods and messages.
        config: How they are used.

    Attributes:
        pool: All descriptors.
        router: Finds the binding of a request.
        reader: Makes messages of requests.
        writer: Makes JSON of messages.

    Raises:
        DescriptorError: If the operator's rules need what the descriptors do not have.
    """

    def __init__(self, schema: Schema, config: GrpcConfig) -> None:
        self.pool = schema.pool
        self.router = build_router(schema, config)
        self.reader = MessageReader(schema, config)
        self.writer = MessageWriter(schema, config.print_options)
