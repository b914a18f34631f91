"""Gaussian expert with a linear mean.

    f_k(y | x) = N(y; a_k' x + b_k, sigma_k^2)        [Jacobs et al. 1991; Jordan and Jacobs 1994, sec. 2]

Variances are maximum-likelihood variances (divided by the number of rows, not by degrees of freedom).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log, pi
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr

from moestat.component import Dims, Expert
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.kernels import jit
from moestat.kernels.linear import linear_predictor, row_dots, weighted_gram
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters, shared_columns
from moestat.typing import FloatArray, IntArray

LOG_2PI = log(2 * pi)

#: Smallest variance, as a share of the response's variance: below it an expert describes a spike, not data.
VARIANCE_FLOOR = 1e-10

#: The same for a single expert, which has no rows to choose from: below it scores are rounding.
ROUNDING_FLOOR = 1e-14

#: Smallest reciprocal condition of an expert's scaled Gram matrix that Cholesky is trusted with.
MIN_RCOND = 1e-9

#: Smallest variance a start may have, as a share of the response's variance in the sketch.
START_VARIANCE = 1e-3


@parameters
class GaussianParams:
    """slopes a (K, d), intercepts b (K,), variances sigma^2 (K,): variances, never standard deviations."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    variances: FloatArray = axes("expert", support=POSITIVE, label="variance")


