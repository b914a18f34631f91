"""Normal laws of several columns about linear predictors: density, derivatives and M-step, for gates and experts.

    log N(y; B f, L L'),   local parameters of one law: B (m, p) row by row, then the numbers of its covariance

A full covariance has log-Cholesky numbers. Those of a simpler shape depend linearly on fewer: a diagonal one has
log variances, log L_ii = log(v_i) / 2, and a spherical one has a single log variance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from math import log
from typing import NamedTuple

import numpy as np

from moestat.cholesky import COVARIANCE, diagonal, factors, free_of, lower_indices, matrices, n_entries
from moestat.errors import InputError
from moestat.kernels import normal
from moestat.kernels.linear import weighted_gram
from moestat.params import POSITIVE, Slot, shared_columns, slot_of
from moestat.spelling import suggestion
from moestat.typing import FloatArray, IntArray

#: Smallest variance of a column given those before it, as a share of the column's: below it, a spike.
VARIANCE_FLOOR = 1e-10

#: The same for a law that has all rows: below it variances are rounding.
ROUNDING_FLOOR = 1e-14

#: Mass below which a law has no rows to be estimated from, as a share of all.
NO_MASS = 1e-12


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        near = suggestion(value, choices) if isinstance(value, str) else ""
        raise InputError(f"{name} must be one of {list(choices)}; got {value!r}.{near}")


@dataclass(frozen=True)
class Shape:
    """Shape of covariance matrices, and whether all experts share one.

    Parameters
    ----------
    name : {"full", "diagonal", "spherical"}
    owner : {"own", "common"}
    """

    name: str
    owner: str

    def __post_init__(self) -> None:
        check_choice("shape", self.name, ("full", "diagonal", "spherical"))
        check_choice("covariance", self.owner, ("own", "common"))

    def slot(self, sizes: Mapping[str, int], column: str) -> Slot:
        """Place of the covariances of columns along the axis ``column`` in a layout."""
        leading = ("expert",) if self.owner == "own" else ()
        if self.name == "full":
            full = {**sizes, "covariance": n_entries(sizes[column])}
            return slot_of(full, *leading, "covariance", support=COVARIANCE)
        columns = (column,) if self.name == "diagonal" else ()
        return slot_of(sizes, *leading, *columns, support=POSITIVE, label="variance")

    def columns(self, index: IntArray, n_experts: int) -> IntArray:
        """Positions (K, s) of each expert's numbers, of the positions of the field."""
        return index.reshape(n_experts, -1) if self.owner == "own" else shared_columns(n_experts, index)

    def embedding(self, size: int) -> FloatArray:
        """Derivative (p, s) of the log-Cholesky numbers of matrices of this size in the shape's own numbers."""
        if self.name == "full":
            return np.eye(n_entries(size))
        halves = 0.5 * np.eye(n_entries(size))[:, diagonal(size)]
        return halves if self.name == "diagonal" else halves.sum(axis=1, keepdims=True)

    def nearest(self, covariance: FloatArray) -> FloatArray:
        """What a record holds: the most likely covariances of this shape, of matrices (..., m, m)."""
        if self.name == "full":
            return covariance
        variances = np.diagonal(covariance, axis1=-2, axis2=-1)
        return np.asarray(variances if self.name == "diagonal" else variances.mean(axis=-1))

    def free(self, covariance: FloatArray) -> FloatArray:
        """Numbers (..., s) of the most likely covariances of this shape, of matrices (..., m, m)."""
        if self.name == "full":
            return free_of(_safely_positive(covariance))
        out = np.log(np.maximum(self.nearest(covariance), 1e-300))
        return np.asarray(out if self.name == "diagonal" else out[..., None])

    def matrices(self, record: FloatArray, size: int) -> FloatArray:
        """Covariance matrices (..., m, m) of what a record holds."""
        if self.name == "full":
            return record
        variances = record if self.name == "diagonal" else np.repeat(record[..., None], size, axis=-1)
        return np.asarray(variances[..., None] * np.eye(size))

    def rescale(self, record: FloatArray, scale: FloatArray) -> FloatArray:
        """What a record holds for columns divided by these scales; of spherical ones, all the same."""
        if self.name == "full":
            return np.asarray(record / scale / scale[:, None])
        return np.asarray(record / (scale**2 if self.name == "diagonal" else scale[0] ** 2))

    def floors(self, spread: FloatArray, share: float = VARIANCE_FLOOR) -> FloatArray:
        """Smallest admissible numbers (s,), or () of spherical ones, given the columns' standard deviations."""
        smallest = log(share) + 2 * np.log(spread)
        if self.name != "full":
            return smallest if self.name == "diagonal" else smallest.max()
        out = np.full(n_entries(spread.size), -np.inf)
        out[diagonal(spread.size)] = 0.5 * smallest
        return out


