"""Where the entries of a column lie: what figures hold a column at, and how far they reach."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from moestat.typing import AnyArray, FloatArray


class Typical(NamedTuple):
    """The mean of numbers with their range; or the most frequent level, with the numbers of the first and the last."""

    value: Any
    low: float
    high: float


def typical(column: AnyArray, levels: tuple[Any, ...] | None, weight: FloatArray | None = None) -> Typical:
    """What is typical of a column of numbers, or of one with these levels; weights are frequencies."""
    weight = np.ones(len(column)) if weight is None else weight
    if levels is None:
        low, high = float(column.min()), float(column.max())
        return Typical(float(np.clip(np.average(column, weights=weight), low, high)), low, high)
    mass = np.bincount(codes(column, levels), weight, len(levels))
    return Typical(levels[int(np.argmax(mass))], 0.0, len(levels) - 1.0)


def codes(column: AnyArray, levels: tuple[Any, ...]) -> AnyArray:
    """The position of every entry among the levels."""
    position = {level: code for code, level in enumerate(levels)}
    return np.array([position[entry] for entry in column.tolist()], dtype=np.int64)