@parameters
class CommonVarianceParams:
    """slopes a (K, d), intercepts b (K,) and one variance sigma^2 for all experts."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    variance: FloatArray = axes(support=POSITIVE, label="variance")


@dataclass(frozen=True)
class Gaussian(Expert):
    """Normal law with a linear mean.

    Parameters
    ----------
    variance : {"own", "common"}
        One variance per expert, or one for all.
    """

    variance: str = "own"

    name: ClassVar[str] = "gaussian"
    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True
    scales_response: ClassVar[bool] = True
    accepts_offset: ClassVar[bool] = True
    closed_form: ClassVar[bool] = True
    has_cdf: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.variance not in ("own", "common"):
            raise InputError(f"variance must be 'own' or 'common'; got {self.variance!r}.")

    @property
    def _field(self) -> str:
        return "variances" if self.variance == "own" else "variance"

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        record = GaussianParams if self.variance == "own" else CommonVarianceParams
        return layout_of(record, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout: Layout) -> IntArray:
        intercepts, variances = layout.index("intercepts"), layout.index(self._field)
        last = variances if self.variance == "own" else shared_columns(intercepts.size, variances)
        return own_columns(intercepts, layout.index("slopes"), last)

    def predictors(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("intercepts"), layout.index("slopes"))

    def lower_bounds(self, layout: Layout, spread: FloatArray, alone: bool) -> FloatArray:
        bounds = np.full(layout.size, -np.inf)
        bounds[layout.index(self._field)] = log(ROUNDING_FLOOR if alone else VARIANCE_FLOOR) + 2 * log(spread[0])
        return bounds

    def rescale(self, params: Any, covariates: ColumnMap, response: Affine) -> Any:
        unit = response.scale[0]
        means = params.intercepts + covariates.gain(params.slopes)
        return replace(
            params,
            slopes=covariates.slopes(params.slopes) / unit,
            intercepts=(means - response.location[0]) / unit,
            **{self._field: getattr(params, self._field) / unit / unit},
        )

    # ------------------------------------------------------------------------------- density
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _value(local, block.X, block.Y, block.offset, out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        _jac(local, block.X, block.Y, block.offset, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _curv(local, block.X, block.Y, block.offset, weights, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _pull(local, block.X, block.Y, block.offset, weights, out)

    # ------------------------------------------------------------------------------- M-step
    def features(self, block: Block) -> FloatArray:
        return block.X

    def residual_moments(self, local: FloatArray, block: Block, resp: FloatArray, out: FloatArray) -> None:
        _residual_moments(local, block.X, block.Y, block.offset, resp, out)

    def ill_conditioned(self, local: FloatArray, moments: FloatArray) -> bool:
        p = local.shape[1] - 1
        grams = (_unpack(row, p)[0] for row in moments)
        return any(_reciprocal_condition(gram) < MIN_RCOND for gram in grams)

    def least_squares_rows(self, local: FloatArray, block: Block) -> FloatArray:
        K, p = local.shape[0], local.shape[1] - 1
        rows = np.empty((K, p + 1, block.weight.size))
        for k in range(K):
            rows[k, :p] = block.X
            _residuals(local[k], block.X, block.Y[0], block.offset, rows[k, p])
        return rows

    def m_step(
        self, local: FloatArray, moments: FloatArray, factors: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        p = local.shape[1] - 1
        new, score = local.copy(), np.zeros_like(local)
        rss, mass = np.zeros(len(local)), np.zeros(len(local))
        for k, row in enumerate(moments):
            gram, cross, square = _unpack(row, p)
            unit = exp(-local[k, p])
            score[k, :p], score[k, p] = unit * cross, 0.5 * (unit * square - gram[0, 0])
            mass[k] = gram[0, 0]
            if factors is None:
                step = _solve_moments(gram, cross)
                rss[k] = max(float(square - step @ cross), 0.0)
            else:
                step = np.asarray(np.linalg.lstsq(factors[k, :p, :p], factors[k, :p, p], rcond=1e-14)[0])
                rss[k] = factors[k, p, p] ** 2
            new[k, :p] += step
        if self.variance == "common":
            rss[:], mass[:] = rss.sum(), mass.sum()
        known = mass > 0
        new[known, p] = np.log(np.maximum(rss[known], 1e-300) / mass[known])
        return new, score

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        y = block.Y[0] - block.offset
        total = block.weight.sum()
        spread = block.weight @ (y - block.weight @ y / total) ** 2 / total or 1.0
        coef = np.empty((len(resp), block.X.shape[0]))
        variances = np.empty(len(resp))
        for k, weight in enumerate(resp):
            root = np.sqrt(weight)
            coef[k] = np.linalg.lstsq((block.X * root).T, root * y, rcond=1e-7)[0]
            rss = weight @ (y - coef[k] @ block.X) ** 2
            variances[k] = max(rss / max(weight.sum(), 1e-300), START_VARIANCE * spread)
        variance = {"variances": variances} if self.variance == "own" else {"variance": variances.mean()}
        return layout.build(slopes=coef[:, 1:], intercepts=coef[:, 0], **variance)

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.empty((local.shape[0], block.weight.size))
        linear_predictor(local, block.X, out)
        return out + block.offset

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.zeros((*local.shape, block.weight.size))
        out[:, :-1] = block.X
        return out

    def cdf(self, local: FloatArray, block: Block, y: FloatArray) -> FloatArray:
        return np.asarray(ndtr((y - self.mean(local, block)) * np.exp(-0.5 * local[:, -1:])))

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        mean = np.take_along_axis(self.mean(local, block), chosen[None], axis=0)
        sd = np.exp(0.5 * local[chosen, -1])
        return np.asarray(mean + sd * rng.standard_normal(chosen.size))


def _unpack(row: FloatArray, p: int) -> tuple[FloatArray, FloatArray, float]:
    """Gram matrix, cross moments and square of the residuals from one row of moments."""
    n = p * (p + 1) // 2
    gram = np.empty((p, p))
    lower = np.tril_indices(p)
    gram[lower] = row[:n]
    gram.T[lower] = row[:n]
    return gram, row[n : n + p], float(row[n + p])


def _solve_moments(gram: FloatArray, cross: FloatArray) -> FloatArray:
    """Solution of gram @ step = cross; minimum norm along directions that the scaled matrix does not see."""
    scale = _equilibrate(gram)
    eigenvalues, vectors = np.linalg.eigh(gram * scale[:, None] * scale)
    kept = eigenvalues > 1e-14 * max(eigenvalues[-1], 1e-300)
    inverse = np.where(kept, 1.0 / np.where(kept, eigenvalues, 1.0), 0.0)
    return scale * (vectors @ (inverse * (vectors.T @ (scale * cross))))


def _reciprocal_condition(gram: FloatArray) -> float:
    """Of the scaled matrix, without features that are zero in every row: those lose nothing."""
    seen = np.flatnonzero(np.diag(gram) > 0)
    if not seen.size:
        return 0.0
    gram = gram[np.ix_(seen, seen)]
    scale = _equilibrate(gram)
    eigenvalues = np.linalg.eigvalsh(gram * scale[:, None] * scale)
    return float(eigenvalues[0] / eigenvalues[-1])


def _equilibrate(gram: FloatArray) -> FloatArray:
    diagonal = np.diag(gram)
    return 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))


# --------------------------------------------------------------------------------------- kernels
# local parameters of an expert: intercept, slopes, log variance


@jit
def _residuals(coef: FloatArray, X: FloatArray, y: FloatArray, offset: FloatArray, out: FloatArray) -> None:
    """out = y - offset - coef' X of one expert; coef starts with p = len(X) entries."""
    p, B = X.shape
    b = coef[0]
    for j in range(B):
        out[j] = y[j] - offset[j] - b
    u = 1
    while u + 4 <= p:
        x0 = X[u]
        x1 = X[u + 1]
        x2 = X[u + 2]
        x3 = X[u + 3]
        c0 = coef[u]
        c1 = coef[u + 1]
        c2 = coef[u + 2]
        c3 = coef[u + 3]
        for j in range(B):
            out[j] -= c0 * x0[j] + c1 * x1[j] + c2 * x2[j] + c3 * x3[j]
        u += 4
    while u < p:
        x0 = X[u]
        c0 = coef[u]
        for j in range(B):
            out[j] -= c0 * x0[j]
        u += 1


