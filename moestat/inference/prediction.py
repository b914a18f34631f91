"""Means, experts' means and gate weights with standard errors, and intervals for new responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, logit, ndtri

from moestat.coordinates import Affine
from moestat.data import Block
from moestat.errors import InputError
from moestat.model import mixture_mean
from moestat.terms import Terms
from moestat.typing import FloatArray

if TYPE_CHECKING:
    import pandas as pd


#: A proportion this close to 0 or 1 has lost the digits that its logit needs.
ROUNDED = 1e-12


@dataclass(frozen=True)
class Estimated:
    """Functions of the estimates with their uncertainty.

    Parameters
    ----------
    value : ndarray
    se : ndarray, same shape
        Standard errors by the delta method.
    proportion : bool
        The values lie between 0 and 1.
    """

    value: FloatArray
    se: FloatArray
    proportion: bool = False

    def limits(self, alpha: float = 0.05) -> tuple[FloatArray, FloatArray]:
        """Pointwise confidence limits at level 1 - alpha; those of proportions are made on the scale of the logit.

        A proportion that is 0 or 1 to rounding has none: NaN.
        """
        width = _quantile_of_errors(alpha) * self.se
        if not self.proportion:
            return self.value - width, self.value + width
        safe = np.where(np.minimum(self.value, 1 - self.value) > ROUNDED, self.value, np.nan)
        half = width / (safe * (1 - safe))
        lower, upper = (expit(logit(safe) + side * half) for side in (-1, 1))
        return lower, upper


@dataclass(frozen=True)
class Prediction:
    """Conditional means with their uncertainty.

    Parameters
    ----------
    mean : ndarray (n,) or (n, C)
        sum_k pi_k mu_k; class probabilities for categorical experts.
    se : ndarray, same shape
        Standard error of the mean by the delta method.
    labels : tuple or None
        Class labels, for categorical experts; names of several responses.
    terms, theta, block
        The fitted model and the rows, in working coordinates.
    location, scale : float or ndarray (m,)
        Units of the response, or of each of several.
    """

    mean: FloatArray
    se: FloatArray
    labels: tuple[object, ...] | None
    terms: Terms
    theta: FloatArray
    block: Block
    location: float | FloatArray
    scale: float | FloatArray

    @staticmethod
    def of(
        terms: Terms,
        theta: FloatArray,
        covariance: FloatArray,
        block: Block,
        response: Affine | None,
        labels: tuple[object, ...] | None,
    ) -> Prediction:
        """Predict rows in working coordinates, given the covariance of theta and the response's units, if any."""
        location, scale = (0.0, 1.0) if response is None else (response.location, response.scale)
        se = delta_errors(mean_jacobian(terms, theta, block), covariance)
        return Prediction(
            mean=location + scale * mixture_mean(terms, theta, block),
            se=scale * (se if se.ndim == 1 else np.ascontiguousarray(se.T)),
            labels=labels,
            terms=terms,
            theta=theta,
            block=block,
            location=location,
            scale=scale,
        )

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Table with means, standard errors, confidence limits of the mean, and limits for a new response.

        ``obs_ci_lower`` and ``obs_ci_upper`` are the alpha/2 and 1 - alpha/2 quantiles of the fitted
        mixture at each row; categorical experts and several responses have none.
        """
        import pandas as pd

        width = _quantile_of_errors(alpha) * self.se
        if self.labels is not None:
            parts = {"mean": self.mean, "mean_se": self.se}
            parts |= {"mean_ci_lower": self.mean - width, "mean_ci_upper": self.mean + width}
            frames = {name: pd.DataFrame(value, columns=list(self.labels)) for name, value in parts.items()}
            return pd.concat(frames, axis=1)
        columns = {
            "mean": self.mean,
            "mean_se": self.se,
            "mean_ci_lower": self.mean - width,
            "mean_ci_upper": self.mean + width,
        }
        if self.terms.expert.has_cdf:
            columns["obs_ci_lower"] = self.quantile(alpha / 2)
            columns["obs_ci_upper"] = self.quantile(1 - alpha / 2)
        return pd.DataFrame(columns)

    def quantile(self, level: float) -> FloatArray:
        """Quantile of p(y | x) at each row (n,), by bisection on the mixture's distribution function.

        Of counts, the smallest whole number that is not exceeded with at least this probability.
        """
        local = self.theta[self.terms.expert_columns]
        weights = self.terms.gate_weights(self.theta, self.block)
        means = self.terms.expert.mean(local, self.block)
        means = np.where(np.isfinite(means), means, 0.0)  # a known law need not have one
        reach = np.ones(means.shape[1])
        low, high = means.min(axis=0) - reach, means.max(axis=0) + reach
        discrete = self.terms.expert.discrete
        if discrete:
            low, high = -reach, np.ceil(high)

        def below(y: FloatArray) -> FloatArray:
            return np.asarray((weights * self.terms.expert.cdf(local, self.block, y)).sum(axis=0))

        while (below(low) > level).any() or (below(high) < level).any():
            reach = 2 * reach
            low, high = low - reach, high + reach
        for _ in range(100):
            middle = 0.5 * (low + high)
            middle = np.floor(middle) if discrete else middle
            under = below(middle) < level
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return np.asarray(high if discrete else self.location + self.scale * 0.5 * (low + high))


def _quantile_of_errors(alpha: float) -> float:
    """How many standard errors a confidence limit at level 1 - alpha is away."""
    if not 0 < alpha < 1:
        raise InputError(f"alpha must lie between 0 and 1; got {alpha!r}.")
    return float(ndtri(1 - alpha / 2))


def delta_errors(jacobian: FloatArray, covariance: FloatArray) -> FloatArray:
    """Standard errors (...) of functions with this derivative (P, ...), given the covariance of theta (P, P)."""
    flat = jacobian.reshape(len(jacobian), -1)
    variance = (flat * (covariance @ flat)).sum(axis=0)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)).reshape(jacobian.shape[1:]))


# --------------------------------------------------------------------------------------- derivatives in theta
def mean_jacobian(terms: Terms, theta: FloatArray, block: Block) -> FloatArray:
    """Derivative of sum_k pi_k mu_k in theta: (P, n), or (P, C, n)."""
    weights, logits = _weights_and_logits(terms, theta, block)
    local = theta[terms.expert_columns]
    means = terms.expert.mean(local, block)
    slopes = terms.expert.mean_jac(local, block)
    by_class = means.ndim == 3
    shares = weights[:, None] if by_class else weights
    # d(sum pi mu) = sum_k pi_k (mu_k - mean) dh_k + sum_k pi_k dmu_k; weights exp(h) have no normaliser to move
    centre = (shares * means).sum(axis=0) if terms.gate.sums_to_one else 0.0
    spread = shares * (means - centre)
    out = np.zeros((terms.size, *means.shape[1:]))
    for k, rows in enumerate(logits):
        np.add.at(out, terms.gate_columns[k], (rows[:, None] if by_class else rows) * spread[k])
        np.add.at(out, terms.expert_columns[k], weights[k] * slopes[k])
    return out


def expert_means_jacobian(terms: Terms, theta: FloatArray, block: Block) -> FloatArray:
    """Derivative of every mu_k in theta: (P, K, n), or (P, K, C, n)."""
    slopes = terms.expert.mean_jac(theta[terms.expert_columns], block)
    out = np.zeros((terms.size, len(slopes), *slopes.shape[2:]))
    for k, own in enumerate(slopes):
        np.add.at(out[:, k], terms.expert_columns[k], own)
    return out


def gate_weights_jacobian(terms: Terms, theta: FloatArray, block: Block) -> FloatArray:
    """Derivative of every pi_k in theta: (P, K, n)."""
    weights, logits = _weights_and_logits(terms, theta, block)
    out = np.zeros((terms.size, *weights.shape))
    for k, rows in enumerate(logits):
        # d pi_j / d h_k = pi_j (1[j = k] - pi_k), or pi_j 1[j = k] of weights exp(h)
        moved = -weights * weights[k] * terms.gate.sums_to_one
        moved[k] += weights[k]
        np.add.at(out, terms.gate_columns[k], rows[:, None] * moved)
    return out


def _weights_and_logits(terms: Terms, theta: FloatArray, block: Block) -> tuple[FloatArray, list[FloatArray]]:
    """Gate weights (K, n), and the derivatives (q, n) of every logit in its own parameters."""
    local = theta[terms.gate_columns]
    H = np.empty((len(local), block.weight.size))
    terms.gate.value(local, block, H)
    J = np.empty((1 if terms.gate.known_features else len(local), local.shape[1], block.weight.size))
    terms.gate.jac(local, block, H, J)
    return terms.gate_weights(theta, block), [J[0 if len(J) == 1 else k] for k in range(len(local))]
