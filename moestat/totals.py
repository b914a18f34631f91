"""Sums over tiles that lose nothing to rounding, and the shapes that products of rows come in."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Self

import numpy as np

from moestat.kernels import totals
from moestat.typing import FloatArray, IntArray


class Additive:
    """What is added up over tiles in totals, in lists and in other additive members."""

    def merge(self, later: Self) -> None:
        """Add what another record of the same kind has added up over the tiles behind those seen here."""
        for name, mine in vars(self).items():
            if isinstance(mine, list):
                mine.extend(getattr(later, name))
            elif isinstance(mine, Additive):
                mine.merge(getattr(later, name))


class Total(Additive):
    """Sums of arrays over tiles, rounded once.

    A tile is added to ``parts``, arrays of the given shapes; `take` moves them into the totals and clears
    them. ``values`` are the totals of each, whatever the order and the cancellation between tiles.
    """

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        self._shapes = shapes
        self._rows = np.zeros((3, sum(map(prod, shapes))))
        self.parts = self._split(self._rows[0])
        self.take = partial(totals.absorb, self._rows)

    @property
    def values(self) -> tuple[FloatArray, ...]:
        with np.errstate(invalid="ignore"):  # sums at a point that is about to be refused may be infinite
            return self._split(self._rows[1] + self._rows[2])

    def merge(self, later: Self) -> None:
        """Add another total and what its roundings have dropped, which is exact as far as one tile's addition is."""
        self._rows[0] = later._rows[1]
        self.take()
        self._rows[2] += later._rows[2]

    def _split(self, flat: FloatArray) -> tuple[FloatArray, ...]:
        pieces, first = [], 0
        for shape in self._shapes:
            last = first + prod(shape)
            pieces.append(flat[first:last].reshape(shape))
            first = last
        return tuple(pieces)


def up4(n: int) -> int:
    """The next multiple of four: rows are multiplied by tiles of four."""
    return (n + 3) // 4 * 4


def symmetric(lower: FloatArray) -> FloatArray:
    """Full matrices from their lower triangles."""
    strict = np.tril(lower, -1)
    return np.tril(lower) + np.swapaxes(strict, -1, -2)


def lower_index(n: int) -> IntArray:
    """Position of entry (i, j) in the order (0,0), (1,0), (1,1), (2,0), ..., for either triangle."""
    i, j = np.indices((n, n))
    high, low = np.maximum(i, j), np.minimum(i, j)
    index: IntArray = high * (high + 1) // 2 + low
    return index
