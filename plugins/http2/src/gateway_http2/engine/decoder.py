"""Header blocks into fields (RFC 7541 sections 3 and 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_http2.engine.codes import DEFAULT_TABLE_SIZE, ErrorCode
from gateway_http2.engine.faults import ConnectionFault
from gateway_http2.engine.huffman import HuffmanError, decode_huffman
from gateway_http2.engine.static_table import ENTRY_OVERHEAD, STATIC_TABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway_http2.engine.static_table import Pair

__all__ = ["Decoder", "HeaderBlock"]

MAX_KNOWN_BLOCKS = 32
MAX_KNOWN_BYTES = 512
"""How many blocks are remembered, and of which size: what a connection costs at rest is bounded by them."""
MAX_SIZE_UPDATES = 2
"""At the beginning of a block (RFC 7541 section 4.2)."""
STATIC_SIZE = len(STATIC_TABLE)
MAX_INTEGER_SHIFT = 21
"""Integers have at most 4 bytes behind their prefix: 2^28, which no length or index comes near."""


class HeaderBlock:
    """A decoded header block.

    Attributes:
        fields: The fields in order, pseudo-header fields too; not complete if it is too large.
        is_too_large: Whether it holds more than it may.
        meaning: What the owner derived from it as a head, or ``None``; the same block may come again.
        trailers: What the owner derived from it as trailers, likewise.
    """

    __slots__ = ("fields", "is_too_large", "meaning", "trailers")

    def __init__(self) -> None:
        self.fields: list[Pair] = []
        self.is_too_large = False
        self.meaning: object = None
        self.trailers: Sequence[Pair] | None = None


class Decoder:
    """The receiving end of HPACK: one for each connection.

    Blocks that change nothing in the dynamic table are remembered until one does: the same bytes mean the same then.

    Args:
        max_list_bytes: The most that the fields of a block may count (RFC 9113 section 6.5.2).
        max_fields: How many fields a block may have.
    """

    def __init__(self, max_list_bytes: int, max_fields: int) -> None:
        self._max_list_bytes = max_list_bytes
        self._max_fields = max_fields
        self._entries: list[Pair] = []  # the newest is the last
        self._size = 0
        self._max_size = self._allowed_size = DEFAULT_TABLE_SIZE
        self._is_update_due = False
        self._known: dict[bytes, HeaderBlock] = {}

    def allow_table(self, size: int) -> None:
        """The peer knows from now on how large the dynamic table may be; it must say so if it has to shrink it."""
        self._allowed_size = size
        self._is_update_due = self._max_size > size

    def decode(self, block: bytes) -> HeaderBlock:
        """Return the fields of a block.

        Raises:
            ConnectionFault: If it is malformed: whatever follows could not be understood.
        """
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            return self._decode(block)
        except (IndexError, HuffmanError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"malformed header block: {error}") from error

    def _decode(self, block: bytes) -> HeaderBlock:  # noqa: C901 - one loop over bytes, where calls cost
        decoded = HeaderBlock()
        fields = decoded.fields
        entries = self._entries
        position, left = self._take_size_updates(block), self._max_list_bytes
        is_lasting = not position
        end = len(block)
        while position < end:
            first = block[position]
            if first & 0x80:
                index, position = first & 0x7F, position + 1
                if index == 0x7F:
                    index, position = _integer(block, position, 0x7F)
                if index <= STATIC_SIZE:
                    if not index:
                        raise IndexError("index 0")
                    pair = STATIC_TABLE[index - 1]
                else:
                    pair = entries[STATIC_SIZE - index]
            elif first & 0x40:
                pair, position = self._literal(block, position, 0x3F)
                self._insert(pair)
                is_lasting = False
            elif first & 0x20:
                raise IndexError("a size update behind the beginning")
            else:
                pair, position = self._literal(block, position, 0x0F)
            left -= len(pair[0]) + len(pair[1]) + ENTRY_OVERHEAD
            if left < 0 or len(fields) >= self._max_fields:
                # What follows is still read: it may change the table.
                decoded.is_too_large = True
            else:
                fields.append(pair)
        if is_lasting and end <= MAX_KNOWN_BYTES:
            if len(self._known) >= MAX_KNOWN_BLOCKS:
                self._known.clear()
            self._known[block] = decoded
        return decoded

    def _take_size_updates(self, block: bytes) -> int:
        """Apply the size updates that a block begins with; returns where they end."""
        position = updates = 0
        while block[position : position + 1] and block[position] & 0xE0 == 0x20:
            size, position = _prefixed(block, position, 0x1F)
            updates += 1
            if size > self._allowed_size or updates > MAX_SIZE_UPDATES:
                raise IndexError(f"size update to {size}")
            self._max_size = size
            self._is_update_due = False
            self._evict(0)
        if self._is_update_due:
            raise IndexError("no size update where one was due")
        return position

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[Pair, int]:
        index, position = _prefixed(block, position, mask)
        if not index:
            name, position = _string(block, position)
        elif index <= STATIC_SIZE:
            name = STATIC_TABLE[index - 1][0]
        else:
            name = self._entries[STATIC_SIZE - index][0]
        value, position = _string(block, position)
        return (name, value), position

    def _insert(self, pair: Pair) -> None:
        size = len(pair[0]) + len(pair[1]) + ENTRY_OVERHEAD
        self._evict(size)
        if size <= self._max_size:
            self._entries.append(pair)
            self._size += size

    def _evict(self, needed: int) -> None:
        """Make room; whatever was remembered rests on the table as it was."""
        self._known.clear()
        entries, gone = self._entries, 0
        while gone < len(entries) and self._size + needed > self._max_size:
            name, value = entries[gone]
            self._size -= len(name) + len(value) + ENTRY_OVERHEAD
            gone += 1
        del entries[:gone]


def _prefixed(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """Return the integer at ``position``, whose prefix is under ``mask``, and where it ends (RFC 7541 section 5.1)."""
    value = block[position] & mask
    return _integer(block, position + 1, mask) if value == mask else (value, position + 1)


def _integer(block: bytes, position: int, value: int) -> tuple[int, int]:
    """Return the integer that goes on at ``position`` behind a full prefix, and where it ends."""
    for shift in range(0, MAX_INTEGER_SHIFT + 1, 7):
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise IndexError("an integer that is too large")


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    """Return the string at ``position`` and where it ends (RFC 7541 section 5.2)."""
    first = block[position]
    length = first & 0x7F
    position += 1
    if length == 0x7F:
        length, position = _integer(block, position, length)
    end = position + length
    if end > len(block):
        raise IndexError("a string that is not whole")
    data = block[position:end]
    return (decode_huffman(data) if first & 0x80 else data), end
