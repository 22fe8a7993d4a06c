"""What the scenarios with gRPC need: the method that is called, the service behind it, and the direct client.

The method is `bench.Echo/Say`, which gives back the message that it is sent, a text of 65 bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import features
import load
import process
import upstream

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATH = f"/{features.GRPC_SERVICE}/Say"
TEXT = upstream.SMALL_BODY.decode()
JSON = json.dumps({"text": TEXT}, separators=(",", ":")).encode()
MESSAGE = b"\x0a" + bytes([len(TEXT)]) + TEXT.encode()
"""The message in protobuf: field 1, a string."""
FRAMED = b"\x00" + len(MESSAGE).to_bytes(4, "big") + MESSAGE
"""The message as gRPC sends it: not compressed, its length, itself."""

NATIVE = load.Request(
    path=PATH,
    body=FRAMED,
    answer=FRAMED,
    headers=("content-type: application/grpc", "te: trailers"),
    http2=True,
    grpc=True,
)
TRANSCODED = load.Request(path=PATH, body=JSON, answer=JSON, headers=("Content-Type: application/json",))

_HERE = Path(__file__).resolve().parent
_START_WITHIN_S = 10.0
_PROBES = 3
_SPARE_S = 30.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """What the direct client came to.

    Attributes:
        done: Calls and their latencies.
        cpu_s: Its CPU time, all of it.
        user_s: In the program itself.
    """

    done: load.Load
    cpu_s: float
    user_s: float


def descriptor_set() -> bytes:
    """Returns the service's descriptors, as `protoc --descriptor_set_out` writes them."""
    try:
        from google.protobuf import descriptor_pb2  # noqa: PLC0415 - only these scenarios need it
    except ImportError:
        message = "protobuf is not installed, and transcoding needs descriptors; try: make build"
        raise process.MissingError(message) from None
    field = descriptor_pb2.FieldDescriptorProto
    text = field(name="text", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    message_type = descriptor_pb2.DescriptorProto(name="Text", field=[text])
    method = descriptor_pb2.MethodDescriptorProto(name="Say", input_type=".bench.Text", output_type=".bench.Text")
    service = descriptor_pb2.ServiceDescriptorProto(name="Echo", method=[method])
    file = descriptor_pb2.FileDescriptorProto(
        name="echo.proto", package="bench", syntax="proto3", message_type=[message_type], service=[service]
    )
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()


@contextlib.contextmanager
def serving(directory: Path, port: int, *, cores: Sequence[int]) -> Iterator[upstream.Service]:
    """Runs the service for as long as the block lasts, and writes its descriptors for those who transcode.

    Raises:
        StartError: If it does not start.
    """
    log = directory / "calls.log"
    descriptors = directory / "echo.pb"
    descriptors.write_bytes(descriptor_set())
    command = [sys.executable, str(_HERE / "call_service.py"), str(port)]
    with process.started(command, cores=cores, log=log) as running:
        process.wait_for_port(port, running, log=log, within_s=_START_WITHIN_S)
        yield upstream.Service(addresses=["127.0.0.1"], port=port, descriptors=descriptors)


def probe(port: int, *, timeout_s: float = 10.0) -> None:
    """Calls the method a few times with grpcio, which looks at trailers and everything else.

    Raises:
        MissingError: If grpcio is not installed.
        AnswerError: If a call failed or gave another message.
    """
    try:
        import grpc  # type: ignore[import-untyped]  # noqa: PLC0415 - only these scenarios need it; it has no stubs
    except ImportError:
        message = "grpcio is not installed, and gRPC cannot be checked without; try: make build"
        raise process.MissingError(message) from None
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.unary_unary(PATH)  # without a serializer: bytes both ways
        for _ in range(_PROBES):
            try:
                answer = call(MESSAGE, timeout=timeout_s)
            except grpc.RpcError as error:
                message = f"{PATH}: {error}"
                raise load.AnswerError(message) from error
            if answer != MESSAGE:
                message = f"{PATH}: answered {answer!r}"
                raise load.AnswerError(message)


def direct(port: int, *, seconds: float, cores: Sequence[int]) -> Direct:
    """Calls the service with grpcio, without a proxy.

    Raises:
        StartError: If the client fails.
        AnswerError: If any call failed or gave another message.
    """
    command = [sys.executable, str(_HERE / "call_client.py"), str(port), f"{seconds:g}", str(load.CONNECTIONS)]
    figures = load.run_program(command, cores=cores, mark="FIGURES ", within_s=seconds + _SPARE_S)
    wrong = figures.pop("wrong")
    cpu_s, user_s = figures.pop("cpu_s"), figures.pop("user_s")
    if wrong or not figures["requests"]:
        message = f"{wrong} wrong answers besides {figures['requests']} right ones"
        raise load.AnswerError(message)
    return Direct(done=load.Load(**figures), cpu_s=cpu_s, user_s=user_s)
