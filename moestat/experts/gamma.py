"""Gamma expert with a logarithmic link.

    f_k(y | x) = exp(-y / (phi mu)) (y / (phi mu))^(1 / phi) / (y Gamma(1 / phi)),   log mu = a_k' x + b_k + offset

Positive responses with mean mu and variance phi mu^2: the dispersion phi = 1 / shape is the square of the
coefficient of variation.                                            [McCullagh and Nelder 1989, ch. 8]

Like a variance, the dispersion of an expert on few rows may sink to zero, and the likelihood rise without end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import log, pi
from typing import Any, ClassVar

import numpy as np
from scipy.special import digamma, gammainc, gammaln, polygamma

from moestat.component import Dims
from moestat.coordinates import Affine, ColumnMap, Coordinates
from moestat.data import Block, BlockSource, Schema
from moestat.errors import InputError
from moestat.experts.counts import check_positive
from moestat.experts.predictor import (
    PredictorExpert,
    add_grams,
    lines,
    predictor,
    rescaled,
    spread,
    standardised_response,
)
from moestat.kernels import jit
from moestat.kernels.linear import linear_predictor, pull_linear
from moestat.kernels.special import LARGEST_LOG_MEAN, excess
from moestat.kernels.vmath import vlog
from moestat.params import POSITIVE, Layout, axes, layout_of, own_columns, parameters, shared_columns
from moestat.typing import FloatArray, IntArray

#: Smallest dispersion: below it an expert describes a spike, not data.
DISPERSION_FLOOR = 1e-10

#: The same for a single expert, which has no rows to choose from: below it scores are rounding.
ROUNDING_FLOOR = 1e-14

#: Dispersions that starts may have.
START_DISPERSIONS = (1e-3, 10.0)

#: Shape beyond which series replace functions whose leading terms cancel.
LARGE_SHAPE = 50.0


@parameters
class GammaParams:
    """slopes a (K, d), intercepts b (K,) of the log mean, dispersions phi (K,): reciprocal shapes."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    dispersions: FloatArray = axes("expert", support=POSITIVE, label="dispersion")


