"""Working coordinates of columns, and how linear predictors are carried between them and raw units.

Well-conditioned columns are shifted and divided one by one (`Affine`). Nearly collinear ones are also
replaced by linear combinations that are nearly uncorrelated (`Blend`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from moestat.typing import AnyArray, BoolArray, FloatArray

#: Share of a relation's largest coefficient below which one is rounding.
RELATION_ROUNDING = 1e-9

#: Rows that are combined at once: numbers of extended precision take twice the memory.
ROWS_AT_ONCE = 4096


class ColumnMap(ABC):
    """An affine map of d columns to d others; `Affine` and `Blend` lead from raw to working columns.

    A predictor ``intercept + slopes @ old`` is, on the new columns,
    ``(intercept + gain(slopes)) + slopes(slopes) @ new``.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of columns."""

    @abstractmethod
    def apply(self, raw: FloatArray) -> FloatArray:
        """New values (n, d) of the rows that a fit is made of."""

    def apply_to_new(self, raw: FloatArray) -> FloatArray:
        """New values (n, d) of other rows, which need not keep the relations that those of the fit do."""
        return self.apply(raw)

    @abstractmethod
    def restore(self, working: FloatArray) -> FloatArray:
        """Old values of new columns (n, d)."""

    @abstractmethod
    def inverse(self) -> ColumnMap:
        """The map that undoes this one."""

    @abstractmethod
    def slopes(self, slopes: FloatArray) -> FloatArray:
        """Slopes (..., d) on the new columns, of predictors with these slopes on the old ones."""

    @abstractmethod
    def gain(self, slopes: FloatArray) -> FloatArray:
        """What the intercepts (...) of such predictors gain."""

    @abstractmethod
    def same_as(self, other: ColumnMap) -> bool:
        """Whether both are the same map."""

    @abstractmethod
    def pattern(self) -> ColumnMap:
        """A map of moderate size that mixes and shifts what this one does: to see what depends on what."""

    def relations(self, old: FloatArray) -> FloatArray:
        """Relations (r, 1 + d) among the old columns, constants first, as relations among the new ones."""
        constants, slopes = old[:, 0], old[:, 1:]
        new = np.column_stack([constants + self.gain(slopes), self.slopes(slopes)])
        size = np.abs(new).max(axis=1, keepdims=True, initial=0.0)
        return np.where(np.abs(new) > RELATION_ROUNDING * size, new, 0.0)


@dataclass(frozen=True)
class Affine(ColumnMap):
    """Coordinates ``(raw - location) / scale`` of a group of columns; scales are powers of two."""

    location: FloatArray
    scale: FloatArray

    @staticmethod
    def identity(size: int) -> Affine:
        """Coordinates that change nothing."""
        return Affine(np.zeros(size), np.ones(size))

    @property
    def size(self) -> int:
        return self.scale.size

    def apply(self, raw: FloatArray) -> FloatArray:
        return (raw - self.location) / self.scale

    def restore(self, working: FloatArray) -> FloatArray:
        return working * self.scale + self.location

    def inverse(self) -> Affine:
        return Affine(-self.location / self.scale, 1.0 / self.scale)

    def slopes(self, slopes: FloatArray) -> FloatArray:
        return slopes * self.scale

    def gain(self, slopes: FloatArray) -> FloatArray:
        return slopes @ self.location

    def pattern(self) -> Affine:
        return Affine(np.sign(self.location), np.ones_like(self.scale))

    def without_location(self) -> Affine:
        """The same scale about the origin."""
        return Affine(np.zeros_like(self.location), self.scale)

    def isotropic(self) -> Affine:
        """The same location, and the largest scale for every column."""
        return Affine(self.location, np.full_like(self.scale, self.scale.max(initial=0.0)))

    def same_as(self, other: ColumnMap) -> bool:
        return (
            isinstance(other, Affine)
            and np.array_equal(self.location, other.location)
            and np.array_equal(self.scale, other.scale)
        )


@dataclass(frozen=True)
class Blend(ColumnMap):
    """Coordinates ``standard.apply(raw) @ mix - centre``: nearly uncorrelated combinations of columns.

    Parameters
    ----------
    standard : Affine
        Shift and scale of each column.
    mix, unmix : ndarray (d, d)
        The combinations, one per column, and their inverse.
    centre : ndarray (d,)
        Near the combinations' means, or zero.
    null : ndarray of bool (d,)
        Combinations that do not vary over the rows of the fit. They are exactly zero there, so that their
        slopes move nothing and stay at zero.
    """

    standard: Affine
    mix: FloatArray
    unmix: FloatArray
    centre: FloatArray
    null: BoolArray

    @property
    def size(self) -> int:
        return self.standard.size

    def apply(self, raw: FloatArray) -> FloatArray:
        return self.blend(self.standard.apply(raw))

    def blend(self, standardised: FloatArray) -> FloatArray:
        """Working values of standardised columns (n, d), of the rows of the fit."""
        out = self._blend(standardised)
        out[:, self.null] = 0.0
        return out

    def apply_to_new(self, raw: FloatArray) -> FloatArray:
        return self._blend(self.standard.apply(raw))

    def _blend(self, standardised: FloatArray) -> FloatArray:
        mix, out = self.mix.astype(np.longdouble), np.empty_like(standardised)
        for first in range(0, len(out), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            # what nearly cancels keeps its digits
            out[rows] = standardised[rows].astype(np.longdouble) @ mix - self.centre
        return out

    def restore(self, working: FloatArray) -> FloatArray:
        return self.standard.restore((working + self.centre) @ self.unmix)

    def inverse(self) -> ColumnMap:
        return Unblend(self)

    def pattern(self) -> Blend:
        return replace(self, standard=self.standard.pattern())

    def slopes(self, slopes: FloatArray) -> FloatArray:
        return self.standard.slopes(slopes) @ self.unmix.T

    def gain(self, slopes: FloatArray) -> FloatArray:
        return self.standard.gain(slopes) + self.slopes(slopes) @ self.centre

    def same_as(self, other: ColumnMap) -> bool:
        return (
            isinstance(other, Blend)
            and self.standard.same_as(other.standard)
            and np.array_equal(self.mix, other.mix)
            and np.array_equal(self.centre, other.centre)
            and np.array_equal(self.null, other.null)
        )


@dataclass(frozen=True)
class Unblend(ColumnMap):
    """The way back from a blend to raw columns."""

    blend: Blend

    @property
    def size(self) -> int:
        return self.blend.size

    def apply(self, raw: FloatArray) -> FloatArray:
        return self.blend.restore(raw)

    def restore(self, working: FloatArray) -> FloatArray:
        return self.blend.apply_to_new(working)

    def inverse(self) -> ColumnMap:
        return self.blend

    def pattern(self) -> Unblend:
        return Unblend(self.blend.pattern())

    def slopes(self, slopes: FloatArray) -> FloatArray:
        return self._slopes(slopes).astype(np.float64)

    def gain(self, slopes: FloatArray) -> FloatArray:
        back = self._slopes(slopes) @ self.blend.standard.location + slopes @ self.blend.centre.astype(np.longdouble)
        return np.asarray(-back).astype(np.float64)

    def _slopes(self, slopes: FloatArray) -> AnyArray:
        # slopes on nearly collinear columns are large and cancel: rounded once, at the end
        exact: AnyArray = slopes.astype(np.longdouble) @ self.blend.mix.T / self.blend.standard.scale
        return exact

    def same_as(self, other: ColumnMap) -> bool:
        return isinstance(other, Unblend) and self.blend.same_as(other.blend)


@dataclass(frozen=True)
class Coordinates:
    """Working coordinates of the expert's covariates X, the gate's covariates Z and the response y.

    ``null_X`` and ``null_Z`` (r, 1 + d), where not None, are relations that the raw covariates keep in every
    row of the fit: a constant and one coefficient per column, whose combination vanishes.
    """

    X: ColumnMap
    Z: ColumnMap
    y: Affine
    null_X: FloatArray | None = None
    null_Z: FloatArray | None = None

    def same_as(self, other: Coordinates) -> bool:
        """Whether both describe the same coordinates and relations."""
        maps = ((self.X, other.X), (self.Z, other.Z), (self.y, other.y))
        nulls = ((self.null_X, other.null_X), (self.null_Z, other.null_Z))
        return all(a.same_as(b) for a, b in maps) and all(_same_arrays(a, b) for a, b in nulls)

    def to_arrays(self) -> dict[str, AnyArray]:
        """Plain arrays, for storage."""
        arrays: dict[str, AnyArray] = {}
        for name, at in (("X", self.X), ("Z", self.Z), ("y", self.y)):
            if isinstance(at, Blend):
                blend = {"mix": at.mix, "unmix": at.unmix, "centre": at.centre, "null": at.null}
                arrays |= {f"{name}_{what}": array for what, array in blend.items()}
                at = at.standard
            assert isinstance(at, Affine)
            arrays |= {f"{name}_location": at.location, f"{name}_scale": at.scale}
        relations = {"X_relations": self.null_X, "Z_relations": self.null_Z}
        return arrays | {name: rows for name, rows in relations.items() if rows is not None}

    @staticmethod
    def from_arrays(arrays: Mapping[str, AnyArray]) -> Coordinates:
        """The inverse of `to_arrays`; other arrays are passed over."""
        X, Z = (_stored_map(arrays, name) for name in ("X", "Z"))
        y = Affine(arrays["y_location"], arrays["y_scale"])
        return Coordinates(X, Z, y, arrays.get("X_relations"), arrays.get("Z_relations"))


def _stored_map(arrays: Mapping[str, AnyArray], name: str) -> ColumnMap:
    standard = Affine(arrays[f"{name}_location"], arrays[f"{name}_scale"])
    if f"{name}_mix" not in arrays:
        return standard
    mix, unmix, centre, null = (arrays[f"{name}_{what}"] for what in ("mix", "unmix", "centre", "null"))
    return Blend(standard, mix, unmix, centre, null)


def _same_arrays(a: FloatArray | None, b: FloatArray | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b)
