"""A gRPC service, described here and served by grpcio; there is no generated code."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # has no types of its own
import grpc.aio  # type: ignore[import-untyped]  # as above
import h2.config
import h2.connection
import h2.events
import pytest
from google.api import annotations_pb2  # type: ignore[import-untyped]  # as above
from google.protobuf import descriptor_pb2, text_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # as above
from grpc_reflection.v1alpha import reflection, reflection_pb2  # type: ignore[import-untyped]  # as above

from gateway_grpc.descriptors.schema import DescriptorSet, Schema, build_schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.testing import Answer, RunningGateway

LIBRARY = """
name: "library/v1/library.proto"
package: "library.v1"
syntax: "proto3"
dependency: ["google/api/annotations.proto", "google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto",
             "google/protobuf/struct.proto", "google/protobuf/empty.proto", "google/protobuf/any.proto",
             "google/protobuf/field_mask.proto", "google/protobuf/duration.proto", "google/api/httpbody.proto"]
message_type {
  name: "Book"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "name" }
  field { name: "page_count" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "pageCount" }
  field { name: "isbn" number: 3 type: TYPE_INT64 label: LABEL_OPTIONAL json_name: "isbn" }
  field { name: "tags" number: 4 type: TYPE_STRING label: LABEL_REPEATED json_name: "tags" }
  field { name: "kind" number: 5 type: TYPE_ENUM type_name: ".library.v1.Kind" label: LABEL_OPTIONAL json_name: "kind" }
  field { name: "author" number: 6 type: TYPE_MESSAGE type_name: ".library.v1.Author" label: LABEL_OPTIONAL
          json_name: "author" }
  field { name: "printed" number: 7 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL
          json_name: "printed" }
  field { name: "cover" number: 8 type: TYPE_BYTES label: LABEL_OPTIONAL json_name: "cover" }
  field { name: "is_lent" number: 9 type: TYPE_BOOL label: LABEL_OPTIONAL json_name: "isLent" }
  field { name: "price" number: 10 type: TYPE_DOUBLE label: LABEL_OPTIONAL json_name: "price" }
  field { name: "rating" number: 11 type: TYPE_MESSAGE type_name: ".google.protobuf.Int32Value" label: LABEL_OPTIONAL
          json_name: "rating" }
  field { name: "extra" number: 12 type: TYPE_MESSAGE type_name: ".google.protobuf.Struct" label: LABEL_OPTIONAL
          json_name: "extra" }
  field { name: "sequel" number: 13 type: TYPE_MESSAGE type_name: ".library.v1.Book" label: LABEL_OPTIONAL
          json_name: "sequel" }
  field { name: "is_rare" number: 14 type: TYPE_MESSAGE type_name: ".google.protobuf.BoolValue" label: LABEL_OPTIONAL
          json_name: "isRare" }
  field { name: "kinds" number: 15 type: TYPE_ENUM type_name: ".library.v1.Kind" label: LABEL_REPEATED
          json_name: "kinds" }
  field { name: "read_in" number: 16 type: TYPE_MESSAGE type_name: ".google.protobuf.Duration" label: LABEL_OPTIONAL
          json_name: "readIn" }
  field { name: "mask" number: 17 type: TYPE_MESSAGE type_name: ".google.protobuf.FieldMask" label: LABEL_OPTIONAL
          json_name: "mask" }
  field { name: "anything" number: 18 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL
          json_name: "anything" }
}
message_type {
  name: "Author"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "name" }
  field { name: "born" number: 2 type: TYPE_UINT32 label: LABEL_OPTIONAL json_name: "born" }
}
enum_type {
  name: "Kind" value { name: "UNKNOWN" number: 0 } value { name: "NOVEL" number: 1 } value { name: "POEM" number: 2 }
}
service {
  name: "Library"
  method { name: "Echo" input_type: ".library.v1.Book" output_type: ".library.v1.Book" }
  method {
    name: "GetBook" input_type: ".library.v1.Book" output_type: ".library.v1.Book"
    options {
      [google.api.http] {
        get: "/v1/{name=shelves/*/books/*}"
        additional_bindings { get: "/v1/books/{author.name}/{page_count}" }
        additional_bindings { get: "/v1/tags/{name}" response_body: "tags" }
        additional_bindings { get: "/v1/isbn/{name}" response_body: "isbn" }
        additional_bindings { get: "/v1/author/{name}" response_body: "author" }
        additional_bindings { custom { kind: "PURGE" path: "/v1/purge/{name}" } }
      }
    }
  }
  method {
    name: "PutBook" input_type: ".library.v1.Book" output_type: ".library.v1.Book"
    options { [google.api.http] { put: "/v1/{name=files/**}" body: "author"
                                  additional_bindings { post: "/v1/{name=shelves/*}:import" body: "*" }
                                  additional_bindings { post: "/v1/shelves" body: "author" } } }
  }
  method { name: "Fail" input_type: ".library.v1.Book" output_type: ".library.v1.Book" }
  method { name: "Sleep" input_type: ".library.v1.Book" output_type: ".library.v1.Book" }
  method { name: "Metadata" input_type: ".library.v1.Book" output_type: ".library.v1.Book" }
  method { name: "Page" input_type: ".library.v1.Book" output_type: ".google.api.HttpBody" }
  method { name: "Grow" input_type: ".library.v1.Book" output_type: ".library.v1.Book" }
  method { name: "List" input_type: ".library.v1.Book" output_type: ".library.v1.Book" server_streaming: true
           options { [google.api.http] { get: "/v1/list/{name}" } } }
  method { name: "Count" input_type: ".library.v1.Book" output_type: ".library.v1.Book" client_streaming: true }
  method { name: "Chat" input_type: ".library.v1.Book" output_type: ".library.v1.Book" client_streaming: true
           server_streaming: true }
}
"""
SERVICE = "library.v1.Library"


class Descriptors:
    """What tests make descriptors with."""

    text = LIBRARY

    def file(self, text: str = LIBRARY) -> descriptor_pb2.FileDescriptorProto:
        """Return a file; ``text`` is in the text format."""
        assert annotations_pb2.http  # its extensions are known
        return text_format.Parse(text, descriptor_pb2.FileDescriptorProto())

    def set(self, *texts: str) -> bytes:
        """Return a FileDescriptorSet."""
        files = [self.file(text) for text in texts or (LIBRARY,)]
        return descriptor_pb2.FileDescriptorSet(file=files).SerializeToString()

    def base64(self, *texts: str) -> str:
        """Return a FileDescriptorSet in base64."""
        return base64.b64encode(self.set(*texts)).decode()

    def schema(self, *sets: bytes) -> Schema:
        """Return what sets together say."""
        return build_schema([DescriptorSet(f"set {number}", each) for number, each in enumerate(sets or (self.set(),))])


@pytest.fixture(scope="session")
def descriptors() -> Descriptors:
    return Descriptors()


@pytest.fixture(scope="session")
def schema(descriptors: Descriptors) -> Schema:
    return descriptors.schema()


class Service:
    """The service, in the same process.

    Attributes:
        port: Where it is.
        received: Every message that it got, in order.
        metadata: What came with the last call.
        cancelled: Set when a call was given up.
        deadline_s: What was left of the time of the last call.
        sent: How many messages of streams were sent.
    """

    def __init__(self, schema: Schema) -> None:
        self.book = schema.methods[f"/{SERVICE}/Echo"].request
        self.http_body = schema.methods[f"/{SERVICE}/Page"].response
        self.schema = schema
        self.port = 0
        self.received: list[Any] = []
        self.metadata: dict[str, str | bytes] = {}
        self.cancelled = asyncio.Event()
        self.released = asyncio.Event()
        self.deadline_s: float | None = None
        self.sent = 0
        self.scheme = "grpc"
        self.peers: set[str] = set()

    @property
    def instance(self) -> dict[str, Any]:
        return {"address": "127.0.0.1", "port": self.port, "scheme": self.scheme}

    @property
    def registry(self) -> dict[str, Any]:
        return {"static": {"services": [{"name": "library", "instances": [self.instance]}]}}

    def settings(self, grpc: dict[str, Any] | None = None, **keys: Any) -> dict[str, Any]:
        """Return the configuration of a gateway before it.

        Args:
            grpc: The rule's block; without sources it gets descriptors.
            keys: More keys of the rule; ``gateway`` is more of the gateway's.
        """
        more = keys.pop("gateway", {})
        block = {"protoDescriptorBase64": Descriptors().base64(), **(grpc or {})}
        block = {key: value for key, value in block.items() if value is not None}
        rule = {"path": "/*", "serviceName": "library", "protocol": "grpc", "grpc": block, **keys}
        return {"registry": self.registry, "router": {"rules": [rule]}, **more}

    async def call(self, gateway: RunningGateway, method: str, message: object = None, **headers: str) -> Answer:
        """Call a method by its own path, with JSON."""
        body = message if isinstance(message, bytes) else json.dumps(message or {}).encode()
        fields = {
            "content-type": "application/json",
            **{key.replace("_", "-"): value for key, value in headers.items()},
        }
        return await gateway.ask("POST", f"/{SERVICE}/{method}", headers=fields, body=body)

    def _note(self, message: Any, context: Any) -> None:
        self.received.append(message)
        self.metadata = dict(context.invocation_metadata())
        self.peers.add(context.peer())
        self.deadline_s = context.time_remaining()

    # Methods.

    async def call_echo(self, book: Any, context: Any) -> Any:
        self._note(book, context)
        return book

    call_getbook = call_putbook = call_echo

    async def call_fail(self, book: Any, context: Any) -> Any:
        self._note(book, context)
        details = []
        for detail in (
            error_details_pb2.BadRequest(
                field_violations=[error_details_pb2.BadRequest.FieldViolation(field="name", description="too long")]
            ),
            error_details_pb2.RetryInfo(retry_delay={"seconds": 3}),
        ):
            packed = AnyMessage()
            packed.Pack(detail)
            details.append(packed)
        details.append(AnyMessage(type_url="type.googleapis.com/private.Type", value=b"\1"))
        status = status_pb2.Status(code=book.page_count, message="it failed", details=details)
        await context.abort(
            next(each for each in grpc.StatusCode if each.value[0] == book.page_count),
            book.name or "it failed",
            (("grpc-status-details-bin", status.SerializeToString()), ("x-reason", "none")) if book.is_lent else (),
        )

    async def call_sleep(self, book: Any, context: Any) -> Any:
        self._note(book, context)
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return book

    async def call_metadata(self, book: Any, context: Any) -> Any:
        self._note(book, context)
        await context.send_initial_metadata((("x-first", "1"), ("x-raw-bin", b"\0\1")))
        context.set_trailing_metadata((("x-last", "2"), ("grpc-private", "3")))
        return book

    async def call_page(self, book: Any, context: Any) -> Any:
        return self.http_body(content_type="text/html", data=b"<p>" + book.name.encode())

    async def call_grow(self, book: Any, context: Any) -> Any:
        return self.book(name="x" * book.page_count)

    async def call_list(self, book: Any, context: Any) -> AsyncIterator[Any]:
        self._note(book, context)
        try:
            for number in range(book.page_count):
                yield self.book(name=f"{book.name}\n{number}", page_count=number)
                self.sent += 1
                await asyncio.sleep(0)
            if book.is_lent:
                await self.released.wait()
            if book.tags:
                await context.abort(grpc.StatusCode.DATA_LOSS, "the shelf fell down")
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def call_count(self, books: AsyncIterator[Any], context: Any) -> Any:
        count = 0
        async for book in books:
            self._note(book, context)
            count += 1
            if book.name == "stop":
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "enough")
        return self.book(page_count=count)

    async def call_chat(self, books: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for book in books:
            self._note(book, context)
            yield self.book(name=f"re: {book.name}")

    # Reflection, in the library's own words; its servicer speaks v1alpha, which is v1 under another name.

    def describe(self, leaves_out: str = "") -> None:
        """Describe the service from now on, without a method."""
        text = LIBRARY.replace(f'name: "{leaves_out}"', 'name: "Other"') if leaves_out else LIBRARY
        self.servicer = reflection.ReflectionServicer(
            (SERVICE, reflection.SERVICE_NAME), Descriptors().schema(Descriptors().set(text)).pool
        )

    def serve_reflection(self, server: Any, version: str) -> None:
        """Answer questions about the service."""

        async def info(questions: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            async for question in questions:
                for answer in self.servicer.ServerReflectionInfo(iter([question]), context):
                    yield answer

        handler = grpc.stream_stream_rpc_method_handler(
            info,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        name = f"grpc.reflection.{version}.ServerReflection"
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}),)
        )

    # Serving.

    def handlers(self) -> dict[str, Any]:
        kinds = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        return {
            method.path.rpartition("/")[2]: kinds[method.takes_stream, method.gives_stream](
                getattr(self, f"call_{method.path.rpartition('/')[2].lower()}"),
                request_deserializer=method.request.FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for method in self.schema.methods.values()
        }


@pytest.fixture
async def serve(schema: Schema) -> AsyncIterator[Callable[..., Awaitable[Service]]]:
    """A function that starts services."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*, credentials: Any = None, describes_itself: str = "", leaves_out: str = "") -> Service:
            service = Service(schema)
            server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, service.handlers()),))
            if describes_itself:
                service.describe(leaves_out)
                service.serve_reflection(server, describes_itself)
            address = "127.0.0.1:0"
            if credentials is None:
                service.port = server.add_insecure_port(address)
            else:
                service.port, service.scheme = server.add_secure_port(address, credentials), "grpcs"
            await server.start()
            stack.push_async_callback(server.stop, None)
            return service

        yield start