@parameters
class CommonDispersionParams:
    """slopes a (K, d), intercepts b (K,) and one dispersion phi for all experts."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")
    dispersion: FloatArray = axes(support=POSITIVE, label="dispersion")


@dataclass(frozen=True)
class Gamma(PredictorExpert):
    """Positive responses whose standard deviation is in proportion to their log-linear mean.

    Parameters
    ----------
    dispersion : {"own", "common"}
        One dispersion (variance / mean^2 = 1 / shape) per expert, or one for all.
    """

    dispersion: str = "own"
    unit: float = field(default=1.0, repr=False, compare=False)  # of the rows' response, in the user's

    name: ClassVar[str] = "gamma"
    has_cdf: ClassVar[bool] = True
    scales_response: ClassVar[bool] = True
    shifts_response: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.dispersion not in ("own", "common"):
            raise InputError(f"dispersion must be 'own' or 'common'; got {self.dispersion!r}.")

    @property
    def _field(self) -> str:
        return "dispersions" if self.dispersion == "own" else "dispersion"

    def support(self, exposure: float | None = None) -> tuple[float, float]:
        return 0.0, np.inf

    @property
    def spreads(self) -> tuple[str, ...]:
        return (self._field,)

    def check_beside(self, source: BlockSource) -> None:
        super().check_beside(source)
        check_positive(self.name, source)

    # ------------------------------------------------------------------------------- parameters
    def layout(self, dims: Dims) -> Layout:
        record = GammaParams if self.dispersion == "own" else CommonDispersionParams
        return layout_of(record, {"expert": dims.n_experts, "feature": dims.n_features})

    def columns(self, layout: Layout) -> IntArray:
        intercepts, dispersions = layout.index("intercepts"), layout.index(self._field)
        last = dispersions if self.dispersion == "own" else shared_columns(intercepts.size, dispersions)
        return own_columns(intercepts, layout.index("slopes"), last)

    def lower_bounds(self, layout: Layout, spread: FloatArray, alone: bool) -> FloatArray:
        bounds = np.full(layout.size, -np.inf)
        bounds[layout.index(self._field)] = log(ROUNDING_FLOOR if alone else DISPERSION_FLOOR)
        return bounds

    def placed(self, coordinates: Coordinates) -> Gamma:
        return replace(self, unit=float(coordinates.y.scale[0]))

    def _rows(self, block: Block) -> Block:
        """The rows with the offset of a logarithm, which units of the response do not divide."""
        return block if self.unit == 1.0 else block._replace(offset=block.offset * self.unit)

    def rescale(self, params: Any, covariates: ColumnMap, response: Affine) -> Any:
        moved = rescaled(params, covariates)
        return replace(moved, intercepts=moved.intercepts - np.log(response.scale[0]))

    # ------------------------------------------------------------------------------- density
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        shape, offset = _shapes(local), self._rows(block).offset
        _value(local, shape, _log_peak(shape), block.X, block.Y[0], offset, out)

    def eta_slopes(self, local: FloatArray, block: Block) -> FloatArray:
        return self._slopes(local, block)[0]

    def eta_bends(self, local: FloatArray, block: Block) -> FloatArray:
        # minus shape y / mu
        return -self.eta_slopes(local, block) - _shapes(local)[:, None]

    def jac(self, local: FloatArray, block: Block, value: FloatArray, out: FloatArray) -> None:
        by_eta, out[:, -1] = self._slopes(local, block)
        spread(by_eta, block.X, out)

    def curv(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        shape = _shapes(local)
        by_eta, by_dispersion = self._slopes(local, block)
        by_dispersion *= weights
        mass = weights.sum(axis=1)
        out[:, -1, -1] += mass * _trigamma_gap(shape) - by_dispersion.sum(axis=1)
        # d2 / d eta d log phi is minus the first derivative in eta
        cross = np.zeros((len(local), block.X.shape[0]))
        pull_linear(weights * by_eta, block.X, cross)
        out[:, :-1, -1] -= cross
        out[:, -1, :-1] -= cross
        by_eta += shape[:, None]
        add_grams(weights, np.negative(by_eta, out=by_eta), block.X, out)

    def pull(self, local: FloatArray, block: Block, value: FloatArray, weights: FloatArray, out: FloatArray) -> None:
        by_eta, by_dispersion = self._slopes(local, block)
        by_eta *= weights
        by_dispersion *= weights
        pull_linear(by_eta, block.X, out)
        out[:, -1] += by_dispersion.sum(axis=1)

    def _slopes(self, local: FloatArray, block: Block) -> tuple[FloatArray, FloatArray]:
        """First derivatives (K, B) of log f in eta and in log phi."""
        shape, offset = _shapes(local), self._rows(block).offset
        by_eta, by_dispersion = np.empty((2, len(local), block.weight.size))
        _slopes(local, shape, _digamma_gap(shape), block.X, block.Y[0], offset, by_eta, by_dispersion)
        return by_eta, by_dispersion

    # ------------------------------------------------------------------------------- starts
    def for_starts(self, block: Block) -> Block:
        return standardised_response(self._rows(block), np.log(block.Y[0]))

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> Any:
        y = np.log(block.Y[0]) - self._rows(block).offset
        coef = lines(block.X, y, resp)
        gap = y - coef @ block.X
        mass = np.maximum(resp.sum(axis=1), 1e-300)
        # log y has a variance near phi, and a mean below log mu by half of it
        dispersions = np.clip((resp * gap**2).sum(axis=1) / mass, *START_DISPERSIONS)
        coef[:, 0] += np.minimum(0.5 * dispersions, 1.0)
        given = {"dispersions": dispersions} if self.dispersion == "own" else {"dispersion": dispersions.mean()}
        return layout.build(intercepts=coef[:, 0], slopes=coef[:, 1:], **given)

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        return np.asarray(np.exp(np.minimum(predictor(local, self._rows(block)), LARGEST_LOG_MEAN)))

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.zeros((*local.shape, block.weight.size))
        out[:, :-1] = self.mean(local, block)[:, None] * block.X
        return out

    def mean_curv(self, local: FloatArray, block: Block, weights: FloatArray, out: FloatArray) -> None:
        add_grams(weights, self.mean(local, block), block.X, out)

    def cdf(self, local: FloatArray, block: Block, y: FloatArray) -> FloatArray:
        shape = _shapes(local)[:, None]
        return np.asarray(gammainc(shape, shape * np.maximum(y, 0.0) / self.mean(local, block)))

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        mean = np.take_along_axis(self.mean(local, block), chosen[None], axis=0)
        shape = _shapes(local)[chosen]
        return np.maximum(mean * rng.standard_gamma(shape) / shape, np.finfo(np.float64).tiny)


# --------------------------------------------------------------------------------------- the shape's functions
def _shapes(local: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-local[:, -1]))


def _log_peak(shape: FloatArray) -> FloatArray:
    """shape log(shape) - shape - log Gamma(shape): log of y f(y) at y = mu."""
    a = np.maximum(shape, LARGE_SHAPE)
    far = 0.5 * np.log(a / (2.0 * pi)) - (1.0 - (1.0 - (1.0 - 0.75 / a**2) * 2.0 / (7.0 * a**2)) / (30.0 * a**2)) / (
        12.0 * a
    )
    near = shape * np.log(shape) - shape - gammaln(shape)
    return np.where(shape > LARGE_SHAPE, far, near)


def _digamma_gap(shape: FloatArray) -> FloatArray:
    """shape (log(shape) - digamma(shape)), which tends to 1/2."""
    a = np.maximum(shape, LARGE_SHAPE)
    far = 0.5 + (1.0 - (1.0 - (10.0 / 21.0 - 0.5 / a**2) / a**2) / (10.0 * a**2)) / (12.0 * a)
    return np.where(shape > LARGE_SHAPE, far, shape * (np.log(shape) - digamma(shape)))


def _trigamma_gap(shape: FloatArray) -> FloatArray:
    """shape (1 - shape trigamma(shape)), which tends to -1/2."""
    a = np.maximum(shape, LARGE_SHAPE)
    far = -0.5 - 1.0 / (6.0 * a) + 1.0 / (30.0 * a**3) - 1.0 / (42.0 * a**5)
    return np.where(shape > LARGE_SHAPE, far, shape * (1.0 - shape * polygamma(1, shape)))


# --------------------------------------------------------------------------------------- kernels
# local parameters of an expert: intercept, slopes, log dispersion


@jit
def _gaps(local: FloatArray, X: FloatArray, y: FloatArray, offset: FloatArray, out: FloatArray) -> None:
    """out (K, B) = log(y / mu)."""
    linear_predictor(local, X, out)
    log_y = np.empty(y.size)
    for j in range(y.size):
        log_y[j] = vlog(y[j])
    for k in range(out.shape[0]):
        o = out[k]
        for j in range(o.size):
            o[j] = log_y[j] - o[j] - offset[j]


@jit
def _slopes(
    local: FloatArray,
    shape: FloatArray,
    gap: FloatArray,
    X: FloatArray,
    y: FloatArray,
    offset: FloatArray,
    S: FloatArray,
    D: FloatArray,
) -> None:
    """S = shape (y / mu - 1);   D = shape (y / mu - 1 - log(y / mu)) - gap."""
    _gaps(local, X, y, offset, S)
    for k in range(S.shape[0]):
        s = S[k]
        d = D[k]
        a = shape[k]
        g = gap[k]
        for j in range(s.size):
            t = min(s[j], LARGEST_LOG_MEAN)
            half_deviance = excess(t)
            d[j] = a * half_deviance - g
            s[j] = a * (half_deviance + t)


@jit
def _value(
    local: FloatArray,
    shape: FloatArray,
    peak: FloatArray,
    X: FloatArray,
    y: FloatArray,
    offset: FloatArray,
    V: FloatArray,
) -> None:
    """log f = peak - log y - shape (y / mu - 1 - log(y / mu))."""
    _gaps(local, X, y, offset, V)
    log_y = np.empty(y.size)
    for j in range(y.size):
        log_y[j] = vlog(y[j])
    for k in range(V.shape[0]):
        v = V[k]
        a = shape[k]
        top = peak[k]
        for j in range(v.size):
            v[j] = top - log_y[j] - a * excess(v[j])
