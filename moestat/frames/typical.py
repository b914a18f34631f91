"""Where the entries of a column lie: what figures hold a column at, and how far they reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from moestat.typing import AnyArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd


#: Levels of a column of truth values.
TRUTH = (False, True)


class Typical(NamedTuple):
    """The mean of numbers with their range; or the most frequent level, with the numbers of the first and the last.

    The value of a column of truth values, which a formula takes as the numbers 0 and 1, is False or True.
    """

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


def is_truth(column: pd.Series[Any]) -> bool:
    """Whether a column holds truth values."""
    import pandas as pd

    return pd.api.types.infer_dtype(column, skipna=False) == "boolean"


def levels_to_show(levels: tuple[Any, ...] | None, known: Typical | None) -> tuple[Any, ...] | None:
    """The levels that figures show of a column with this typical value: truth values have two."""
    return TRUTH if levels is None and known is not None and isinstance(known.value, bool) else levels


def codes(column: AnyArray, levels: tuple[Any, ...]) -> AnyArray:
    """The position of every entry among the levels."""
    position = {level: code for code, level in enumerate(levels)}
    return np.array([position[entry] for entry in column.tolist()], dtype=np.int64)
