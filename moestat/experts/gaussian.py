"""Gaussian expert.

    f_k(y | x) = N(y; a_k' x + b_k, sigma_k^2)        [Jacobs et al. 1991; Jordan and Jacobs 1994]

The mean here is linear; `moestat.experts.means` has others. Variances are maximum-likelihood variances (divided by the
number of rows, not by degrees of freedom).
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
from moestat.experts.least_squares import ill_conditioned, solve, solve_factored, unpack
from moestat.kernels import jit
from moestat.kernels.disjoint import load, store
from moestat.kernels.linear import STRIP, add_dots, add_weighted_products, linear_predictor, predict, unpack_lower
from moestat.law import LOG_VARIANCE, MEAN, Law, LinearPredictor
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters, shared_columns
from moestat.spelling import suggestion
from moestat.typing import FloatArray, IntArray

LOG_2PI = log(2 * pi)

#: Degree of a polynomial mean when nothing is said.
DEGREE = 2

#: Smallest variance, as a share of the response's variance: below it an expert describes a spike, not data.
VARIANCE_FLOOR = 1e-10

#: The same for a single expert, which has no rows to choose from: below it scores are rounding.
ROUNDING_FLOOR = 1e-14

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


@dataclass(frozen=True, repr=False)
class Gaussian(Expert):
    """Normal law.

    Parameters
    ----------
    variance : {"own", "common"}
        One variance per expert, or one for all.
    form : str
        Of the mean: ``"linear"``; ``"polynomial"``, a sum of powers of each covariate; or the name of an activation
        such as ``"tanh"``, ``"sigmoid"``, ``"gelu"``, ``"relu"``: a scale times the activation of a linear predictor.
    degree : int
        Highest power of a polynomial mean; of no other.
    """

    variance: str = "own"
    form: str = "linear"
    degree: int = DEGREE

    name: ClassVar[str] = "gaussian"
    equivariant: ClassVar[bool] = True
    mixable: ClassVar[bool] = True
    scales_response: ClassVar[bool] = True
    accepts_offset: ClassVar[bool] = True
    closed_form: ClassVar[bool] = True
    has_cdf: ClassVar[bool] = True

    def __new__(cls, variance: str = "own", form: str = "linear", degree: int = DEGREE) -> Gaussian:
        from moestat.experts.means import class_of  # which are Gaussians themselves

        # other means are other maps, with parameters of their own
        return object.__new__(class_of(form) if cls is Gaussian else cls)

    def __getnewargs__(self) -> tuple[str, str, int]:
        return self.variance, self.form, self.degree

    def __repr__(self) -> str:
        form = "" if self.form == "linear" else f", form={self.form!r}"
        degree = f", degree={self.degree}" if self.form == "polynomial" else ""
        return f"Gaussian(variance={self.variance!r}{form}{degree})"

    def _check_form(self) -> None:
        """Refuse what is not the form of this class: a name that is none of the forms'."""
        from moestat.experts.means import FORMS

        if self.form != "linear":
            near = suggestion(self.form, FORMS) if isinstance(self.form, str) else ""
            raise InputError(f"form must be one of {list(FORMS)}; got {self.form!r}.{near}")
        self._check_no_degree()

    def _check_no_degree(self) -> None:
        if self.degree != DEGREE:
            raise InputError(
                f"degree belongs to form='polynomial'; got degree={self.degree!r} with form={self.form!r}. Write "
                f"form='polynomial', degree={self.degree!r}, or leave degree out."
            )

    def __post_init__(self) -> None:
        self._check_form()
        if self.variance not in ("own", "common"):
            raise InputError(f"variance must be 'own' or 'common'; got {self.variance!r}.")

    @property
    def _field(self) -> str:
        return "variances" if self.variance == "own" else "variance"

    @property
    def spreads(self) -> tuple[str, ...]:
        return (self._field,)

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
    def predictor_laws(self, layout: Layout) -> list[Law] | None:
        if self.form != "linear":
            return None
        means = own_columns(layout.index("intercepts"), layout.index("slopes"))
        spread = np.broadcast_to(layout.index(self._field), len(means))
        return [
            Law(_law, (LinearPredictor(mean, MEAN), LinearPredictor(own[None], LOG_VARIANCE)), normal=True)
            for mean, own in zip(means, spread, strict=True)
        ]

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _value(local, self.features(block), block.Y, block.offset, out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        _jac(local, self.features(block), block.Y, block.offset, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _curv(local, self.features(block), block.Y, block.offset, weights, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _pull(local, self.features(block), block.Y, block.offset, weights, out)

    # ------------------------------------------------------------------------------- M-step
    def features(self, block: Block) -> FloatArray:
        """What the mean is linear in."""
        return block.X

    def residual_moments(self, local: FloatArray, block: Block, resp: FloatArray, out: FloatArray) -> None:
        _residual_moments(local, self.features(block), block.Y, block.offset, resp, out)

    def ill_conditioned(self, local: FloatArray, moments: FloatArray) -> bool:
        return ill_conditioned(moments, local.shape[1] - 1)

    def least_squares_rows(self, local: FloatArray, block: Block) -> FloatArray:
        K, p = local.shape[0], local.shape[1] - 1
        F, rows = self.features(block), np.empty((K, p + 1, block.weight.size))
        for k in range(K):
            rows[k, :p] = F
            _residuals(local[k : k + 1], F, block.Y[0], block.offset, rows[k, p])
        return rows

    def m_step(
        self, local: FloatArray, moments: FloatArray, factors: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        p = local.shape[1] - 1
        new, score = local.copy(), np.zeros_like(local)
        rss, mass = np.zeros(len(local)), np.zeros(len(local))
        for k, row in enumerate(moments):
            gram, cross, square = unpack(row, p)
            unit = exp(-local[k, p])
            score[k, :p], score[k, p] = unit * cross, 0.5 * (unit * square - gram[0, 0])
            mass[k] = gram[0, 0]
            if factors is None:
                step = solve(gram, cross)
                rss[k] = max(float(square - step @ cross), 0.0)
            else:
                step = solve_factored(factors[k, :p, :p], factors[k, :p, p])
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
        F = self.features(block)
        local = np.empty((len(resp), len(F) + 1))
        for k, weight in enumerate(resp):
            root = np.sqrt(weight)
            coef = local[k, :-1] = np.linalg.lstsq((F * root).T, root * y, rcond=1e-7)[0]
            rss = weight @ (y - coef @ F) ** 2
            local[k, -1] = max(rss / max(weight.sum(), 1e-300), START_VARIANCE * spread)
        return self._started(layout, local)

    def _started(self, layout: Layout, local: FloatArray) -> Any:
        """Record of local parameters (K, q) whose last one is the variance itself."""
        if self.variance == "common":
            local[:, -1] = local[:, -1].mean()
        theta = np.empty(layout.size)
        theta[self.columns(layout)] = np.column_stack([local[:, :-1], np.log(local[:, -1])])
        return layout.unpack(theta)

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.empty((local.shape[0], block.weight.size))
        linear_predictor(local, self.features(block), out)
        return out + block.offset

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.zeros((*local.shape, block.weight.size))
        out[:, :-1] = self.features(block)
        return out

    def cdf(self, local: FloatArray, block: Block, y: FloatArray) -> FloatArray:
        return np.asarray(ndtr((y - self.mean(local, block)) * np.exp(-0.5 * local[:, -1:])))

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        mean = np.take_along_axis(self.mean(local, block), chosen[None], axis=0)
        sd = np.exp(0.5 * local[chosen, -1])
        return np.asarray(mean + sd * rng.standard_normal(chosen.size))


# --------------------------------------------------------------------------------------- kernels
# local parameters of an expert: intercept, slopes, log variance


@jit
def _residuals(local: FloatArray, X: FloatArray, y: FloatArray, offset: FloatArray, out: FloatArray) -> None:
    """out (B,) = y - offset - coef' X of one expert, local (1, q)."""
    predict(local, X, 0, out.size, out.reshape(1, out.size), 0)
    for j in range(out.size):
        out[j] = y[j] - offset[j] - out[j]


@jit
def _value(local: FloatArray, X: FloatArray, Y: FloatArray, offset: FloatArray, V: FloatArray) -> None:
    p, B = X.shape
    y = Y[0]
    for first in range(0, B, STRIP):
        last = min(first + STRIP, B)
        predict(local, X, first, last, V, first)
        z = y[first:last]
        known = offset[first:last]
        for k in range(V.shape[0]):
            v = V[k, first:last]
            top = -0.5 * (local[k, p] + LOG_2PI)
            half = 0.5 * exp(-local[k, p])
            for j in range(v.size):
                e = z[j] - known[j] - v[j]
                v[j] = top - half * e * e


@jit
def _jac(local: FloatArray, X: FloatArray, Y: FloatArray, offset: FloatArray, J: FloatArray) -> None:
    p, B = X.shape
    for k in range(local.shape[0]):
        e = J[k, 0]
        s = J[k, p]
        unit = exp(-local[k, p])
        _residuals(local[k : k + 1], X, Y[0], offset, e)
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
    p = X.shape[0]
    K = local.shape[0]
    cross = np.zeros((K, p))
    square = np.zeros(K)
    _residual_sums(local, X, Y[0], offset, c, cross, square)
    grams = np.zeros(((K + 3) // 4 * 4, (p * (p + 1) // 2 + 3) // 4 * 4))
    add_weighted_products(c, X, grams)
    for k in range(K):
        unit = exp(-local[k, p])
        unpack_lower(grams[k], p, -unit, 0, out[k])
        out[k, p, p] -= 0.5 * unit * square[k]
        for u in range(p):
            out[k, u, p] -= unit * cross[k, u]
            out[k, p, u] -= unit * cross[k, u]


@jit
def _pull(local: FloatArray, X: FloatArray, Y: FloatArray, offset: FloatArray, c: FloatArray, out: FloatArray) -> None:
    p, B = X.shape
    K = local.shape[0]
    cross = np.zeros((K, p))
    square = np.zeros(K)
    _residual_sums(local, X, Y[0], offset, c, cross, square)
    for k in range(K):
        unit = exp(-local[k, p])
        ck = c[k]
        mass = 0.0
        for j in range(B):
            mass += ck[j]
        for u in range(p):
            out[k, u] += unit * cross[k, u]
        out[k, p] += 0.5 * (unit * square[k] - mass)


@jit
def _residual_moments(
    local: FloatArray, X: FloatArray, Y: FloatArray, offset: FloatArray, resp: FloatArray, out: FloatArray
) -> None:
    """Last p + 1 columns of out (K, n + p + 1): r-weighted sums of x e and e^2, e the residuals at ``local``.

    Moments of residuals, not of y: score and M-step come out of them without cancellation.
    """
    p = X.shape[0]
    n = p * (p + 1) // 2
    _residual_sums(local, X, Y[0], offset, resp, out[:, n : n + p], out[:, n + p])


@jit
def _residual_sums(
    local: FloatArray,
    X: FloatArray,
    y: FloatArray,
    offset: FloatArray,
    c: FloatArray,
    cross: FloatArray,
    square: FloatArray,
) -> None:
    """cross (K, p) += sum c e x and square (K,) += sum c e^2 of the residuals e."""
    p, B = X.shape
    K = local.shape[0]
    E = np.empty((K, min(B, STRIP)))
    sums = np.zeros(((K + 3) // 4 * 4, (p + 3) // 4 * 4))
    for first in range(0, B, STRIP):
        last = min(first + STRIP, B)
        predict(local, X, first, last, E, 0)
        z = y[first:last]
        known = offset[first:last]
        for k in range(K):
            e = E[k]
            w = c[k, first:last]
            total = 0.0
            for j in range(w.size):
                t = load(0, z, j) - load(0, known, j) - load(1, e, j)
                s = load(0, w, j) * t
                total += s * t
                store(1, e, j, s)
            square[k] += total
        add_dots(E, K, 0, X, first, last, sums)
    for k in range(K):
        for u in range(p):
            cross[k, u] += sums[k, u]


@jit
def _law(
    settings: FloatArray,
    eta: FloatArray,
    Y: FloatArray,
    offset: FloatArray,
    order: int,
    V: FloatArray,
    G: FloatArray,
    C: FloatArray,
) -> None:
    """Of the mean and the log variance, the latter the same in all rows; see `moestat.law.Law`."""
    mean = eta[0]
    log_variance = eta[1, 0]
    unit = exp(-log_variance)
    top = -0.5 * (log_variance + LOG_2PI)
    y = Y[0]
    g = G[0]
    h = G[1]
    if order == 0:
        for j in range(V.size):
            e = load(0, y, j) - load(0, offset, j) - load(0, mean, j)
            store(1, V, j, top - 0.5 * unit * e * e)
        return
    for j in range(V.size):
        e = load(0, y, j) - load(0, offset, j) - load(0, mean, j)
        s = unit * e
        q = s * e
        store(1, V, j, top - 0.5 * q)
        store(2, g, j, s)
        store(3, h, j, 0.5 * (q - 1.0))
    if order == 1:
        return
    a = C[0]
    b = C[1]
    c = C[2]
    for j in range(V.size):
        a[j] = -unit
    for j in range(V.size):
        b[j] = -g[j]
    for j in range(V.size):
        c[j] = -h[j] - 0.5
