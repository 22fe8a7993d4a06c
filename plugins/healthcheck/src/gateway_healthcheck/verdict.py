"""What a row of checks says about something."""

from __future__ import annotations

__all__ = ["Verdict"]


class Verdict:
    """Whether something works, as its checks say: it takes some in a row to change that.

    Args:
        healthy_threshold: Successes in a row after which it works again.
        unhealthy_threshold: Failures in a row after which it does not work.
        begins_healthy: What it counts as before; what begins unhealthy works with its first success, as in Envoy.

    Attributes:
        is_healthy: Whether it works.
        successes: In a row, up to now.
        failures: In a row, up to now.
        error: Why the last check failed; empty if it succeeded, or there was none.
        duration_s: How long the last check took; ``None`` if there was none.
        checked_utc: Unix time of the last check; ``None`` if there was none.
    """

    __slots__ = (
        "_healthy_threshold",
        "_is_new",
        "_unhealthy_threshold",
        "checked_utc",
        "duration_s",
        "error",
        "failures",
        "is_healthy",
        "successes",
    )

    def __init__(self, healthy_threshold: int, unhealthy_threshold: int, *, begins_healthy: bool) -> None:
        self._healthy_threshold = healthy_threshold
        self._unhealthy_threshold = unhealthy_threshold
        self._is_new = not begins_healthy
        self.is_healthy = begins_healthy
        self.successes = 0
        self.failures = 0
        self.error = ""
        self.duration_s: float | None = None
        self.checked_utc: float | None = None

    def take(self, error: str | None, duration_s: float, now_utc: float) -> bool:
        """Take the outcome of a check; returns whether it changes whether it works.

        Args:
            error: Why it failed; ``None`` if it succeeded.
            duration_s: How long it took.
            now_utc: Unix time.
        """
        self.error, self.duration_s, self.checked_utc = error or "", duration_s, now_utc
        was_healthy = self.is_healthy
        if error is None:
            self.successes, self.failures = self.successes + 1, 0
            if self._is_new or self.successes >= self._healthy_threshold:
                self.is_healthy = True
            self._is_new = False
        else:
            self.successes, self.failures = 0, self.failures + 1
            if self.failures >= self._unhealthy_threshold:
                self.is_healthy = False
        return self.is_healthy != was_healthy

    @property
    def is_awaited(self) -> bool:
        """Whether it has never worked since it is known."""
        return self._is_new
