"""A file in a form (``multipart/form-data``, RFC 7578): the control plane is given bodies, not their types."""

from __future__ import annotations

import re

from gateway import ErrorType, GatewayError

__all__ = ["checked_name", "uploaded_file"]

FIELD = "descriptor"
"""As the original gateway calls it."""
_BOUNDARY = re.compile(rb"--[0-9A-Za-z'()+_,./:=? -]{1,70}")
"""RFC 2046 section 5.1.1."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.desc")
_PARAMETER = re.compile(r';\s*([a-z]+)="([^"]*)"', re.IGNORECASE)


def checked_name(name: str) -> str:
    """Return the name of a file, if it is one in the folder itself.

    Raises:
        GatewayError: ``bad_request`` if not.
    """
    if not _NAME.fullmatch(name):
        message = "the name of the file must be letters, digits, '.', '_' and '-', and end with '.desc'"
        raise GatewayError(ErrorType.BAD_REQUEST, message)
    return name


def uploaded_file(body: bytes) -> tuple[str, bytes]:
    """Return the name and the content of the file in the field ``descriptor``.

    Raises:
        GatewayError: ``bad_request`` if there is none.
    """
    boundary = body.partition(b"\r\n")[0]
    if _BOUNDARY.fullmatch(boundary) and boundary == boundary.rstrip():
        # Each part stands between line breaks and the boundary, of which the first has none before it.
        parts = (b"\r\n" + body).split(b"\r\n" + boundary)
        if parts[-1].startswith(b"--"):
            for part in parts[1:-1]:
                head, blank, content = part.partition(b"\r\n\r\n")
                name = _file_name(head) if blank else None
                if name is not None:
                    return checked_name(name), content
    message = f"send a form (multipart/form-data) with the file in its field {FIELD!r}"
    raise GatewayError(ErrorType.BAD_REQUEST, message)


def _file_name(head: bytes) -> str | None:
    """Return the name of the file in a part; ``None`` if it is another field."""
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            parameters = {key.lower(): text for key, text in _PARAMETER.findall(value)}
            return parameters.get("filename") if parameters.get("name") == FIELD else None
    return None