def _safely_positive(covariance: FloatArray) -> FloatArray:
    """The same matrix, or where rounding has left it flat one whose factor exists."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    safe = np.maximum(eigenvalues, 1e-15 * np.maximum(eigenvalues[..., -1:], 1e-300))
    if (safe == eigenvalues).all():
        return covariance
    return np.asarray((vectors * safe[..., None, :]) @ vectors.swapaxes(-1, -2))


class Numbers(NamedTuple):
    """What densities of K laws are made of: B (K, m, p), L and its inverse (K, m, m); not to be written to."""

    coefficients: FloatArray
    factors: FloatArray
    inverse: FloatArray


@cache
def _embedding(shape: Shape, size: int) -> FloatArray:
    return shape.embedding(size)


@lru_cache(maxsize=16)
def _numbers(laws: Normals, local: bytes) -> Numbers:
    free = np.frombuffer(local).reshape(-1, laws.n_local)
    L = laws.factors(free)
    return Numbers(laws.coefficients(free).copy(), L, np.linalg.inv(L).astype(np.float64))


@dataclass(frozen=True)
class Normals:
    """K normal laws of m columns about linear predictors in p features; ``local`` is (K, m p + s)."""

    shape: Shape
    size: int
    n_features: int

    @property
    def _embedding(self) -> FloatArray:
        return _embedding(self.shape, self.size)

    @property
    def n_local(self) -> int:
        """Number of local parameters of a law."""
        return self._n_coef + int(self._embedding.shape[1])

    @property
    def _n_coef(self) -> int:
        return self.size * self.n_features

    def coefficients(self, local: FloatArray) -> FloatArray:
        """B (K, m, p)."""
        return np.ascontiguousarray(local[:, : self._n_coef]).reshape(-1, self.size, self.n_features)

    def factors(self, local: FloatArray) -> FloatArray:
        """L (K, m, m)."""
        return factors(local[:, self._n_coef :] @ self._embedding.T)

    def _numbers(self, local: FloatArray) -> Numbers:
        """B, L and its inverse: of all tiles of a pass the same."""
        return _numbers(self, np.ascontiguousarray(local).tobytes())

    # ------------------------------------------------------------------------------- density
    def value(self, local: FloatArray, F: FloatArray, Y: FloatArray, out: FloatArray) -> None:
        """Write log densities (K, B)."""
        B, L, _ = self._numbers(local)
        normal.log_densities(B, L, F, Y, out)

    def jac(self, local: FloatArray, F: FloatArray, Y: FloatArray, out: FloatArray) -> None:
        """Write derivatives (K, m p + s, B)."""
        U, n = np.empty_like(Y), self._n_coef
        B, L, inverse = self._numbers(local)
        plain = self.shape.name == "full"
        J = np.empty((n + n_entries(self.size), Y.shape[1]))
        for k, own in enumerate(out):
            normal.jacobian(B[k], L[k], inverse[k], F, Y, U, own if plain else J)
            if not plain:
                own[:n] = J[:n]
                own[n:] = self._embedding.T @ J[n:]

    def pull(self, local: FloatArray, F: FloatArray, Y: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        """Add weighted sums of the derivatives to out (K, m p + s)."""
        B, L, _ = self._numbers(local)
        cross, square = self._moments(B, L, F, Y, weights)
        self._add_slopes(L, cross, square, weights.sum(axis=1), out)

    def curv(self, local: FloatArray, F: FloatArray, Y: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        """Add weighted sums of the second derivatives to out (K, q, q)."""
        n, p = self._n_coef, self.n_features
        B, L, inverse = self._numbers(local)
        cross, square = self._moments(B, L, F, Y, weights)
        gram = np.zeros((len(out), p, p))
        for own, weight in zip(gram, weights, strict=True):
            weighted_gram(weight, F, 1.0, 0, own)
        coef, mixed, chol = _bends(L, inverse, cross, square, gram)
        mixed = mixed @ self._embedding
        out[:, :n, :n] += coef
        out[:, :n, n:] += mixed
        out[:, n:, :n] += mixed.swapaxes(-1, -2)
        out[:, n:, n:] += self._embedding.T @ chol @ self._embedding

    def _moments(
        self, B: FloatArray, L: FloatArray, F: FloatArray, Y: FloatArray, weights: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """sum w u f' (K, m, p) and sum w u u' (K, m, m) of the whitened residuals u."""
        cross, square = np.zeros_like(B), np.zeros_like(L)
        normal.moments(B, L, F, Y, weights, cross, square)
        return cross, square

    def _add_slopes(
        self, L: FloatArray, cross: FloatArray, square: FloatArray, mass: FloatArray, out: FloatArray
    ) -> None:
        """Add the scores (K, m p + s) that the sums of whitened residuals give; the sums are used up."""
        n = self._n_coef
        score = np.empty((len(out), n + n_entries(self.size)))
        normal.slopes(L, cross, square, mass, score)
        out[:, :n] += score[:, :n]
        out[:, n:] += score[:, n:] if self.shape.name == "full" else score[:, n:] @ self._embedding

    # ------------------------------------------------------------------------------- M-step
    def residual_moments(
        self, local: FloatArray, F: FloatArray, Y: FloatArray, weights: FloatArray, out: FloatArray
    ) -> None:
        """Add weighted sums of residuals times features, and of products of residuals, to the last columns of out."""
        B, (i, j) = self.coefficients(local), lower_indices(self.size)
        white = np.broadcast_to(np.eye(self.size), (len(B), self.size, self.size)).copy()
        cross, square = self._moments(B, white, F, Y, weights)
        last = out[:, -(self._n_coef + i.size) :]
        last[:, : self._n_coef] += cross.reshape(len(B), -1)
        last[:, self._n_coef :] += square[:, i, j]

    def split(self, moments: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same sums (K, m, p) and (K, m, m), of rows of moments."""
        last = moments[:, -(self._n_coef + n_entries(self.size)) :]
        cross = np.ascontiguousarray(last[:, : self._n_coef]).reshape(-1, self.size, self.n_features)
        return cross, matrices(last[:, self._n_coef :])

    def score(self, local: FloatArray, cross: FloatArray, square: FloatArray, mass: FloatArray) -> FloatArray:
        """Scores (K, m p + s), of the sums of residuals: (K, m, p), (K, m, m) and weights (K,)."""
        L = self.factors(local)
        inverse = np.linalg.inv(L)
        out = np.zeros((len(L), self._n_coef + self._embedding.shape[1]))
        self._add_slopes(L, inverse @ cross, inverse @ square @ inverse.swapaxes(-1, -2), mass, out)
        return out


