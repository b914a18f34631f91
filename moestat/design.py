"""How well conditioned the covariates of a fit are, and which of their linear combinations vanish.

One cheap pass sums weighted products of the standardised columns. Only when these look nearly collinear a
second pass takes a triangular factor of the rows themselves, whose digits are not squared away. Its singular
vectors give nearly uncorrelated working columns (`Blend`), and the relations that the columns keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from moestat.coordinates import Affine, Blend, Coordinates
from moestat.data import BlockSource, Schema
from moestat.directions import readable
from moestat.typing import BoolArray, FloatArray

#: Condition of the standardised columns from which on they are replaced by combinations.
BLEND_CONDITION = 1e3

#: A combination vanishes when its standard deviation is at most this many roundings of the raw columns. Sums of
#: up to fifty columns leave less than two roundings, the tenth powers of Filippelli's data two million.
ROUNDINGS = 4096
EPS = float(np.finfo(np.float64).eps)

#: Share of a relation's largest coefficient that may be dropped where the relation holds without it.
NEGLIGIBLE = 1e-6

#: A combination's mean is rounded to this fraction of its standard deviation.
CENTRE_GRID = 1024.0

#: Beyond this a location is as good as infinite.
LARGEST = 1e150

#: Columns of a relation whose coefficients are written out.
LISTED = 4


@dataclass(frozen=True)
class Design:
    """The columns of X or of Z.

    Parameters
    ----------
    at : Affine
        Location and scale of the columns.
    gram : ndarray (1 + d, 1 + d)
        Mean products of a one and the standardised columns.
    factor : ndarray (1 + d, 1 + d) or None
        Triangular factor of the same, from the rows; None where the columns are well conditioned.
    """

    at: Affine
    gram: FloatArray
    factor: FloatArray | None

    def relations(self, constants: bool = True) -> FloatArray:
        """Independent relations (r, 1 + d) that the raw columns keep in every row: a constant, then coefficients.

        ``constants=False`` asks for those without a constant.
        """
        null, origin = self._null(constants), _origin(self.at)
        constant = -null @ (self._mean + origin) if constants else np.zeros(len(null))
        rounding = ROUNDINGS * EPS * (np.abs(null) @ np.hypot(1.0, origin)) * (np.count_nonzero(null, axis=1) > 1)
        rows = np.column_stack([np.where(np.abs(constant) > rounding, constant, 0.0), null / self.at.scale])
        last = [int(np.flatnonzero(row)[-1]) for row in null]
        return np.asarray(rows[np.argsort(last, kind="stable")])

    def blend(self, standard: Affine, centred: bool) -> Blend | None:
        """Well-conditioned combinations of the columns in ``standard``; None where they are so themselves.

        They have mean zero only if ``centred``: a held intercept bears no shift.
        """
        if self.factor is None or not _ill_conditioned(_products(self.gram, self.at, centred)):
            return None
        spread = _spread(self.factor, self.at, centred)
        null = self._null(centred)
        basis = np.linalg.qr(null.T, mode="complete")[0] if len(null) else np.eye(self.at.size)
        dependent, free = basis[:, : len(null)], basis[:, len(null) :]
        _, size, vectors = np.linalg.svd(spread @ free, full_matrices=False)
        # powers of two: dividing by them rounds nothing
        unit = 2.0 ** np.round(np.log2(np.maximum(size, EPS**2 * size.max(initial=1.0))))
        kept = free @ vectors.T
        kept *= np.sign(np.take_along_axis(kept, np.abs(kept).argmax(axis=0)[None], axis=0))  # of two signs, one
        mix = np.hstack([kept / unit, dependent])
        flags = np.arange(self.at.size) >= kept.shape[1]
        centre = np.zeros(self.at.size)
        if centred:
            mean = self._mean @ mix
            centre = np.where(flags, mean, np.round(mean * CENTRE_GRID) / CENTRE_GRID)
        return Blend(standard, mix, np.vstack([(kept * unit).T, dependent.T]), centre, flags)

    @property
    def _mean(self) -> FloatArray:
        """Means of the standardised columns: small, as locations are near the means."""
        if self.factor is None:
            return np.asarray(self.gram[0, 1:])
        return np.asarray(self.factor[0, 1:] / self.factor[0, 0])

    def _null(self, centred: bool) -> FloatArray:
        """Combinations (r, d) of the standardised columns that do not vary, or about the origin vanish."""
        products = _products(self.gram, self.at, centred)
        still = np.diag(products) == 0
        rows: FloatArray = np.eye(self.at.size)[still]
        if self.factor is None or not _ill_conditioned(products):
            return rows
        spread = _spread(self.factor, self.at, centred)[:, ~still]
        raw_size = np.hypot(1.0, _origin(self.at))[~still]
        _, size, vectors = np.linalg.svd(spread)
        rounding = ROUNDINGS * EPS * np.sqrt(vectors**2 @ raw_size**2)
        found = _clean(_explicit(vectors[size <= rounding]), spread, raw_size)
        dependent = np.zeros((len(found), self.at.size))
        dependent[:, ~still] = found
        return np.vstack([rows, dependent])


class Designs(NamedTuple):
    """Designs of the experts' and of the gate's covariates."""

    X: Design
    Z: Design


def measure(source: BlockSource, centred_X: bool = True, centred_Z: bool = True) -> Designs:
    """The designs of a source, in one pass over its rows if they are well conditioned and two if not.

    ``centred_X`` and ``centred_Z`` say whether the fit is about the columns' means; if not, about the origin.
    """
    at = source.moments
    assert isinstance(at.X, Affine)
    assert isinstance(at.Z, Affine)
    standard = source.in_coordinates(at)
    gram_X, gram_Z = _grams(standard)
    factor_X = factor_Z = None
    suspect_X = _suspect(gram_X, at.X, centred_X)
    suspect_Z = _suspect(gram_Z, at.Z, centred_Z)
    if suspect_X or suspect_Z:
        factor_X, factor_Z = _factors(standard, suspect_X, suspect_Z)
    return Designs(Design(at.X, gram_X, factor_X), Design(at.Z, gram_Z, factor_Z))


# ------------------------------------------------------------------------------------- passes over the rows
def _grams(source: BlockSource) -> tuple[FloatArray, FloatArray]:
    """Mean products of the rows of X and of Z."""
    of_X, of_Z = (np.zeros((1 + at.size, 1 + at.size)) for at in (source.coordinates.X, source.coordinates.Z))
    for X, Z, share in _shares(source):
        gram = (X * share) @ X.T
        of_X += gram
        of_Z += gram if Z is X else (Z * share) @ Z.T
    return of_X, of_Z


def _factors(source: BlockSource, of_X: bool, of_Z: bool) -> tuple[FloatArray | None, FloatArray | None]:
    """Triangular factors of the rows of X and of Z, the suspect ones."""
    factor_X: FloatArray | None = None
    factor_Z: FloatArray | None = None
    shared = True
    for X, Z, share in _shares(source):
        root, shared = np.sqrt(share), Z is X
        factor_X = _updated(factor_X, X * root) if of_X else None
        factor_Z = _updated(factor_Z, Z * root) if of_Z and not shared else None
    return factor_X, factor_X if shared else factor_Z


def _shares(source: BlockSource) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """X and Z of every block, the same object if they are the same, and each row's share of the total weight."""
    for block in source.blocks():
        yield block.X, block.Z, block.weight / source.total_weight


