"""Gaussian expert whose mean is a scale times an activation of a linear predictor.

    f_k(y | x) = N(y; s_k act(a_k' x + b_k), sigma_k^2)

The M-step takes Newton steps. Some parameters are not identified: relu(t z) = t relu(z) for t > 0 leaves the
length of (a, b) and s only their product, so s is kept at 1 or -1; and of an odd activation the signs, so s > 0. At
the kink of ReLU slope and curvature are zero; a maximum may lie on one, where no gradient is zero, and the
certificate then says that it found none.

With the residual e = y - offset - s g, the activation's value g and derivatives g', g'', and tau = 1 / sigma^2, the
derivatives of log f in (a, b), s and log sigma^2 are

    tau e s g' x,   tau e g,   (tau e^2 - 1) / 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp
from typing import Any, ClassVar

import numpy as np

from moestat.activations import ACTIVATIONS
from moestat.component import Dims
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.experts.bends import curve, fit_bend
from moestat.experts.curved import CurvedGaussian
from moestat.experts.gaussian import LOG_2PI, START_VARIANCE
from moestat.kernels import jit
from moestat.kernels.activations import activate, differentiate
from moestat.kernels.linear import linear_predictor, row_dots, weighted_gram
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters
from moestat.typing import FloatArray, IntArray


@parameters
class ActivatedParams:
    """intercepts b (K,), slopes a (K, d), scales s (K,), and variances (K,) or one for all."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    scales: FloatArray = axes("expert", label="scale")
    variances: FloatArray = axes("expert", support=POSITIVE, label="variance")


