"""What is measured at each sample size: one value for each replication, or none where a replication has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from moestat.errors import InputError
from moestat.typing import BoolArray, FloatArray, IntArray

T = TypeVar("T")


class NoSlopeError(InputError):
    """The values have no such slope: too few of them, no spread, or none that the functional bears."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Values of a loss, by sample size and replication.

    Parameters
    ----------
    sizes : ndarray (J,)
        Numbers of rows, larger than 1, increasing.
    values : tuple of J ndarrays
        Those of size j have shape (R_j,). Not negative. NaN says that a replication has no value: it is counted, and
        left out of everything else, never replaced. Infinity is a value, which not every functional bears.
    replications : tuple of J ndarrays of int, optional
        Which replication each value belongs to: 0, 1, ... in each size when left out. Only nested data need it.

    Examples
    --------
    >>> import numpy as np
    >>> from moestat.montecarlo.slopes import Measured
    >>> losses = Measured.of({100: [0.1, 0.2, np.nan], 400: [0.05, 0.1, 0.08]})
    >>> losses.missing
    array([1, 0])
    """

    sizes: FloatArray
    values: tuple[FloatArray, ...]
    replications: tuple[IntArray, ...] = ()

    def __post_init__(self) -> None:
        sizes = _sizes(self.sizes)
        values = tuple(
            _values(n, one) for n, one in zip(sizes, _as_many("values", self.values, len(sizes)), strict=True)
        )
        indices = self.replications or tuple(np.arange(len(one)) for one in values)
        pairs = zip(sizes, values, _as_many("replications", indices, len(sizes)), strict=True)
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "replications", tuple(_replications(n, one, at) for n, one, at in pairs))

    @classmethod
    def of(cls, by_size: Mapping[float, ArrayLike]) -> Measured:
        """From values by sample size, in any order of the sizes."""
        order = sorted(by_size)
        return cls(np.array(order, dtype=np.float64), tuple(np.asarray(by_size[n]) for n in order))

    @classmethod
    def from_columns(cls, n: ArrayLike, values: ArrayLike, replications: ArrayLike) -> Measured:
        """From a table with one row for each size and replication: three columns of the same length."""
        at, value, which = np.asarray(n), np.asarray(values), np.asarray(replications)
        if not at.shape == value.shape == which.shape or at.ndim != 1:
            shapes = f"{at.shape}, {value.shape} and {which.shape}"
            raise InputError(f"n, values and replications must be columns of one length; got shapes {shapes}.")
        sizes = np.unique(at)
        return cls(sizes, tuple(value[at == n] for n in sizes), tuple(which[at == n] for n in sizes))

    @property
    def missing(self) -> IntArray:
        """Replications without a value, by size (J,)."""
        return np.array([np.isnan(one).sum() for one in self.values], dtype=np.int64)

    def window(self, low: float, high: float) -> Measured:
        """The sizes from low to high, both included."""
        if not 0 < low < high:
            raise InputError(f"window must be two increasing sample sizes; got ({low!r}, {high!r}).")
        return self._at(np.flatnonzero((self.sizes >= low) & (self.sizes <= high)))

    def where(self, chosen: Sequence[BoolArray]) -> Measured:
        """The values where a mask of each size holds; sizes without any are gone."""
        masks = [np.asarray(mask, dtype=bool) for mask in _as_many("chosen", tuple(chosen), len(self.sizes))]
        kept = [j for j, mask in enumerate(masks) if mask.any()]
        return Measured(
            self.sizes[kept],
            tuple(self.values[j][masks[j]] for j in kept),
            tuple(self.replications[j][masks[j]] for j in kept),
        )

    def present(self, at_least: int) -> Measured:
        """The sizes with so many values or more, and only what has a value."""
        with_value = [~np.isnan(one) for one in self.values]
        return self._at(np.flatnonzero([mask.sum() >= at_least for mask in with_value])).where(
            [mask for mask in with_value if mask.sum() >= at_least]
        )

    def _at(self, chosen: IntArray) -> Measured:
        return Measured(
            self.sizes[chosen],
            tuple(self.values[j] for j in chosen),
            tuple(self.replications[j] for j in chosen),
        )


def _sizes(given: ArrayLike) -> FloatArray:
    sizes = np.asarray(given)
    if sizes.ndim != 1 or (len(sizes) and sizes.dtype.kind not in "iuf"):
        raise InputError(f"sizes must be a row of numbers; got {given!r}.")
    sizes = sizes.astype(np.float64)
    if not (np.isfinite(sizes) & (sizes > 1)).all() or (np.diff(sizes) <= 0).any():
        raise InputError(f"sizes must be finite, larger than 1 and increasing, each once; got {sizes.tolist()}.")
    return sizes


def _as_many(name: str, given: tuple[T, ...], wanted: int) -> tuple[T, ...]:
    if len(given) != wanted:
        raise InputError(f"{name} must hold one array for each of the {wanted} sizes; got {len(given)}.")
    return given


def _values(n: float, given: ArrayLike) -> FloatArray:
    values = np.asarray(given)
    if values.ndim != 1 or (len(values) and values.dtype.kind not in "iuf"):
        raise InputError(f"values of n={n:g} must be a row of numbers; got shape {values.shape}, type {values.dtype}.")
    values = values.astype(np.float64)
    if (values < 0).any():
        raise InputError(f"values of n={n:g} must not be negative, as losses are; got {values[values < 0][0]:g}.")
    return values


def _replications(n: float, values: FloatArray, given: ArrayLike) -> IntArray:
    indices = np.asarray(given)
    if indices.shape != values.shape or (len(indices) and indices.dtype.kind not in "iu"):
        raise InputError(f"replications of n={n:g} must be {len(values)} integers, one for each value; got {given!r}.")
    rising = bool((np.diff(indices) > 0).all())
    if not rising and len(np.unique(indices)) < len(indices):
        raise InputError(f"replications of n={n:g} must differ: one value of each size and replication.")
    return indices.astype(np.int64)