def _updated(factor: FloatArray | None, columns: FloatArray) -> FloatArray:
    """Triangular factor of the rows so far and of these, (p, B)."""
    p = len(columns)
    rows = np.vstack([np.zeros((p, p)) if factor is None else factor, columns.T])
    return np.asarray(np.linalg.qr(rows, mode="r"))


# ------------------------------------------------------------------------------------- conditioning
def _suspect(gram: FloatArray, at: Affine, centred: bool) -> bool:
    return any(_ill_conditioned(_products(gram, at, about)) for about in {True, centred})


def _products(gram: FloatArray, at: Affine, centred: bool) -> FloatArray:
    """Mean products (d, d) of the standardised columns about their means, or of the scaled ones about the origin."""
    mean, origin = gram[0, 1:], _origin(at)
    if centred:
        return np.asarray(gram[1:, 1:] - np.outer(mean, mean))
    cross = np.outer(mean, origin)
    return np.asarray(gram[1:, 1:] + cross + cross.T + np.outer(origin, origin))


def _spread(factor: FloatArray, at: Affine, centred: bool) -> FloatArray:
    """Factor of those products, (d or 1 + d, d)."""
    if centred:
        return factor[1:, 1:]
    return np.asarray(factor[:, 1:] + np.outer(factor[:, 0], _origin(at)))


