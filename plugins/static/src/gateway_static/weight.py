"""Weights as operators write them, and as whole numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_WEIGHT", "parse_weight", "whole_weights"]

MAX_WEIGHT = 1_000_000
"""Far above what shares need; HAProxy stops at 256."""

_FACTORS = (1, 10, 100, 1000)
"""What fractions are multiplied by: they count to three decimals."""


def parse_weight(value: object) -> float:
    """Return a weight given as a number or as text with a number.

    Raises:
        ValueError: If it is neither, or not between 0 and ``MAX_WEIGHT``.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError  # noqa: TRY301, TRY004 - one message for every kind of wrong value
        weight = float(value)
    except (ValueError, OverflowError):
        msg = f"{value!r} is not a weight; write a number such as 3"
        raise ValueError(msg) from None
    if not 0 <= weight <= MAX_WEIGHT or 0 < weight < 1 / _FACTORS[-1]:
        msg = f"{value!r} is not a weight; it must be 0 (no traffic) or between 0.001 and {MAX_WEIGHT}"
        raise ValueError(msg)
    return weight


def whole_weights(weights: Sequence[float]) -> list[int]:
    """Return whole numbers in the same proportions; weights that are whole already stay as they are."""
    for factor in _FACTORS:
        scaled = [weight * factor for weight in weights]
        if all(math.isclose(weight, round(weight), abs_tol=1e-9) for weight in scaled):
            return [round(weight) for weight in scaled]
    return [max(round(weight * _FACTORS[-1]), 1 if weight else 0) for weight in weights]
