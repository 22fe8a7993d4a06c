"""Sets of descriptors, put together: methods by path, and the messages they take and give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.api import annotations_pb2, http_pb2, httpbody_pb2  # type: ignore[import-untyped]  # has no types
from google.protobuf import (
    any_pb2,
    api_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    source_context_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # as above

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from google.api.http_pb2 import HttpRule  # type: ignore[import-untyped]  # as above
    from google.protobuf.descriptor import MethodDescriptor

__all__ = ["MAX_DESCRIPTOR_BYTES", "DescriptorError", "DescriptorSet", "Method", "Schema", "build_schema"]

MAX_DESCRIPTOR_BYTES = 32 * 1024 * 1024
"""Of all descriptors of a route. Those of all of Google's public interfaces are half of it."""

MAX_NAMES = 5
"""How many names a message lists."""
_COMMON = ("google/protobuf/", "google/api/", "google/rpc/")
"""What everybody has, in one edition or another: the first that is found is taken."""

_KNOWN_FILES: Mapping[str, bytes] = {
    # Sets are commonly made without what every compiler brings.
    module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb
    for module in (
        any_pb2,
        source_context_pb2,
        type_pb2,
        api_pb2,
        descriptor_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
        httpbody_pb2,
        status_pb2,
        error_details_pb2,
        annotations_pb2,
        http_pb2,
    )
}


class DescriptorError(Exception):
    """Descriptors that cannot be had, or not be used; says where they are from and what is wrong."""


@dataclass(frozen=True, slots=True)
class DescriptorSet:
    """Descriptors from one place.

    Attributes:
        origin: The place, for people.
        data: A serialized ``google.protobuf.FileDescriptorSet``.
    """

    origin: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Method:
    """A method of a service.

    Attributes:
        name: ``users.v1.UserService.GetUser``.
        path: ``/users.v1.UserService/GetUser``.
        request: The class of what it takes.
        response: The class of what it gives.
        takes_stream: Whether it takes many.
        gives_stream: Whether it gives many.
        http: Its ``google.api.http``; ``None`` if it has none.
    """

    name: str
    path: str
    request: type[Message]
    response: type[Message]
    takes_stream: bool
    gives_stream: bool
    http: HttpRule | None


class Schema:
    """What is known of services. Never changed.

    Args:
        pool: All their descriptors.
        methods: All their methods, in the order of the descriptors.
    """

    def __init__(self, pool: DescriptorPool, methods: Iterable[Method]) -> None:
        self.pool = pool
        self.methods: Mapping[str, Method] = {method.path: method for method in methods}

    def find(self, name: str, service: str = "") -> Method:
        """Return the method that an operator means.

        Args:
            name: ``GetUser``, ``UserService.GetUser``, ``users.v1.UserService/GetUser``, with a point or a slash.
            service: Where it is looked for first; empty is anywhere.

        Raises:
            DescriptorError: If there is none, or more than one.
        """
        wanted = name.strip("/").replace("/", ".")
        for full_name in (f"{service}.{wanted}", wanted):
            for method in self.methods.values():
                if method.name == full_name:
                    return method
        ending = f".{service.rpartition('.')[2]}.{wanted}" if service else f".{wanted}"
        found = [method for method in self.methods.values() if f".{method.name}".endswith(ending)]
        if len(found) == 1:
            return found[0]
        if not found:
            msg = f"no service has a method {name!r}; the descriptors have {_some(self.methods)}"
            raise DescriptorError(msg)
        msg = f"{name!r} may be {_some(method.path for method in found)}; write the whole name"
        raise DescriptorError(msg)


def build_schema(sets: Iterable[DescriptorSet]) -> Schema:
    """Return what all ``sets`` together say. Takes a while: not for the event loop.

    Raises:
        DescriptorError: If one cannot be read, or they contradict each other.
    """
    files = _merged(sets)
    pool = DescriptorPool()
    added: set[str] = set()
    for name in list(files):
        _add(name, files, pool, added)
    return Schema(pool, _methods(files, pool))


class _File:
    """A file of descriptors, and where it is from."""

    def __init__(self, proto: descriptor_pb2.FileDescriptorProto, origin: str) -> None:
        self.proto = proto
        self.origin = origin