def _origin(at: Affine) -> FloatArray:
    """Locations in units of the scales, so far as their squares are within range."""
    return np.clip(at.location / at.scale, -LARGEST, LARGEST)


def _ill_conditioned(products: FloatArray) -> bool:
    size = np.sqrt(np.diag(products)[np.diag(products) > 0])
    if size.size < 2:
        return False
    varying = np.diag(products) > 0
    correlations = products[np.ix_(varying, varying)] / np.outer(size, size)
    eigenvalues = np.linalg.eigvalsh(correlations)
    return bool(eigenvalues[0] * BLEND_CONDITION**2 < eigenvalues[-1])


# ------------------------------------------------------------------------------------- relations
def _explicit(null: FloatArray) -> FloatArray:
    """The same space by rows that each give one column, the last possible, in terms of the others."""
    own: list[int] = []
    rest = null.copy()
    for column in reversed(range(null.shape[1])):
        size = float(np.linalg.norm(rest[:, column]))
        if size > NEGLIGIBLE and len(own) < len(null):
            own.append(column)
            direction = rest[:, column] / size
            rest -= np.outer(direction, direction @ rest)
    if len(own) < len(null):
        return readable(null)
    rows = np.linalg.solve(null[:, own], null)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _clean(null: FloatArray, spread: FloatArray, raw_size: FloatArray) -> FloatArray:
    """Relations without the coefficients that are rounding: those they hold without."""
    short = np.where(np.abs(null) > NEGLIGIBLE * np.abs(null).max(axis=1, keepdims=True, initial=0.0), null, 0.0)
    rounding = ROUNDINGS * EPS * np.sqrt(short**2 @ raw_size**2)
    holds: BoolArray = np.linalg.norm(short @ spread.T, axis=1) <= rounding
    return np.where(holds[:, None], short, null)


@dataclass(frozen=True)
class Deficiency:
    """Covariates that the data do not tell apart: a constant column, or a linear relation.

    Parameters
    ----------
    of : str
        Whose covariates: ``"X"``, ``"Z"`` or ``"X and Z"``.
    columns : tuple of str
        The columns that take part.
    equation : str
        The relation in words, such as ``x3 = 2 x1 - x2`` or ``x1 is constant``.
    """

    of: str
    columns: tuple[str, ...]
    equation: str

    def __str__(self) -> str:
        return self.equation


def deficiencies(schema: Schema, coordinates: Coordinates) -> tuple[Deficiency, ...]:
    """What the covariates of a prepared source lack, relation by relation."""
    of_X = _equations(coordinates.null_X, schema.features)
    of_Z = _equations(coordinates.null_Z, schema.gate_features)
    both = {key for key in of_X if key in of_Z}
    found = [Deficiency("X and Z" if key in both else "X", *key) for key in of_X]
    return (*found, *(Deficiency("Z", *key) for key in of_Z if key not in both))


def _equations(relations: FloatArray | None, names: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    """Columns and equation of each relation."""
    return [] if relations is None else [_equation(row, names) for row in relations]


def _equation(relation: FloatArray, names: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    *others, last = np.flatnonzero(relation[1:]).tolist()
    columns = tuple(names[i] for i in (*others, last))
    if not others:
        return columns, f"{names[last]} is constant"
    with np.errstate(over="ignore"):
        share = relation / -relation[1 + last]
    if len(columns) > LISTED or not np.isfinite(share).all():
        some = ", ".join(columns[: LISTED - 1])
        return columns, f"{names[last]} is a linear combination of {len(others)} others ({some}, ...)"
    terms = [(float(share[1 + i]), names[i]) for i in others]
    return columns, f"{names[last]} = {_sum(terms, float(share[0]))}"


def _sum(terms: list[tuple[float, str]], constant: float) -> str:
    """``2 x1 - x2 + 3``."""
    pieces = [(value, name if f"{abs(value):.6g}" == "1" else f"{abs(value):.6g} {name}") for value, name in terms]
    pieces += [(constant, f"{abs(constant):.6g}")] if constant else []
    first, *rest = pieces
    text = ("-" if first[0] < 0 else "") + first[1]
    return text + "".join(f" {'-' if value < 0 else '+'} {piece}" for value, piece in rest)