@dataclass(frozen=True, repr=False)
class ActivatedGaussian(CurvedGaussian):
    """Normal law whose mean is a scale times the activation of a linear predictor."""

    form: str = "tanh"

    closed_form: ClassVar[bool] = False
    shifts_response: ClassVar[bool] = False
    drifts: ClassVar[bool] = True  # s act(a'x + b) tends to a line, or an exponential, as s grows and (a, b) shrinks

    def _check_form(self) -> None:
        self._check_no_degree()

    @property
    def smooth(self) -> bool:  # type: ignore[override]
        return ACTIVATIONS[self.form].smooth

    def layout(self, dims: Dims) -> Layout:
        sizes = {"expert": dims.n_experts, "feature": dims.n_features}
        return layout_of(ActivatedParams, sizes, variances=self._variances(sizes))

    def columns(self, layout: Layout) -> IntArray:
        own = (layout.index(name) for name in ("intercepts", "slopes", "scales"))
        return own_columns(*own, self._variance_columns(layout))

    def predictors(self, layout: Layout) -> IntArray:
        return own_columns(layout.index("intercepts"), layout.index("slopes"))

    def rescale(self, params: ActivatedParams, covariates: ColumnMap, response: Affine) -> ActivatedParams:
        unit = response.scale[0]
        inner, outer = (unit, 1.0) if self._homogeneous else (1.0, unit)  # scales that are 1 or -1 stay so
        return replace(
            params,
            slopes=covariates.slopes(params.slopes) / inner,
            intercepts=(params.intercepts + covariates.gain(params.slopes)) / inner,
            scales=params.scales / outer,
            variances=params.variances / unit / unit,
        )

    # ------------------------------------------------------------------------------- what is not identified
    @property
    def _homogeneous(self) -> bool:
        return ACTIVATIONS[self.form].homogeneous

    def canonical(self, layout: Layout, theta: FloatArray) -> FloatArray:
        out = theta.copy()
        inner, scales = self.predictors(layout), layout.index("scales")
        if self._homogeneous:
            length = np.abs(theta[scales])
            known = length > 0
            out[inner[known]] *= length[known, None]
            out[scales[known]] = np.sign(theta[scales[known]])
        elif ACTIVATIONS[self.form].odd_about == 0.0:
            sign = np.where(theta[scales] < 0, -1.0, 1.0)
            out[inner] *= sign[:, None]
            out[scales] *= sign
        return out

    def invariances(self, layout: Layout, theta: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
        if not self._homogeneous:
            return super().invariances(layout, theta)
        inner, scales = self.predictors(layout), layout.index("scales")
        directions = np.zeros((len(inner), layout.size))
        for direction, own, scale in zip(directions, inner, scales, strict=True):
            direction[own] = theta[own]
            direction[scale] = -theta[scale]
        return directions, tuple(
            f"a factor shared by the slopes and the scale of expert {k + 1}" for k in range(len(inner))
        )

    def pinned(self, layout: Layout) -> IntArray:
        return layout.index("scales") if self._homogeneous else np.zeros(0, dtype=np.int64)

    # ------------------------------------------------------------------------------- density
    @property
    def _code(self) -> int:
        return ACTIVATIONS[self.form].code

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _value(self._code, local, block.X, block.Y[0], block.offset, out)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        _jac(self._code, local, block.X, block.Y[0], block.offset, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _pull(self._code, local, block.X, block.Y[0], block.offset, weights, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        _curv(self._code, local, block.X, block.Y[0], block.offset, weights, out)

    # ------------------------------------------------------------------------------- start
    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        y, total = block.Y[0] - block.offset, block.weight.sum()
        spread = block.weight @ (y - block.weight @ y / total) ** 2 / total or 1.0
        local = np.empty((len(resp), len(block.X) + 2))
        for k, weight in enumerate(resp):
            local[k, :-1], rss = fit_bend(ACTIVATIONS[self.form], block.X, y, weight)
            local[k, -1] = max(rss / max(weight.sum(), 1e-300), START_VARIANCE * spread)
        return self._started(layout, local)

    def start_residuals(self, block: Block, share: FloatArray) -> FloatArray:
        y, kind = block.Y[0] - block.offset, ACTIVATIONS[self.form]
        out = np.full(share.shape, np.inf)
        for own, weight in zip(out, share, strict=True):
            if weight.any():
                own[:] = (y - curve(kind, fit_bend(kind, block.X, y, weight)[0], block.X)) ** 2
        return out

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.empty((len(local), block.weight.size))
        linear_predictor(local, block.X, out)
        for row in out:
            activate(self._code, row, row)
        return np.asarray(local[:, -2:-1] * out + block.offset)

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.empty((*local.shape, block.weight.size))
        _mean_jac(self._code, local, block.X, out)
        return out

    def mean_curv(self, local: FloatArray, block: Block, weights: FloatArray, out: FloatArray) -> None:
        _mean_curv(self._code, local, block.X, weights, out)


# --------------------------------------------------------------------------------------- kernels
# local parameters of an expert: intercept, slopes, scale, log variance


@jit
def _parts(
    code: int,
    coef: FloatArray,
    X: FloatArray,
    y: FloatArray,
    offset: FloatArray,
    g: FloatArray,
    gap: FloatArray,
) -> None:
    """Value, slope and curvature of the activation, g (3, B), and residuals, gap (1, B), of one expert, coef (1, q)."""
    linear_predictor(coef, X, gap)
    e = gap[0]
    differentiate(code, e, g[0], g[1], g[2])
    v = g[0]
    scale = coef[0, X.shape[0]]
    for j in range(e.size):
        e[j] = y[j] - offset[j] - scale * v[j]


@jit
def _value(code: int, local: FloatArray, X: FloatArray, y: FloatArray, offset: FloatArray, V: FloatArray) -> None:
    p = X.shape[0]
    linear_predictor(local, X, V)
    for k in range(V.shape[0]):
        v = V[k]
        activate(code, v, v)
        scale = local[k, p]
        top = -0.5 * (local[k, p + 1] + LOG_2PI)
        half = 0.5 * exp(-local[k, p + 1])
        for j in range(v.size):
            t = y[j] - offset[j] - scale * v[j]
            v[j] = top - half * t * t


@jit
def _jac(code: int, local: FloatArray, X: FloatArray, y: FloatArray, offset: FloatArray, J: FloatArray) -> None:
    p, B = X.shape
    g = np.empty((3, B))
    for k in range(local.shape[0]):
        # the residuals go where the derivative in the log variance belongs
        _parts(code, local[k : k + 1], X, y, offset, g, J[k, p + 1 :])
        scale = local[k, p]
        unit = exp(-local[k, p + 1])
        e = J[k, p + 1]
        v = J[k, p]
        slope = g[1]
        for j in range(B):
            t = unit * e[j]
            v[j] = t * g[0, j]
            slope[j] *= t * scale
            e[j] = 0.5 * (t * e[j] - 1.0)
        for u in range(p):
            x = X[u]
            o = J[k, u]
            for j in range(B):
                o[j] = slope[j] * x[j]


@jit
def _pull(
    code: int, local: FloatArray, X: FloatArray, y: FloatArray, offset: FloatArray, c: FloatArray, out: FloatArray
) -> None:
    p, B = X.shape
    g = np.empty((3, B))
    gap = np.empty((1, B))
    e = gap[0]
    for k in range(local.shape[0]):
        _parts(code, local[k : k + 1], X, y, offset, g, gap)
        scale = local[k, p]
        unit = exp(-local[k, p + 1])
        ck = c[k]
        v = g[0]
        slope = g[1]
        by_scale = 0.0
        square = 0.0
        mass = 0.0
        for j in range(B):
            t = unit * ck[j] * e[j]
            by_scale += t * v[j]
            square += t * e[j]
            mass += ck[j]
            slope[j] *= t * scale
        row_dots(slope, X, out[k])
        out[k, p] += by_scale
        out[k, p + 1] += 0.5 * (square - mass)


@jit
def _curv(
    code: int, local: FloatArray, X: FloatArray, y: FloatArray, offset: FloatArray, c: FloatArray, out: FloatArray
) -> None:
    p, B = X.shape
    g = np.empty((3, B))
    gap = np.empty((1, B))
    e = gap[0]
    by_scale = np.empty(p)
    by_variance = np.empty(p)
    for k in range(local.shape[0]):
        _parts(code, local[k : k + 1], X, y, offset, g, gap)
        scale = local[k, p]
        unit = exp(-local[k, p + 1])
        ck = c[k]
        v = g[0]
        slope = g[1]
        bend = g[2]
        own = 0.0
        cross = 0.0
        square = 0.0
        for j in range(B):
            w = unit * ck[j]
            t = e[j]
            a = v[j]
            b = slope[j]
            own += w * a * a
            cross += w * t * a
            square += w * t * t
            bend[j] = w * scale * (t * bend[j] - scale * b * b)
            slope[j] = w * b * (t - scale * a)
            e[j] = w * scale * t * b
        weighted_gram(bend, X, 1.0, 0, out[k])
        by_scale[:] = 0.0
        by_variance[:] = 0.0
        row_dots(slope, X, by_scale)
        row_dots(e, X, by_variance)
        for u in range(p):
            out[k, u, p] += by_scale[u]
            out[k, p, u] += by_scale[u]
            out[k, u, p + 1] -= by_variance[u]
            out[k, p + 1, u] -= by_variance[u]
        out[k, p, p] -= own
        out[k, p, p + 1] -= cross
        out[k, p + 1, p] -= cross
        out[k, p + 1, p + 1] -= 0.5 * square


@jit
def _mean_jac(code: int, local: FloatArray, X: FloatArray, J: FloatArray) -> None:
    """Derivatives (K, q, B) of the means in the local parameters."""
    p, B = X.shape
    slope = np.empty(B)
    for k in range(local.shape[0]):
        linear_predictor(local[k : k + 1], X, J[k, p : p + 1])
        # the curvature, which nobody asks for, is overwritten
        differentiate(code, J[k, p], J[k, p], slope, J[k, p + 1])
        scale = local[k, p]
        for u in range(p):
            x = X[u]
            o = J[k, u]
            for j in range(B):
                o[j] = scale * slope[j] * x[j]
        o = J[k, p + 1]
        for j in range(B):
            o[j] = 0.0


@jit
def _mean_curv(code: int, local: FloatArray, X: FloatArray, c: FloatArray, out: FloatArray) -> None:
    """Second derivatives of the means, summed with weights c (K, B): in slopes, and in slopes and scale."""
    p, B = X.shape
    predictor, value, slope, bend = np.empty((1, B)), np.empty(B), np.empty(B), np.empty(B)
    by_scale = np.empty(p)
    for k in range(local.shape[0]):
        ck = c[k]
        scale = local[k, p]
        linear_predictor(local[k : k + 1], X, predictor)
        differentiate(code, predictor[0], value, slope, bend)
        for j in range(B):
            bend[j] *= scale * ck[j]
            slope[j] *= ck[j]
        weighted_gram(bend, X, 1.0, 0, out[k])
        by_scale[:] = 0.0
        row_dots(slope, X, by_scale)
        for u in range(p):
            out[k, u, p] += by_scale[u]
            out[k, p, u] += by_scale[u]
