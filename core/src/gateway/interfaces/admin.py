"""Endpoints under ``/_gateway``: what they are asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.deprecation import since

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AdminRequest"]


@since("0.1")
@dataclass(frozen=True, slots=True, kw_only=True)
class AdminRequest:
    """A request under ``/_gateway/``, handed to the control plane.

    Attributes:
        method: The method.
        path: The path below ``/_gateway``, such as ``/health``.
        query: The query without ``?``.
        accept: Its ``Accept`` field; empty if there is none.
        body: The body, at most 1 MiB.
        params: Captured path parameters.
    """

    method: str
    path: str
    query: str = ""
    accept: str = ""
    body: bytes = b""
    params: Mapping[str, str] = field(default_factory=dict)
