"""Who is calling."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Principal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is calling, as an authenticator found out.

    Attributes:
        subject: The identity, such as the ``sub`` claim or the name of an API key.
        kind: ``user``, ``service`` or ``device``.
        provider: The name of the authenticator.
        scopes: What it may do.
        claims: Everything else that is known; forwarded only where the configuration says so.
        expires_at_utc: Unix time at which the credentials end; ``None`` means never.
    """

    subject: str
    kind: str = "user"
    provider: str = ""
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, object] = field(default_factory=dict)
    expires_at_utc: float | None = None
    # The core's own: what services are told about it, and by which policy. An authenticator may hand out the same
    # principal many times.
    _told: tuple[object, Sequence[tuple[bytes, bytes]]] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def deadline_s(self) -> float:
        """Return the monotonic time at which the credentials end, for what lasts longer; ``math.inf`` is never."""
        if self.expires_at_utc is None:
            return math.inf
        return time.monotonic() + self.expires_at_utc - time.time()
