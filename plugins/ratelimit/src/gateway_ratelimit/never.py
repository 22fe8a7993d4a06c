"""What never fits: a request that costs more than there ever is.

The configuration refuses such a ``cost``; a plugin that asks a limiter itself, for tokens that were used say, may not
know the quota.
"""

from __future__ import annotations

from gateway import Decision

__all__ = ["never"]


def never(quota: int, window_s: float) -> Decision:
    """Return the refusal of a request that costs more than the quota; it takes nothing and looks at nothing."""
    return Decision(
        is_allowed=False, limit=quota, remaining=0, reset_s=window_s, retry_after_s=window_s, window_s=window_s
    )