@jit
def _value(local: FloatArray, X: FloatArray, Y: FloatArray, offset: FloatArray, V: FloatArray) -> None:
    p = X.shape[0]
    for k in range(V.shape[0]):
        v = V[k]
        _residuals(local[k], X, Y[0], offset, v)
        top = -0.5 * (local[k, p] + LOG_2PI)
        half = 0.5 * exp(-local[k, p])
        for j in range(v.size):
            v[j] = top - half * v[j] * v[j]


@jit
def _jac(local: FloatArray, X: FloatArray, Y: FloatArray, offset: FloatArray, J: FloatArray) -> None:
    p, B = X.shape
    for k in range(local.shape[0]):
        e = J[k, 0]
        s = J[k, p]
        unit = exp(-local[k, p])
        _residuals(local[k], X, Y[0], offset, e)
        for j in range(B):
            s[j] = 0.5 * (e[j] * e[j] * unit - 1.0)
            e[j] *= unit
        for u in range(1, p):
            x = X[u]
            o = J[k, u]
            for j in range(B):
                o[j] = e[j] * x[j]


@jit
def _curv(local: FloatArray, X: FloatArray, Y: FloatArray, offset: FloatArray, c: FloatArray, out: FloatArray) -> None:
    p, B = X.shape
    e = np.empty(B)
    for k in range(local.shape[0]):
        unit = exp(-local[k, p])
        ck = c[k]
        _residuals(local[k], X, Y[0], offset, e)
        weighted_gram(ck, X, -unit, 0, out[k])
        square = 0.0
        for j in range(B):
            t = ck[j] * e[j]
            square += t * e[j]
            e[j] = t
        out[k, p, p] -= 0.5 * unit * square
        for u in range(p):
            x = X[u]
            s = 0.0
            for j in range(B):
                s += e[j] * x[j]
            out[k, u, p] -= unit * s
            out[k, p, u] -= unit * s


@jit
def _pull(local: FloatArray, X: FloatArray, Y: FloatArray, offset: FloatArray, c: FloatArray, out: FloatArray) -> None:
    p, B = X.shape
    e = np.empty(B)
    for k in range(local.shape[0]):
        unit = exp(-local[k, p])
        ck = c[k]
        _residuals(local[k], X, Y[0], offset, e)
        square = 0.0
        mass = 0.0
        for j in range(B):
            t = unit * ck[j] * e[j]
            square += t * e[j]
            mass += ck[j]
            e[j] = t
        row_dots(e, X, out[k])
        out[k, p] += 0.5 * (square - mass)


@jit
def _residual_moments(
    local: FloatArray, X: FloatArray, Y: FloatArray, offset: FloatArray, resp: FloatArray, out: FloatArray
) -> None:
    """Last p + 1 columns of out (K, n + p + 1): r-weighted sums of x e and e^2, e the residuals at ``local``.

    Moments of residuals, not of y: score and M-step come out of them without cancellation.
    """
    p, B = X.shape
    n = p * (p + 1) // 2
    e = np.empty(B)
    for k in range(resp.shape[0]):
        r = resp[k]
        _residuals(local[k], X, Y[0], offset, e)
        square = 0.0
        for j in range(B):
            t = r[j] * e[j]
            square += t * e[j]
            e[j] = t
        row_dots(e, X, out[k, n : n + p])
        out[k, n + p] += square
