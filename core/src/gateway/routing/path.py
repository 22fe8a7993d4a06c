"""The canonical form of a request's path.

A path is normalised once, when the request arrives; what is matched is what is authorised, limited and forwarded. A
path that two parsers could read in two ways is refused, not guessed at.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MalformedPath", "canonical_text", "comparison_form", "normalise_path", "remove_dot_segments"]

S = TypeVar("S")


class MalformedPath(ValueError):
    """The path of a request cannot be understood in one way only; the answer is 400."""


# RFC 3986 section 2.3.
_UNRESERVED = string.ascii_letters + string.digits + "-._~"
# What else may stand raw in a segment: sub-delims, ":" and "@" (RFC 3986 section 3.3).
_ALSO_RAW = "!$&'()*+,;=:@"
_ORDINARY = (_UNRESERVED + _ALSO_RAW + "/").encode()


def normalise_path(raw: str, *, encoded_slashes: bool = False) -> str:
    """Return the canonical form of a path, still percent-encoded; normalising that again changes nothing.

    Escapes of unreserved characters are decoded and the others get upper-case digits (RFC 3986 section 6.2.2), visible
    characters that may not stand raw in a path are escaped, runs of slashes become one, and dot segments are removed
    (RFC 3986 section 5.2.4). Nothing is decoded twice: ``%252e`` stays.

    Args:
        raw: The path of the request-target, without the query. Empty means ``/`` (RFC 9110 section 4.2.3). The ``*`` of
            ``OPTIONS *`` is not a path: the caller deals with it.
        encoded_slashes: Whether ``%2F`` is kept; refused by default, since some services take it for a slash.

    Returns:
        The canonical path; ``raw`` itself if it is canonical already.

    Raises:
        MalformedPath: If the path does not start with ``/``; holds an invalid escape, a control character, a backslash
            or overlong UTF-8, raw or escaped; holds a space, ``#``, ``?`` or something outside ASCII; climbs above the
            root; or disguises a dot segment by escapes or path parameters (``%2e%2e``, ``..;x``).
    """
    if (
        raw[:1] == "/"
        and "//" not in raw
        and "/." not in raw
        and not raw.encode("ascii", "replace").translate(None, _ORDINARY)
    ):
        return raw
    return _normalise(raw, encoded_slashes=encoded_slashes)


def _normalise(raw: str, *, encoded_slashes: bool) -> str:
    if not raw:
        return "/"
    if raw[0] != "/":
        raise MalformedPath("a path starts with '/'")
    _refuse_disguised_dots(raw)
    text = canonical_text(raw, encoded_slashes=encoded_slashes)
    return "/" + "/".join(remove_dot_segments(text[1:].split("/")))


# A dot segment as some service might see it: after decoding twice, or after cutting off path parameters.
_DOT_SEGMENT = re.compile(r"(?:/|%2F)(?:\.|%2E){1,2}(?=(/|%2F|;|%3B|$))", re.IGNORECASE)


def _refuse_disguised_dots(raw: str) -> None:
    for found in _DOT_SEGMENT.finditer(raw):
        if (found[0] + found[1]).strip("/."):
            raise MalformedPath("a dot segment is disguised by escapes or path parameters")


_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
# WHATWG URL and most clients send some of these raw; escaped, they have one spelling.
_ESCAPED = str.maketrans({char: f"%{ord(char):02X}" for char in '"<>[]^`{|}'})


def canonical_text(text: str, *, encoded_slashes: bool) -> str:
    """Return part of a path with one spelling for each character; slashes and dots are left alone.

    Raises:
        MalformedPath: If something in it may not stand in a path.
    """
    for char in "\\#?":
        if char in text:
            raise MalformedPath(f"{char!r} may not stand in a path")
    if found := _UNPRINTABLE.search(text):
        raise MalformedPath(f"{found[0]!r} may not stand in a path unless percent-encoded (RFC 3986 section 3.3)")
    if "%" in text:
        text = _normalise_escapes(text, encoded_slashes=encoded_slashes)
    return text.translate(_ESCAPED)


def _build_escapes() -> dict[str, str]:
    """Map two hexadecimal digits, in any case, to what replaces the escape; those that are refused are missing."""
    digits = string.hexdigits
    escapes = {}
    for pair in (high + low for high in digits for low in digits):
        char = chr(int(pair, 16))
        if char in _UNRESERVED:
            escapes[pair] = char
        elif char > "\x1f" and char not in "\\\x7f":
            escapes[pair] = f"%{pair.upper()}"
    return escapes


_ESCAPES = _build_escapes()
# "/" or "." spelt with more bytes than UTF-8 allows (RFC 3629 section 3); careless decoders accept it.
_OVERLONG = re.compile("%C[01]%[89AB]|%E0%[89]|%F0%8")


def _normalise_escapes(text: str, *, encoded_slashes: bool) -> str:
    first, *others = text.split("%")
    pieces = [first]
    for piece in others:
        replacement = _ESCAPES.get(piece[:2])
        if replacement is None:
            raise MalformedPath(f"{'%' + piece[:2]!r} is not an escape that may stand in a path")
        pieces.append(replacement + piece[2:])
    text = "".join(pieces)
    if not encoded_slashes and "%2F" in text:
        raise MalformedPath("an escaped slash, '%2F', is refused here")
    if _OVERLONG.search(text):
        raise MalformedPath("an escape sequence is overlong UTF-8 (RFC 3629 section 3)")
    return text


def remove_dot_segments(segments: Sequence[S]) -> list[S | str]:
    """Return the segments without empty and dot segments (RFC 3986 section 5.2.4); the last is empty for a directory.

    Args:
        segments: What stands between the slashes after the first; anything that is not text is kept as it is.

    Raises:
        MalformedPath: If ``..`` would leave the root.
    """
    kept: list[S | str] = []
    for segment in segments:
        if segment == "..":
            if not kept:
                raise MalformedPath("'..' leads above the root")
            kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    if segments[-1] in ("", ".", ".."):
        kept.append("")
    return kept


_ESCAPED_RAW = re.compile("%(?:2[146-9A-C]|3[ABD]|40)")


def comparison_form(path: str) -> str:
    """Return a canonical path with the escapes decoded of every character that may also stand raw in a segment.

    RFC 3986 section 2.2 lets ``:`` and ``%3A`` differ, so the canonical form keeps both; yet nearly every service reads
    them alike. Routes compare this form: ``/jobs/7%3Acancel`` must not slip past the rule for ``/jobs/{id}:cancel``.
    """
    if "%" not in path:
        return path
    return _ESCAPED_RAW.sub(lambda escape: chr(int(escape[0][1:], 16)), path)
