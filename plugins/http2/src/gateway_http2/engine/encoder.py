"""Fields into header blocks (RFC 7541 sections 3 and 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway_http2.engine.codes import DEFAULT_TABLE_SIZE
from gateway_http2.engine.huffman import encode_huffman
from gateway_http2.engine.static_table import ENTRY_OVERHEAD, STATIC_FIELDS, STATIC_NAMES

if TYPE_CHECKING:
    from gateway_http2.engine.static_table import Pair

__all__ = ["Encoder", "literal"]

MAX_KNOWN_BLOCKS = 32
MAX_KNOWN_FIELDS = 32
"""How many lists of fields are remembered, and of which length."""
MAX_SEEN = 128
"""How many fields are remembered as sent once."""
MAX_ENTRY_SHARE = 4
"""An entry may take this part of the dynamic table at most."""
NEVER_INDEXED = frozenset({b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"})
"""Secrets: in the table, their length would tell whoever can make requests what is guessed right (RFC 7541 7.1.3)."""


class Encoder:
    """The sending end of HPACK: one for each connection.

    A field enters the dynamic table when it is sent a second time: what is new in each message, such as an id, changes
    nothing then, and the same fields stay the same bytes.
    """

    def __init__(self) -> None:
        self._entries: list[Pair] = []  # the newest is the last
        self._numbers: dict[Pair, int] = {}  # how many entries there were before
        self._inserted = 0
        self._size = 0
        self._max_size = DEFAULT_TABLE_SIZE
        self._updates: list[int] = []
        self._seen: set[Pair] = set()
        self._known: dict[tuple[Pair, ...], bytes] = {}
        self._is_settled = True  # the same fields would be the same bytes once more

    def limit_table(self, size: int) -> None:
        """The peer keeps a dynamic table of so many bytes at most."""
        size = min(size, DEFAULT_TABLE_SIZE)
        if size != self._max_size:
            # The smallest of all, then the last (RFC 7541 section 4.2).
            self._updates = [min([size, *self._updates]), size]
            self._max_size = size
            self._known.clear()
            self._evict(0)

    def encode(self, pairs: tuple[Pair, ...]) -> bytes:
        """Return the block for ``pairs``, to be sent before the next one is asked for."""
        known = self._known.get(pairs)
        return known if known is not None else self._encode(pairs)

    def _encode(self, pairs: tuple[Pair, ...]) -> bytes:
        self._is_settled = True
        updates, self._updates = self._updates, []
        pieces = [_number(size, 0x20, 0x1F) for size in dict.fromkeys(updates)]
        pieces += [self._field(pair) for pair in pairs]
        block = b"".join(pieces)
        if self._is_settled and not updates and len(pairs) <= MAX_KNOWN_FIELDS:
            if len(self._known) >= MAX_KNOWN_BLOCKS:
                self._known.clear()
            self._known[pairs] = block
        return block

    def _field(self, pair: Pair) -> bytes:
        index = STATIC_FIELDS.get(pair)
        if index is not None:
            return bytes((0x80 | index,))
        number = self._numbers.get(pair)
        if number is not None:
            return _number(61 + self._inserted - number, 0x80, 0x7F)
        if pair[0] in NEVER_INDEXED:
            return _literal(pair, 0x10, 0x0F)
        if pair not in self._seen:
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            self._seen.add(pair)
            self._is_settled = False
            return literal(*pair)
        size = len(pair[0]) + len(pair[1]) + ENTRY_OVERHEAD
        if size > self._max_size // MAX_ENTRY_SHARE:
            return literal(*pair)
        self._insert(pair, size)
        return _literal((pair[0], pair[1]), 0x40, 0x3F, is_lasting=True)

    def _insert(self, pair: Pair, size: int) -> None:
        self._seen.discard(pair)
        self._is_settled = False
        self._known.clear()
        self._evict(size)
        self._entries.append(pair)
        self._numbers[pair] = self._inserted
        self._inserted += 1
        self._size += size

    def _evict(self, needed: int) -> None:
        entries, gone = self._entries, 0
        while gone < len(entries) and self._size + needed > self._max_size:
            pair = entries[gone]
            self._size -= len(pair[0]) + len(pair[1]) + ENTRY_OVERHEAD
            del self._numbers[pair]
            gone += 1
        del entries[:gone]


def literal(name: bytes, value: bytes) -> bytes:
    """Return a field that neither uses nor changes the dynamic table, to be put behind any block."""
    return _literal((name, value), 0x00, 0x0F)


def _literal(pair: Pair, pattern: int, mask: int, *, is_lasting: bool = False) -> bytes:
    name, value = pair
    index = STATIC_NAMES.get(name, 0)
    beginning = _number(index, pattern, mask)
    if not index:
        beginning += _string(name, is_lasting=is_lasting)
    return beginning + _string(value, is_lasting=is_lasting)


def _string(value: bytes, *, is_lasting: bool) -> bytes:
    """Return a string; in the Huffman code if that is shorter, and pays since it is sent once for many times."""
    if is_lasting:
        code = encode_huffman(value)
        if len(code) < len(value):
            return _number(len(code), 0x80, 0x7F) + code
    length = len(value)
    return (bytes((length,)) if length < 0x7F else _number(length, 0, 0x7F)) + value


def _number(value: int, pattern: int, mask: int) -> bytes:
    """Return an integer with its prefix (RFC 7541 section 5.1)."""
    if value < mask:
        return bytes((pattern | value,))
    number = bytearray((pattern | mask,))
    value -= mask
    while value >= 0x80:
        number.append(value & 0x7F | 0x80)
        value >>= 7
    number.append(value)
    return bytes(number)
