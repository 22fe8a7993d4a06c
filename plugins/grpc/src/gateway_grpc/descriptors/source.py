"""What a place where descriptors come from is, and those that are on this machine."""

from __future__ import annotations

import asyncio
import base64
import binascii
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from gateway_grpc.descriptors.schema import MAX_DESCRIPTOR_BYTES, DescriptorError, DescriptorSet

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["Base64Source", "FileSource", "FolderSource", "LocalSource", "Source"]

MAX_FILES = 1000
"""In a folder, with all that are in it."""
LOOK_INTERVAL_S = 1.0
"""How often files are looked at; that costs microseconds."""


class Source(Protocol):
    """A place where descriptors come from.

    Attributes:
        origin: The place, for people.
        interval_s: How long what it said counts, before it is asked again.
    """

    origin: str
    interval_s: float

    async def fetch(self) -> Sequence[DescriptorSet]:
        """Return all its descriptors; equal ones if nothing changed.

        Raises:
            DescriptorError: If they cannot be had.
        """


class LocalSource(ABC):
    """A source that is at hand when the gateway starts.

    Args:
        origin: The place, for people.
        interval_s: How long what it said counts.
    """

    def __init__(self, origin: str, interval_s: float) -> None:
        self.origin = origin
        self.interval_s = interval_s

    @abstractmethod
    def read(self) -> Sequence[DescriptorSet]:
        """Return all its descriptors, as ``fetch`` does, at once."""

    async def fetch(self) -> Sequence[DescriptorSet]:
        """Return all its descriptors."""
        return await asyncio.to_thread(self.read)


class Base64Source(LocalSource):
    """Descriptors in the configuration.

    Args:
        text: A FileDescriptorSet in base64.
    """

    def __init__(self, text: str) -> None:
        super().__init__("protoDescriptorBase64", float("inf"))
        self._text = text

    def read(self) -> Sequence[DescriptorSet]:
        """Return the descriptors."""
        return [decoded_set(self.origin, self._text)]


class FileSource(LocalSource):
    """A file.

    Args:
        path: Where it is.
        interval_s: How often it is looked at, at most.
    """

    def __init__(self, path: Path, interval_s: float) -> None:
        super().__init__(str(path), min(interval_s, LOOK_INTERVAL_S))
        self._path = path
        self._file = _File(path)

    def read(self) -> Sequence[DescriptorSet]:
        """Return the descriptors, read again if the file is another one."""
        return [self._file.read()]


class FolderSource(LocalSource):
    """A folder, with all that are in it.

    Args:
        path: Where it is.
        extensions: How the names of files end.
        interval_s: How often it is looked at, at most.
    """

    def __init__(self, path: Path, extensions: Sequence[str], interval_s: float) -> None:
        super().__init__(str(path), min(interval_s, LOOK_INTERVAL_S))
        self._path = path
        self._extensions = tuple(extensions)
        self._files: dict[Path, _File] = {}

    def read(self) -> Sequence[DescriptorSet]:
        """Return the descriptors of all files, each read again if it is another one."""
        if not self._path.is_dir():
            msg = f"{self.origin}: there is no such folder"
            raise DescriptorError(msg)
        paths = sorted(self._paths())
        self._files = {path: self._files.get(path) or _File(path) for path in paths}
        return [file.read() for file in self._files.values()]

    def _paths(self) -> Iterator[Path]:
        count = 0
        for path in self._path.rglob("*"):
            if path.name.endswith(self._extensions) and path.is_file():
                # A mounted ConfigMap has each file twice, once in a hidden folder.
                if any(part.startswith("..") for part in path.relative_to(self._path).parts):
                    continue
                count += 1
                if count > MAX_FILES:
                    msg = f"{self.origin}: it has more than {MAX_FILES} files with descriptors"
                    raise DescriptorError(msg)
                yield path


class _File:
    """A file that is read when it changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._set: DescriptorSet | None = None

    def read(self) -> DescriptorSet:
        try:
            seen = _looks(self._path.stat())
            if self._set is None or seen != self._seen:
                with self._path.open("rb") as file:
                    data = file.read(MAX_DESCRIPTOR_BYTES + 1)
                self._seen, self._set = seen, DescriptorSet(str(self._path), data)
        except OSError as error:
            msg = f"{str(self._path)!r} cannot be read: {error.strerror}"
            raise DescriptorError(msg) from error
        return self._set


def decoded_set(origin: str, text: str) -> DescriptorSet:
    """Return a FileDescriptorSet that was in base64.

    Raises:
        DescriptorError: If it was not.
    """
    try:
        return DescriptorSet(origin, base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError) as error:
        msg = f"{origin}: it is no base64, or not all of it: {error}"
        raise DescriptorError(msg) from error


def _looks(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
