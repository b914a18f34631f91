"""Poisson expert with a logarithmic link.

    f_k(y | x) = exp(-mu) mu^y / y!,   log mu = a_k' x + b_k + offset + log exposure

Counts; mean and variance are mu. [McCullagh and Nelder 1989, ch. 6; mixtures: Wang, Puterman, Cockburn and Le 1996]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import pdtr

from moestat.component import Dims
from moestat.data import Block, BlockSource, Schema
from moestat.experts.counts import check_counts
from moestat.experts.predictor import PredictorExpert, add_grams, lines, predictor, standardised_response
from moestat.kernels import jit
from moestat.kernels.linear import linear_predictor
from moestat.kernels.special import LARGEST_LOG_MEAN, excess, saturated
from moestat.kernels.vmath import vexp
from moestat.params import Layout, axes, layout_of, parameters
from moestat.typing import FloatArray, IntArray


@parameters
class PoissonParams:
    """slopes a (K, d) and intercepts b (K,) of the log mean."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")


@dataclass(frozen=True)
class Poisson(PredictorExpert):
    """Counts with a log-linear mean.

    Exposures (time at risk, area) multiply the mean: their logarithms are part of the offset.

    References
    ----------
    Wang, Puterman, Cockburn and Le (1996), Mixed Poisson regression models with covariate dependent rates,
    Biometrics 52.
    """

    name: ClassVar[str] = "poisson"
    discrete: ClassVar[bool] = True
    has_cdf: ClassVar[bool] = True

    def check_beside(self, source: BlockSource) -> None:
        super().check_beside(source)
        check_counts(self.name, source, " For other numbers use gaussian or gamma.")

    def layout(self, dims: Dims) -> Layout:
        return layout_of(PoissonParams, {"expert": dims.n_experts, "feature": dims.n_features})

    # ------------------------------------------------------------------------------- density
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        _value(local, block.X, block.Y[0], block.offset, out)

    def eta_slopes(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.empty((len(local), block.weight.size))
        _means(local, block.X, block.offset, out)
        return np.subtract(block.Y, out, out=out)

    def eta_bends(self, local: FloatArray, block: Block) -> FloatArray:
        out = np.empty((len(local), block.weight.size))
        _means(local, block.X, block.offset, out)
        return np.negative(out, out=out)

    # ------------------------------------------------------------------------------- starts
    def for_starts(self, block: Block) -> Block:
        return standardised_response(block, np.log(block.Y[0] + 0.5))

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> PoissonParams:
        # log(y + 1/2) has a variance near 1 / (y + 1/2)
        y = block.Y[0] + 0.5
        coef = lines(block.X, np.log(y) - block.offset, resp * y)
        return PoissonParams(intercepts=coef[:, 0], slopes=coef[:, 1:])

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        return np.asarray(np.exp(np.minimum(predictor(local, block), LARGEST_LOG_MEAN)))

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        return self.mean(local, block)[:, None] * block.X

    def mean_curv(self, local: FloatArray, block: Block, weights: FloatArray, out: FloatArray) -> None:
        add_grams(weights, self.mean(local, block), block.X, out)

    def cdf(self, local: FloatArray, block: Block, y: FloatArray) -> FloatArray:
        below = pdtr(np.maximum(np.floor(y), 0.0), self.mean(local, block))
        return np.where(y < 0, 0.0, below)

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        mean = np.take_along_axis(self.mean(local, block), chosen[None], axis=0)
        return drawn_counts(mean, rng)


def drawn_counts(mean: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Poisson counts; beyond the integers of 64 bits, where numpy has none, their normal limit, rounded."""
    large = mean > 1e18
    counts = rng.poisson(np.where(large, 0.0, mean)).astype(np.float64)
    if large.any():
        counts[large] = np.rint(mean[large] + np.sqrt(mean[large]) * rng.standard_normal(int(large.sum())))
    return counts


# --------------------------------------------------------------------------------------- kernels
# local parameters of an expert: intercept, slopes


@jit
def _means(local: FloatArray, X: FloatArray, offset: FloatArray, out: FloatArray) -> None:
    """out (K, B) = exp(eta)."""
    linear_predictor(local, X, out)
    for k in range(out.shape[0]):
        o = out[k]
        for j in range(o.size):
            o[j] = vexp(min(o[j] + offset[j], LARGEST_LOG_MEAN))


@jit
def _value(local: FloatArray, X: FloatArray, y: FloatArray, offset: FloatArray, V: FloatArray) -> None:
    """log f = saturated(y) - y excess(log mu - log y); -mu where y = 0."""
    best = np.empty(y.size)
    log_y = np.empty(y.size)
    saturated(y, log_y, best)
    linear_predictor(local, X, V)
    for k in range(V.shape[0]):
        v = V[k]
        for j in range(v.size):
            eta = v[j] + offset[j]
            some = best[j] - y[j] * excess(eta - log_y[j])
            none = -vexp(min(eta, LARGEST_LOG_MEAN))
            v[j] = some if y[j] > 0.0 else none
