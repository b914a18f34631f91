"""Gates whose weights do not change when the same number is added to a group of parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from moestat.params import Layout
from moestat.typing import FloatArray, IntArray

#: Flat positions that may move together, by what they are in words.
Groups = Mapping[str, IntArray]


def last_at_zero(theta: FloatArray, groups: Groups) -> FloatArray:
    """The representative whose last entry of every group is zero."""
    out = theta.copy()
    for group in groups.values():
        out[group] -= theta[group[-1]]
    return out


def common_shifts(layout: Layout, groups: Groups) -> tuple[FloatArray, tuple[str, ...]]:
    """The directions (r, P), and what they are in words."""
    directions = np.zeros((len(groups), layout.size))
    for direction, group in zip(directions, groups.values(), strict=True):
        direction[group] = 1.0
    return directions, tuple(f"common shift of {name}" for name in groups)


def last_of_each(groups: Groups) -> IntArray:
    """Positions that `last_at_zero` puts at zero."""
    return np.array([group[-1] for group in groups.values()], dtype=np.int64)