@pytest.fixture
async def service(serve: Callable[..., Awaitable[Service]]) -> Service:
    return await serve()


# Clients of gRPC itself.


class Library:
    """The service, as a client of grpcio calls it.

    Args:
        schema: What it has.
        channel: The way to it.
    """

    def __init__(self, schema: Schema, channel: Any) -> None:
        self.book = schema.methods[f"/{SERVICE}/Echo"].request
        self.channel = channel
        self._schema = schema

    def __getattr__(self, method: str) -> Any:
        found = self._schema.methods[f"/{SERVICE}/{method}"]
        makers = {
            (False, False): self.channel.unary_unary,
            (False, True): self.channel.unary_stream,
            (True, False): self.channel.stream_unary,
            (True, True): self.channel.stream_stream,
        }
        return makers[found.takes_stream, found.gives_stream](
            found.path,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=found.response.FromString,
        )


@pytest.fixture
async def connect(schema: Schema) -> AsyncIterator[Callable[..., Library]]:
    """A function that connects clients of grpcio to a gateway."""
    async with contextlib.AsyncExitStack() as stack:

        def start(gateway: RunningGateway, *, credentials: Any = None, options: Any = (), target: str = "") -> Library:
            target = target or gateway.url.partition("//")[2].rstrip("/")
            if credentials is None:
                channel = grpc.aio.insecure_channel(target, options=options)
            else:
                channel = grpc.aio.secure_channel(target, credentials, options=options)
            stack.push_async_callback(channel.close)
            return Library(schema, channel)

        yield start


