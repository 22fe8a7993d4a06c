"""Rates as the ``limits`` library writes them: ``100/minute``, ``10 per 2 hours``, ``10/second; 1000/hour``."""

from __future__ import annotations

__all__ = ["parse_rates"]


def parse_rates(text: str) -> list[tuple[int, float]]:
    """Return how much is allowed in how many seconds, for each rate in ``text``.

    Raises:
        ValueError: If it is not in this notation.
    """
    from limits import parse_many  # noqa: PLC0415 - 60 ms, for configurations that use the notation

    try:
        return [(item.amount, float(item.get_expiry())) for item in parse_many(text)]
    except ValueError:
        msg = f"{text!r} is not a rate; write a number, '100/minute', or '10/second; 1000/hour'"
        raise ValueError(msg) from None
