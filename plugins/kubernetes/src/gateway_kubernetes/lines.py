"""Cuts a stream into lines."""

from __future__ import annotations

__all__ = ["LineTooLongError", "Lines"]


class LineTooLongError(Exception):
    """A line is longer than it may be."""


class Lines:
    """Cuts what arrives into lines, in one pass however the pieces fall.

    Args:
        max_bytes: How long a line may be.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that are complete now, without their ends and without empty ones.

        Raises:
            LineTooLongError: If one is too long.
        """
        first, *others = piece.split(b"\n")
        self._keep(first)
        found: list[bytes] = []
        for begun in others:
            found.append(b"".join(self._pieces))
            self._pieces, self._size = [], 0
            self._keep(begun)
        return [line for line in found if line.strip()]

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max_bytes:
            msg = f"a line is longer than {self._max_bytes} bytes"
            raise LineTooLongError(msg)
        if piece:
            self._pieces.append(piece)