def _merged(sets: Iterable[DescriptorSet]) -> dict[str, _File]:
    """Return the files of all sets by name. The same may be in several of them, but nothing else under its name."""
    files: dict[str, _File] = {}
    total_bytes = 0
    for each in sets:
        total_bytes += len(each.data)
        if total_bytes > MAX_DESCRIPTOR_BYTES:
            msg = f"{each.origin}: all descriptors together have more than {MAX_DESCRIPTOR_BYTES} bytes"
            raise DescriptorError(msg)
        for proto in _read(each).file:
            proto.ClearField("source_code_info")
            first = files.setdefault(proto.name, _File(proto, each.origin))
            if first.proto != proto and not proto.name.startswith(_COMMON):
                msg = f"{first.origin} and {each.origin} contradict each other about {proto.name!r}; remove one of them"
                raise DescriptorError(msg)
    if not files:
        raise DescriptorError("there are no descriptors in any of the sources")
    return files


def check_set(each: DescriptorSet) -> None:
    """Look whether something is a set of descriptors at all; whether it goes with others is another question.

    Raises:
        DescriptorError: If not.
    """
    _read(each)


def _read(each: DescriptorSet) -> descriptor_pb2.FileDescriptorSet:
    try:
        found = descriptor_pb2.FileDescriptorSet.FromString(each.data)
    except DecodeError:
        found = descriptor_pb2.FileDescriptorSet()
    # What is no such message is sometimes read as one without a file, or without names.
    if not found.file or not all(proto.name for proto in found.file):
        msg = (
            f"{each.origin}: it holds no FileDescriptorSet; make one with protoc --include_imports --descriptor_set_out"
        )
        raise DescriptorError(msg)
    return found


def _add(name: str, files: dict[str, _File], pool: DescriptorPool, added: set[str]) -> None:
    """Add a file, and before it what it imports; by a list of what is to be done, for imports may go deep."""
    waiting: list[tuple[str, bool]] = [(name, False)]
    under_way: set[str] = set()
    while waiting:
        name, is_ready = waiting.pop()
        if name in added:
            continue
        file = files.get(name) or _known(name)
        if is_ready:
            under_way.discard(name)
            added.add(name)
            _put(pool, file)
            continue
        if name in under_way:
            msg = f"{file.origin}: {name!r} imports itself"
            raise DescriptorError(msg)
        under_way.add(name)
        waiting.append((name, True))
        for dependency in file.proto.dependency:
            if dependency not in files and dependency not in _KNOWN_FILES:
                msg = f"{file.origin}: {name!r} imports {dependency!r}, which is missing; use protoc --include_imports"
                raise DescriptorError(msg)
            waiting.append((dependency, False))


def _known(name: str) -> _File:
    return _File(descriptor_pb2.FileDescriptorProto.FromString(_KNOWN_FILES[name]), "the gateway")


def _put(pool: DescriptorPool, file: _File) -> None:
    try:
        pool.AddSerializedFile(file.proto.SerializeToString())
    except (TypeError, ValueError) as error:
        msg = f"{file.origin}: {file.proto.name!r} cannot be used: {error}"
        raise DescriptorError(msg) from error


def _methods(files: Mapping[str, _File], pool: DescriptorPool) -> Iterator[Method]:
    for file in files.values():
        package = f"{file.proto.package}." if file.proto.package else ""
        for service in file.proto.service:
            descriptor = pool.FindServiceByName(f"{package}{service.name}")
            for proto, method in zip(service.method, descriptor.methods, strict=True):
                yield _method(proto, method)


def _method(proto: descriptor_pb2.MethodDescriptorProto, method: MethodDescriptor) -> Method:
    # Of the options of what was read, not of what was built of it: only there extensions are known for sure.
    options = proto.options
    service = method.containing_service.full_name
    return Method(
        name=f"{service}.{proto.name}",
        path=f"/{service}/{proto.name}",
        request=GetMessageClass(method.input_type),
        response=GetMessageClass(method.output_type),
        takes_stream=proto.client_streaming,
        gives_stream=proto.server_streaming,
        http=options.Extensions[annotations_pb2.http] if options.HasExtension(annotations_pb2.http) else None,
    )


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:MAX_NAMES]) + (f" and {len(listed) - MAX_NAMES} more" if len(listed) > MAX_NAMES else "")
