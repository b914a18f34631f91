"""Gaussian experts whose means are no straight lines.

    m_k(x) = b_k + sum_u sum_{q <= p} a_kuq x_u^q                polynomial
    m_k(x) = s_k act(a_k' x + b_k)                               an activation by name, and its scale

Linear and polynomial means interact with the softmax gate, which slows their rates down; means through tanh or
sigmoid are strongly identifiable, and have faster ones                [Nguyen, Ho and Rinaldo 2024, arXiv 2402.02952;
s_k relu(a_k' x + b_k) is the ReLU expert of Nguyen, Doan, Pham, Bui, Ho and Rinaldo 2025, arXiv 2505.10860].

A polynomial is linear in the powers of the covariates, so its M-step stays least squares. A mean through an
activation takes Newton steps. Some of its parameters are not identified: relu(t z) = t relu(z) for t > 0 leaves the
length of (a, b) and s only their product, so s is kept at 1 or -1; and of an odd activation the signs, so s > 0. At
the kink of ReLU slope and curvature are zero; a maximum may lie on one, where no gradient is zero, and the
certificate then says that it found none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import comb
from typing import Any, ClassVar

import numpy as np

from moestat.activations import ACTIVATIONS
from moestat.component import Dims
from moestat.coordinates import Affine, ColumnMap
from moestat.data import Block, Schema
from moestat.errors import InputError
from moestat.experts.gaussian import LOG_2PI, START_VARIANCE, Gaussian
from moestat.kernels.activations import differentiate
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters, shared_columns, slot_of
from moestat.typing import FloatArray, IntArray

#: Forms of the mean, by name; `identity` would be a linear mean with a parameter too many.
FORMS = ("linear", "polynomial", *(name for name in ACTIVATIONS if name != "identity"))

HIGHEST_DEGREE = 20

#: Where starts look for the bend of an activation: steepness per standard deviation of the linear fit, and place.
STEEPNESS = (0.5, 1.5, 4.0)
PLACES = (-1.5, -0.75, 0.0, 0.75, 1.5)


def class_of(form: object) -> type[Gaussian]:
    """The class of Gaussian experts with this form of the mean."""
    if form == "polynomial":
        return PolynomialGaussian
    return ActivatedGaussian if form in FORMS and form != "linear" else Gaussian


# --------------------------------------------------------------------------------------- polynomials
@parameters
class PolynomialParams:
    """intercepts (K,), slopes (K, d), coefficients of higher powers (K, d, p - 1); variances (K,) or one for all."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    powers: FloatArray = axes("expert", "feature", "power")
    variances: FloatArray = axes("expert", support=POSITIVE, label="variance")


@dataclass(frozen=True, repr=False)
class PolynomialGaussian(Gaussian):
    """Normal law whose mean is a sum of powers of each covariate."""

    form: str = "polynomial"

    mixable: ClassVar[bool] = False

    def _check_form(self) -> None:
        whole = isinstance(self.degree, int) and not isinstance(self.degree, bool)
        if not whole or not 2 <= self.degree <= HIGHEST_DEGREE:
            raise InputError(
                f"degree must be a whole number from 2 to {HIGHEST_DEGREE} (form='linear' is of degree 1); "
                f"got {self.degree!r}."
            )

    @property
    def _field(self) -> str:
        return "variances"

    def layout(self, dims: Dims) -> Layout:
        sizes = {"expert": dims.n_experts, "feature": dims.n_features, "power": self.degree - 1}
        return layout_of(PolynomialParams, sizes, variances=_variances(self, sizes))

    def columns(self, layout: Layout) -> IntArray:
        coefficients = (layout.index(name) for name in ("intercepts", "slopes", "powers"))
        return own_columns(*coefficients, _variance_columns(self, layout))

    def predictors(self, layout: Layout) -> IntArray:
        return np.zeros((0, 0), dtype=np.int64)

    def features(self, block: Block) -> FloatArray:
        """Ones, covariates, then the higher powers of each."""
        x = block.X[1:]
        higher = [one**q for one in x for q in range(2, self.degree + 1)]
        return np.vstack([block.X, *higher])

    def rescale(self, params: PolynomialParams, covariates: ColumnMap, response: Affine) -> PolynomialParams:
        assert isinstance(covariates, Affine)
        old = np.concatenate([params.slopes[..., None], params.powers], axis=2)
        new = np.zeros_like(old)
        intercepts = params.intercepts.copy()
        m, s = covariates.location, covariates.scale  # x = m + s * new
        for q in range(1, self.degree + 1):
            intercepts = intercepts + old[..., q - 1] @ m**q
            for r in range(1, q + 1):
                new[..., r - 1] += old[..., q - 1] * comb(q, r) * m ** (q - r) * s**r
        unit = response.scale[0]
        return replace(
            params,
            intercepts=(intercepts - response.location[0]) / unit,
            slopes=new[..., 0] / unit,
            powers=new[..., 1:] / unit,
            variances=params.variances / unit / unit,
        )