class Got:
    """What a call of bare frames got.

    Attributes:
        status: Of HTTP.
        fields: The first fields.
        body: The content.
        trailers: The last fields.
        reset: Why the stream was reset; ``None`` if it was not.
    """

    def __init__(self) -> None:
        self.status = ""
        self.fields: dict[str, str] = {}
        self.body = b""
        self.trailers: dict[str, str] = {}
        self.reset: int | None = None


class H2Client:
    """A client of frames (the library h2), which sends what grpcio would not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
        self.connection.initiate_connection()
        self._reader, self._writer = reader, writer
        self.flush()

    def flush(self) -> None:
        self._writer.write(self.connection.data_to_send())

    def begin(
        self,
        path: str,
        body: bytes | None,
        *fields: tuple[str, str],
        method: str = "POST",
        content_type: str = "application/grpc",
    ) -> int:
        """Send a request, or only its head, and return the number of its stream."""
        stream_id = self.connection.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", "gateway"), (":path", path)]
        self.connection.send_headers(stream_id, [*pseudo, ("content-type", content_type), ("te", "trailers"), *fields])
        if body is not None:
            self.connection.send_data(stream_id, body, end_stream=True)
        self.flush()
        return stream_id

    async def call(self, path: str, body: bytes, *fields: tuple[str, str], at_once: bool = True, **more: str) -> Got:
        """Send a request, in one piece or byte by byte, and return what comes."""
        if at_once:
            self.begin(path, body, *fields, **more)
            return await self._answer()
        stream_id = self.begin(path, None, *fields, **more)
        await asyncio.sleep(0.05)
        for byte in body[:16]:
            self.connection.send_data(stream_id, bytes([byte]))
            self.flush()
            await asyncio.sleep(0)
        self.connection.send_data(stream_id, body[16:], end_stream=True)
        self.flush()
        return await self._answer()

    async def _answer(self) -> Got:
        got = Got()
        async with asyncio.timeout(10.0):
            while data := await self._reader.read(65536):
                for event in self.connection.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        got.fields = {name.decode(): value.decode() for name, value in event.headers or ()}
                        got.status = got.fields[":status"]
                    elif isinstance(event, h2.events.TrailersReceived):
                        got.trailers = {name.decode(): value.decode() for name, value in event.headers or ()}
                    elif isinstance(event, h2.events.DataReceived):
                        got.body += event.data or b""
                        self.connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                    elif isinstance(event, h2.events.StreamReset):
                        got.reset = int(event.error_code or 0)
                        if got.status == "" or got.reset:
                            return got
                    elif isinstance(event, h2.events.StreamEnded):
                        return got
                self.flush()
        return got


@pytest.fixture
def h2_client() -> Callable[..., contextlib.AbstractAsyncContextManager[H2Client]]:
    """A function that connects a client of frames to a gateway."""

    @contextlib.asynccontextmanager
    async def start(gateway: RunningGateway) -> AsyncIterator[H2Client]:
        reader, writer = await asyncio.open_connection(*gateway.gateway.addresses[0])
        try:
            yield H2Client(reader, writer)
        finally:
            writer.close()
            await writer.wait_closed()

    return start