def _bends(
    L: FloatArray, inverse: FloatArray, cross: FloatArray, square: FloatArray, gram: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Second derivatives of K laws: in B (K, m p, m p), in B and the log-Cholesky numbers, in these alone."""
    K, m, p = cross.shape
    turned = inverse.swapaxes(-1, -2)
    precision, T, C = turned @ inverse, turned @ square, turned @ cross
    i, j = lower_indices(m)
    chain = np.where(i == j, L[:, i, j], 1.0)  # d L_ij in its log-Cholesky number
    coef = -(precision[:, :, None, :, None] * gram[:, None, :, None, :]).reshape(K, m * p, m * p)
    # d(L^{-T} u) = -L^{-T} dL' L^{-T} u - precision dL u
    c, g = C.swapaxes(-1, -2)[:, None], cross.swapaxes(-1, -2)[:, None]
    mixed = -(turned[:, :, None, j] * c[..., i] + precision[:, :, None, i] * g[..., j])
    a, b = i[:, None], j[:, None]
    chol = -(turned[:, a, j] * T[:, i, b] + precision[:, a, i] * square[:, j, b] + inverse[:, b, i] * T[:, a, j])
    chol = chol * chain[:, None] * chain[:, :, None]
    on = np.flatnonzero(i == j)
    chol[:, on, on] += chain[:, on] * T[:, i[on], j[on]]
    return coef, mixed.reshape(K, m * p, -1) * chain[:, None], chol
