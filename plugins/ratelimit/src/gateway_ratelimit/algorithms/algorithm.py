"""What every way of counting has in common."""

from __future__ import annotations

from typing import Protocol, TypeAlias

__all__ = ["Algorithm", "State", "Verdict"]

State: TypeAlias = tuple[int, ...]
"""What is known of a key. The first integer is always the time, in ticks, at which the key is as good as unknown."""


Verdict: TypeAlias = "tuple[bool, State | None, int, int, int]"
"""What is decided about one request; a plain tuple, for this is the hot path:

- whether it is allowed;
- the state to be stored; ``None`` leaves what is known, as most refusals do;
- how much is left;
- ticks until the quota is whole again;
- ticks until the same request would be allowed, 0 if it is.
"""


class Algorithm(Protocol):
    """A way of counting.

    Attributes:
        state_size: How many integers a state has at most.
        quota: What a client may use at once: the burst of a bucket, the limit of a window.
        arguments: What its script needs beside the cost.
    """

    state_size: int
    quota: int

    @property
    def arguments(self) -> tuple[int | float, ...]:
        """What its script needs beside the cost."""

    def take(self, state: State | None, now: int, cost: int) -> Verdict:
        """Decide about a request that takes ``cost``.

        A state that the clock contradicts, because it jumped back or because a reload changed the limit, is taken as
        the most that the limit allows, and is to be stored as that even if the request is refused: nobody waits longer
        than the limit itself can ask for.

        Args:
            state: What is known of the key; ``None`` is nothing.
            now: The time in ticks.
            cost: How much; at least 1, at most the quota.
        """

    def give_back(self, state: State, now: int, cost: int) -> State:
        """Return the state without ``cost``, which was taken a moment ago for what then was refused elsewhere."""
