"""The status that the log has of an exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway import Exchange

__all__ = ["CLIENT_CLOSED_REQUEST", "status_of"]

CLIENT_CLOSED_REQUEST = 499
"""The status of a request whose client went away before there was an answer; nginx's number."""


def status_of(exchange: Exchange) -> int:
    """Return what was answered."""
    response = exchange.response
    return CLIENT_CLOSED_REQUEST if response is None else response.status