# --------------------------------------------------------------------------------------- activations
@parameters
class ActivatedParams:
    """intercepts b (K,), slopes a (K, d), scales s (K,), and variances (K,) or one for all."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    scales: FloatArray = axes("expert", label="scale")
    variances: FloatArray = axes("expert", support=POSITIVE, label="variance")


@dataclass(frozen=True, repr=False)
class ActivatedGaussian(Gaussian):
    """Normal law whose mean is a scale times the activation of a linear predictor."""

    form: str = "tanh"

    closed_form: ClassVar[bool] = False
    shifts_response: ClassVar[bool] = False

    def _check_form(self) -> None:
        pass

    @property
    def _field(self) -> str:
        return "variances"

    def layout(self, dims: Dims) -> Layout:
        sizes = {"expert": dims.n_experts, "feature": dims.n_features}
        return layout_of(ActivatedParams, sizes, variances=_variances(self, sizes))

    def columns(self, layout: Layout) -> IntArray:
        own = (layout.index(name) for name in ("intercepts", "slopes", "scales"))
        return own_columns(*own, _variance_columns(self, layout))

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
    def _activated(self, local: FloatArray, block: Block) -> FloatArray:
        """act, act' and act'' of the linear predictors, (3, K, B)."""
        out = np.empty((3, len(local), block.weight.size))
        predictors = local[:, :-2] @ block.X
        for k, z in enumerate(predictors):
            differentiate(ACTIVATIONS[self.form].code, z, out[0, k], out[1, k], out[2, k])
        return out

    def _parts(self, local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """act and its derivatives (3, K, B), scales and precisions (K, 1), residuals (K, B)."""
        g, scale = self._activated(local, block), local[:, -2:-1]
        return g, scale, np.exp(-local[:, -1:]), block.Y[0] - block.offset - scale * g[0]

    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _, _, unit, gap = self._parts(local, block)
        out[:] = -0.5 * (LOG_2PI + local[:, -1:] + unit * gap * gap)

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        g, scale, unit, gap = self._parts(local, block)
        pull = unit * gap
        out[:, :-2] = (pull * scale * g[1])[:, None] * block.X
        out[:, -2] = pull * g[0]
        out[:, -1] = 0.5 * (pull * gap - 1.0)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        g, scale, unit, gap = self._parts(local, block)
        pull = weights * unit * gap
        out[:, :-2] += (pull * scale * g[1]) @ block.X.T
        out[:, -2] += (pull * g[0]).sum(axis=1)
        out[:, -1] += 0.5 * (pull * gap - weights).sum(axis=1)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        g, scale, unit, gap = self._parts(local, block)
        c = weights * unit
        bend = c * scale * (gap * g[2] - scale * g[1] * g[1])
        twist = (c * g[1] * (gap - scale * g[0])) @ block.X.T
        fall = -(c * scale * gap * g[1]) @ block.X.T
        for k, own in enumerate(bend):
            out[k, :-2, :-2] += (block.X * own) @ block.X.T
        out[:, :-2, -2] += twist
        out[:, -2, :-2] += twist
        out[:, :-2, -1] += fall
        out[:, -1, :-2] += fall
        out[:, -2, -2] -= (c * g[0] * g[0]).sum(axis=1)
        cross = (c * gap * g[0]).sum(axis=1)
        out[:, -2, -1] -= cross
        out[:, -1, -2] -= cross
        out[:, -1, -1] -= 0.5 * (c * gap * gap).sum(axis=1)

    # ------------------------------------------------------------------------------- start
    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        """Along each expert's least-squares slope, the best of a few bends."""
        y, total = block.Y[0] - block.offset, block.weight.sum()
        spread = block.weight @ (y - block.weight @ y / total) ** 2 / total or 1.0
        local = np.empty((len(resp), len(block.X) + 2))
        for k, weight in enumerate(resp):
            local[k] = self._best_bend(block.X, y, weight)
            local[k, -1] = max(local[k, -1] / max(weight.sum(), 1e-300), START_VARIANCE * spread)
        return self._started(layout, local)

    def _best_bend(self, X: FloatArray, y: FloatArray, weight: FloatArray) -> FloatArray:
        """Intercept, slopes, scale and sum of squares (1 + d + 2,)."""
        root = np.sqrt(weight)
        slopes = np.linalg.lstsq((X * root).T, root * y, rcond=1e-7)[0][1:]
        along = slopes @ X[1:]
        mass = max(weight.sum(), 1e-300)
        centre = weight @ along / mass
        sd = np.sqrt(weight @ (along - centre) ** 2 / mass) or 1.0
        best = np.append(np.zeros(len(X) + 1), np.inf)
        value, slope, bend = np.empty((3, y.size))
        for steep in (*STEEPNESS, *(-one for one in STEEPNESS)):
            for place in PLACES:
                coef = steep / sd * np.concatenate([[-centre - place * sd], slopes])
                differentiate(ACTIVATIONS[self.form].code, coef @ X, value, slope, bend)
                size = weight @ value**2
                scale = weight @ (value * y) / size if size > 0 else 0.0
                rss = weight @ (y - scale * value) ** 2
                if rss < best[-1]:
                    best = np.concatenate([coef, [scale or 1.0, rss]])
        return best

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        return np.asarray(local[:, -2:-1] * self._activated(local, block)[0] + block.offset)

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        g = self._activated(local, block)
        out = np.zeros((*local.shape, block.weight.size))
        out[:, :-2] = (local[:, -2:-1] * g[1])[:, None] * block.X
        out[:, -2] = g[0]
        return out


# --------------------------------------------------------------------------------------- variances of both
def _variances(expert: Gaussian, sizes: dict[str, int]) -> Any:
    own = ("expert",) if expert.variance == "own" else ()
    return slot_of(sizes, *own, support=POSITIVE, label="variance")


def _variance_columns(expert: Gaussian, layout: Layout) -> IntArray:
    index, K = layout.index("variances"), layout.index("intercepts").size
    return index if expert.variance == "own" else shared_columns(K, index)
