"""Equal rows merged, in an order of their values.

Rounding depends on the order in which rows are added up. Merged rows have neither the order nor the repetitions
of the caller's, so that whatever is computed from them does not depend on either, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from moestat.typing import FloatArray, IntArray

#: Rows are merged when there are at most so many distinct ones; sorting more would cost a noticeable share of a fit.
DISTINCT_ROWS = 4096


class Distinct(NamedTuple):
    """One row of each kind, as its number, and the total weight of its kind."""

    row: IntArray
    weight: FloatArray


def distinct_rows(arrays: Sequence[FloatArray], weight: FloatArray, limit: int = DISTINCT_ROWS) -> Distinct | None:
    """The distinct rows in the order of their values, or None when there are more than the limit.

    Parameters
    ----------
    arrays : sequence of ndarray (n, d)
        Rows are equal when they are equal in every array; minus zero equals zero.
    weight : ndarray (n,)
    limit : int
    """
    n = weight.size
    few = _Order.of(arrays, np.arange(min(n, 2 * limit)))  # data without repetitions show here
    if few.n_groups > limit:
        return None
    order = few if n == few.row.size else _Order.of(arrays, np.arange(n))
    return None if order.n_groups > limit else Distinct(order.row[order.first], _totals(order, weight))


class _Order(NamedTuple):
    """Rows sorted by value, and the places where a new value begins."""

    row: IntArray
    first: IntArray

    @property
    def n_groups(self) -> int:
        return self.first.size

    @staticmethod
    def of(arrays: Sequence[FloatArray], row: IntArray) -> _Order:
        columns = [column for array in arrays for column in array[row].T]
        order = np.lexsort(columns[::-1])
        new = np.zeros(row.size, dtype=bool)
        new[:1] = True
        for column in (values[order] for values in columns):
            new[1:] |= column[1:] != column[:-1]
        return _Order(row[order], np.flatnonzero(new))


def _totals(order: _Order, weight: FloatArray) -> FloatArray:
    """Weights of each group added from the smallest up: their order in the data does not show."""
    group = np.repeat(np.arange(order.n_groups), np.diff(order.first, append=order.row.size))
    weight = weight[order.row]
    totals: FloatArray = np.add.reduceat(weight[np.lexsort((weight, group))], order.first)
    return totals
