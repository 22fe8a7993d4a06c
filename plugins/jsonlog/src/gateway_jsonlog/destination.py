"""Where lines go: standard output, standard error or a file."""

from __future__ import annotations

import os
import select
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PIPE_BUF", "STREAMS", "Destination", "encoded"]

STREAMS = {"stdout": 1, "stderr": 2}
PIPE_BUF = getattr(select, "PIPE_BUF", 512)
"""What a pipe takes as a whole (POSIX, write(2)): so lines of several workers are never mixed."""


def encoded(text: str) -> bytes:
    """Return lines as they are written: in ASCII, so that nothing moves a terminal's cursor.

    The formats see to that, but for DEL, and for ids, which plugins may set.
    """
    return text.encode("ascii", "backslashreplace").replace(b"\x7f", b"\\u007f")


class Destination:
    """A place that lines are appended to. Used by one thread, but for ``is_current``.

    Args:
        path: The file, or ``None`` for a stream.
        stream: ``stdout`` or ``stderr``, if it is no file.

    Raises:
        OSError: If the file cannot be opened.
    """

    def __init__(self, path: Path | None, stream: str = "stdout") -> None:
        self._path = path
        self._fd = STREAMS[stream] if path is None else _open(path)
        self._is_pipe = stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        self._is_cut = False

    def is_current(self) -> bool:
        """Tell whether the path still leads to the file that is open."""
        if self._path is None:
            return True
        try:
            found, opened = self._path.stat(), os.fstat(self._fd)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)

    def write(self, lines: bytes) -> None:
        """Append lines, to a new file if the old one was moved away.

        Raises:
            OSError: If not all of them were written.
        """
        if not self.is_current():
            self._reopen()
        for part in _parts(lines) if self._is_pipe else [lines]:
            self._append(part)

    def close(self) -> None:
        """Close the file."""
        if self._path is not None:
            os.close(self._fd)

    def _append(self, data: bytes) -> None:
        if self._is_cut:
            data = b"\n" + data  # what stands there is no whole line
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        finally:
            if len(rest) < len(data):
                self._is_cut = bool(rest)

    def _reopen(self) -> None:
        assert self._path is not None  # noqa: S101 - streams are always current
        fd = _open(self._path)
        os.close(self._fd)
        self._fd = fd
        self._is_cut = False


def _open(path: Path) -> int:
    # Appending: several workers write whole batches, each at the end, and copytruncate works.
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _parts(lines: bytes) -> list[bytes]:
    """Return the lines in parts that a pipe takes as a whole, as far as lines are short enough."""
    parts: list[bytes] = []
    begin = 0
    while len(lines) - begin > PIPE_BUF:
        end = lines.rfind(b"\n", begin, begin + PIPE_BUF) + 1 or lines.find(b"\n", begin) + 1 or len(lines)
        parts.append(lines[begin:end])
        begin = end
    parts.append(lines[begin:])
    return parts
