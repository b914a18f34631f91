"""Binomial expert with a logit link.

    f_k(y | x) = C(n, y) p^y (1 - p)^(n - y),   log(p / (1 - p)) = a_k' x + b_k + offset

y counts successes among n trials of the row; 0 or 1 where no trials are given. All trials of a row are of one
expert, so that a row of n trials is not n rows of one trial.         [McCullagh and Nelder 1989, ch. 4]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import bdtr

from moestat.component import Dims
from moestat.data import Block, BlockSource, Schema
from moestat.errors import InputError
from moestat.experts.counts import check_counts, raw_responses
from moestat.experts.predictor import PredictorExpert, add_grams, lines, standardised_response
from moestat.kernels import jit
from moestat.kernels.linear import linear_predictor
from moestat.kernels.special import excess, saturated
from moestat.kernels.vmath import vexp, vlog
from moestat.params import Layout, axes, layout_of, parameters
from moestat.typing import FloatArray, IntArray


@parameters
class BinomialParams:
    """slopes a (K, d) and intercepts b (K,) of the log odds."""

    intercepts: FloatArray = axes("expert", label="const")
    slopes: FloatArray = axes("expert", "feature")


@dataclass(frozen=True)
class Binomial(PredictorExpert):
    """Successes among known numbers of trials, their log odds linear.

    The response is the number of successes, the exposure the number of trials: ``moestat.fit(model, X, successes,
    exposure=trials)``. Without exposure every row is one trial and y is 0 or 1. Means are expected successes.

    Notes
    -----
    statsmodels takes columns (successes, failures), R the same or proportions with trials as weights: trials are
    the sum of both columns, successes the proportion times the weight. Weights of a mixture cannot stand for trials:
    a row of weight n is n rows, which may belong to different experts.
    """

    name: ClassVar[str] = "binomial"
    discrete: ClassVar[bool] = True
    has_cdf: ClassVar[bool] = True

    def check_beside(self, source: BlockSource) -> None:
        super().check_beside(source)
        check_counts(self.name, source, " Give counts of successes, not proportions, and trials as exposure.")
        for y, trials in raw_responses(source):
            self._check_trials(y, trials)

    def support(self, exposure: float | None = None) -> tuple[float, float]:
        return 0.0, 1.0 if exposure is None else exposure

    @staticmethod
    def _check_trials(y: FloatArray, trials: FloatArray | None) -> None:
        if trials is None:
            if (y > 1).any():
                raise InputError(
                    f"the binomial expert without trials needs a response of 0 and 1; y holds {y[y > 1][0]:g}. "
                    "Pass the number of trials of each row as exposure."
                )
            return
        broken = trials != np.rint(trials)
        if broken.any():
            raise InputError(
                "the binomial expert takes the exposure for numbers of trials, which must be whole; "
                f"got {trials[broken][0]:g}."
            )
        more = y > trials
        if more.any():
            raise InputError(
                f"the binomial expert needs no more successes than trials; got {y[more][0]:g} successes of "
                f"{trials[more][0]:g} trials. y counts successes, the exposure successes and failures."
            )

    def layout(self, dims: Dims) -> Layout:
        return layout_of(BinomialParams, {"expert": dims.n_experts, "feature": dims.n_features})

    # ------------------------------------------------------------------------------- density
    def value(self, local: FloatArray, block: Block, out: FloatArray) -> None:
        y, offset = block.Y[0], _own_offset(block)
        if block.exposure is None:
            _one_trial(local, block.X, y, offset, out)
        else:
            _value(local, block.X, y, block.exposure, offset, out)

    def eta_slopes(self, local: FloatArray, block: Block) -> FloatArray:
        out = self.mean(local, block)
        return np.subtract(block.Y, out, out=out)

    def eta_bends(self, local: FloatArray, block: Block) -> FloatArray:
        p = _chances(local, block)
        bends = np.subtract(p, 1.0)
        bends *= p
        return bends if block.exposure is None else np.multiply(bends, block.exposure, out=bends)

    # ------------------------------------------------------------------------------- starts
    def for_starts(self, block: Block) -> Block:
        bare = block._replace(offset=_own_offset(block))
        return standardised_response(bare, _empirical_logits(block))

    def start(self, layout: Layout, block: Block, resp: FloatArray, schema: Schema) -> BinomialParams:
        # empirical logits have a variance near 1 / (n p (1 - p))
        n, y = trials_of(block), block.Y[0]
        precision = (y + 0.5) * (n - y + 0.5) / (n + 1.0)
        coef = lines(block.X, _empirical_logits(block) - _own_offset(block), resp * precision)
        return BinomialParams(intercepts=coef[:, 0], slopes=coef[:, 1:])

    # ------------------------------------------------------------------------------- prediction
    def mean(self, local: FloatArray, block: Block) -> FloatArray:
        out = _chances(local, block)
        return out if block.exposure is None else np.multiply(out, block.exposure, out=out)

    def mean_jac(self, local: FloatArray, block: Block) -> FloatArray:
        return -self.eta_bends(local, block)[:, None] * block.X

    def mean_curv(self, local: FloatArray, block: Block, weights: FloatArray, out: FloatArray) -> None:
        # p'' = p (1 - p) (1 - 2 p)
        bends = self.eta_bends(local, block) * (2.0 * _chances(local, block) - 1.0)
        add_grams(weights, bends, block.X, out)

    def cdf(self, local: FloatArray, block: Block, y: FloatArray) -> FloatArray:
        n = np.broadcast_to(trials_of(block), y.shape)
        below = bdtr(np.clip(np.floor(y), 0.0, n), n.astype(np.int64), _chances(local, block))
        return np.where(y < 0, 0.0, below)

    def draw(self, local: FloatArray, block: Block, chosen: IntArray, rng: np.random.Generator) -> FloatArray:
        p = np.take_along_axis(_chances(local, block), chosen[None], axis=0)
        n = np.broadcast_to(trials_of(block), p.shape).astype(np.int64)
        return rng.binomial(n, p).astype(np.float64)


def trials_of(block: Block) -> FloatArray:
    """Number of trials of each row (B,), or 1."""
    return np.ones(1) if block.exposure is None else block.exposure


def _own_offset(block: Block) -> FloatArray:
    """The offset without the logarithms of exposures, which are trials here."""
    return block.offset if block.exposure is None else block.offset - np.log(block.exposure)


def _empirical_logits(block: Block) -> FloatArray:
    y = block.Y[0]
    return np.asarray(np.log((y + 0.5) / (trials_of(block) - y + 0.5)))


def _chances(local: FloatArray, block: Block) -> FloatArray:
    """Probability of a success (K, B)."""
    out = np.empty((len(local), block.weight.size))
    _logistic(local, block.X, _own_offset(block), out)
    return out


# --------------------------------------------------------------------------------------- kernels
# local parameters of an expert: intercept, slopes


@jit
def _logistic(local: FloatArray, X: FloatArray, offset: FloatArray, out: FloatArray) -> None:
    """out (K, B) = 1 / (1 + exp(-eta))."""
    linear_predictor(local, X, out)
    for k in range(out.shape[0]):
        o = out[k]
        for j in range(o.size):
            eta = o[j] + offset[j]
            less = vexp(-abs(eta))
            o[j] = (1.0 if eta > 0.0 else less) / (1.0 + less)


@jit
def _one_trial(local: FloatArray, X: FloatArray, y: FloatArray, offset: FloatArray, V: FloatArray) -> None:
    """log f = -log(1 + exp(-eta)) for a success, the same with eta for a failure."""
    linear_predictor(local, X, V)
    for k in range(V.shape[0]):
        v = V[k]
        for j in range(v.size):
            eta = v[j] + offset[j]
            against = -eta if y[j] > 0.0 else eta
            v[j] = -max(against, 0.0) - vlog(1.0 + vexp(-abs(against)))


@jit
def _value(local: FloatArray, X: FloatArray, y: FloatArray, n: FloatArray, offset: FloatArray, V: FloatArray) -> None:
    """log f = saturated(y) + saturated(n - y) - saturated(n) - the deviances of successes and failures."""
    B = y.size
    failed = n - y
    best = np.empty(B)
    other = np.empty(B)
    log_y = np.empty(B)
    log_failed = np.empty(B)
    log_n = np.empty(B)
    saturated(n, log_n, other)
    saturated(y, log_y, best)
    for j in range(B):
        best[j] -= other[j]
    saturated(failed, log_failed, other)
    for j in range(B):
        best[j] += other[j]
    linear_predictor(local, X, V)
    for k in range(V.shape[0]):
        v = V[k]
        for j in range(B):
            eta = v[j] + offset[j]
            rest = vlog(1.0 + vexp(-abs(eta)))
            up = log_n[j] - max(-eta, 0.0) - rest  # logarithms of expected successes and failures
            down = log_n[j] - max(eta, 0.0) - rest
            successes = y[j] * excess(up - log_y[j]) if y[j] > 0.0 else vexp(up)
            failures = failed[j] * excess(down - log_failed[j]) if failed[j] > 0.0 else vexp(down)
            v[j] = best[j] - successes - failures
