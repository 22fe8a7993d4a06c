"""The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B).

The code is canonical: codes of one length are consecutive, in the order of their symbols, and follow from those of the
length before. So the lengths say it all.
"""

from __future__ import annotations

__all__ = ["HuffmanError", "decode_huffman", "encode_huffman"]

# fmt: off
_LENGTHS = (
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
)
# fmt: on
_END_OF_STRING = 256
_MAX_PADDING_BITS = 7


class HuffmanError(ValueError):
    """The bytes are no string in this code."""


def _codes() -> list[str]:
    """Return the code of each symbol, as bits."""
    codes = [""] * len(_LENGTHS)
    code = length = 0
    for symbol in sorted(range(len(_LENGTHS)), key=lambda symbol: (_LENGTHS[symbol], symbol)):
        code <<= _LENGTHS[symbol] - length
        length = _LENGTHS[symbol]
        codes[symbol] = format(code, f"0{length}b")
        code += 1
    return codes


class _Node:
    """A place between two codes: what was read of one so far.

    Attributes:
        after: What comes of each byte: the next node, and the symbols that end on the way; made when first needed.
        branches: What comes of each bit: another node, or a symbol.
        is_end: Whether a string may end here: what was read is padding (RFC 7541 section 5.2).
    """

    __slots__ = ("after", "branches", "is_end")

    def __init__(self) -> None:
        self.branches: list[_Node | int | None] = [None, None]
        self.after: list[tuple[_Node, bytes]] | None = None
        self.is_end = False

    def make_after(self) -> list[tuple[_Node, bytes]]:
        """Work out what comes of each byte."""
        self.after = [self._take(byte) for byte in range(256)]
        return self.after

    def _take(self, byte: int) -> tuple[_Node, bytes]:
        node, symbols = self, bytearray()
        for shift in range(7, -1, -1):
            branch = node.branches[byte >> shift & 1]
            if isinstance(branch, _Node):
                node = branch
            elif branch is None or branch == _END_OF_STRING:
                return _DEAD, b""
            else:
                symbols.append(branch)
                node = _ROOT
        return node, bytes(symbols)


def _tree() -> _Node:
    root = _Node()
    for symbol, code in enumerate(_CODES):
        node = root
        for bit in code[:-1]:
            branch = node.branches[int(bit)]
            if not isinstance(branch, _Node):
                branch = node.branches[int(bit)] = _Node()
            node = branch
        node.branches[int(code[-1])] = symbol
    node = root
    for _ in range(_MAX_PADDING_BITS + 1):
        node.is_end = True
        branch = node.branches[1]
        assert isinstance(branch, _Node)  # noqa: S101 - the code of the end of a string has 30 bits, all of them set
        node = branch
    return root


_CODES = _codes()
_DEAD = _Node()
"""Behind the code of the end of a string, which no string may hold: nothing comes of it, and it is no end."""
_ROOT = _tree()


def encode_huffman(data: bytes) -> bytes:
    """Return ``data`` in this code."""
    bits = "".join([_CODES[byte] for byte in data])
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""


def decode_huffman(data: bytes) -> bytes:
    """Return what ``data`` is the code of.

    Raises:
        HuffmanError: If it is the code of nothing.
    """
    node = _ROOT
    pieces = []
    for byte in data:
        node, symbols = (node.after or node.make_after())[byte]
        pieces.append(symbols)
    if not node.is_end:
        raise HuffmanError("no string ends like this")
    return b"".join(pieces)
