"""The blocks ``frontend.http2`` and ``backend.http2``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gateway import Config, Duration, Size
from gateway.tls import TlsToServicesConfig

__all__ = ["BackendHttp2Config", "FrontendHttp2Config"]

Window = Annotated[Size, Field(ge=65535, le=2**31 - 1)]
"""The connection's window begins with 65535 bytes and cannot be made smaller (RFC 9113 section 6.9.2)."""
StreamWindow = Annotated[Size, Field(ge=1024, le=2**31 - 1)]
FrameSize = Annotated[Size, Field(ge=16384, le=2**24 - 1)]
TableSize = Annotated[Size, Field(ge=0, le=65536)]


class FrontendHttp2Config(Config):
    """HTTP/2 towards clients, on the addresses of ``frontend.http`` and within its limits."""

    prior_knowledge: bool = Field(
        default=True, description="Whether connections without TLS may begin with HTTP/2 (h2c)."
    )
    max_concurrent_streams: int = Field(
        default=128, description="The most requests under way on a connection.", ge=1, le=65536
    )
    initial_stream_window_size: StreamWindow = Field(
        default=256 * 1024, description="Bytes of a request body that may wait for the service to take them."
    )
    initial_connection_window_size: Window = Field(
        default=1024 * 1024, description="The same for all request bodies of a connection together."
    )
    max_frame_size: FrameSize = Field(default=16384, description="The largest frame a client may send, in bytes.")
    header_table_size: TableSize = Field(
        default=4096, description="The dynamic table of header compression (HPACK), in bytes; 0 has none."
    )
    ping_interval: Duration = Field(
        default=0.0, description="Seconds of silence after which a client is asked for a sign of life; 0 never asks."
    )
    ping_timeout: Duration = Field(default=20.0, description="Seconds a client has to answer that.", gt=0)
    settings_timeout: Duration = Field(
        default=10.0, description="Seconds a client has to acknowledge the settings.", gt=0
    )
    max_control_frames: int = Field(
        default=1000,
        description="Frames at once that carry nothing (PING, SETTINGS, PRIORITY, empty DATA, faults) before the "
        "connection is closed; a tenth of it is granted anew each second.",
        ge=10,
    )
    max_resets: int = Field(
        default=500,
        description="Requests at once that a client may give up (RST_STREAM) before the connection is closed; a tenth "
        "of it is granted anew each second.",
        ge=10,
    )


class BackendHttp2Config(TlsToServicesConfig):
    """HTTP/2 towards services."""

    max_conns_per_host: int = Field(
        default=4,
        description="The most connections of a worker to one instance; another one is opened when the streams of the "
        "others are all in use.",
        ge=1,
        le=1024,
    )
    max_concurrent_streams: int = Field(
        default=100,
        description="The most requests under way on a connection, if the service allows so many.",
        ge=1,
        le=65536,
    )
    idle_conn_timeout: Duration = Field(default=60.0, description="Seconds an idle connection is kept.", gt=0)
    keep_alive_timeout: Duration = Field(
        default=30.0,
        description="Seconds of silence, with requests under way, after which a PING is sent; 0 sends none.",
    )
    ping_timeout: Duration = Field(
        default=15.0, description="Seconds a service has to answer that before the connection is given up.", gt=0
    )
    dial_timeout: Duration = Field(
        default=10.0, description="Seconds to connect, TLS included, and for a free stream.", gt=0
    )
    response_header_timeout: Duration = Field(
        default=30.0, description="Seconds to a response head where the rule says no `timeout`; 0 is no limit."
    )
    max_response_header_bytes: Size = Field(default=65536, description="The largest response head in bytes.", gt=0)
    initial_stream_window_size: StreamWindow = Field(
        default=256 * 1024, description="Bytes of a response body that may wait for the client to take them."
    )
    initial_connection_window_size: Window = Field(
        default=16 * 1024 * 1024, description="The same for all response bodies of a connection together."
    )
    max_frame_size: FrameSize = Field(default=16384, description="The largest frame a service may send, in bytes.")
    header_table_size: TableSize = Field(
        default=4096, description="The dynamic table of header compression (HPACK), in bytes; 0 has none."
    )
