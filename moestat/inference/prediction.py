"""Predicted means with standard errors, and intervals for new responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from moestat.coordinates import Affine
from moestat.data import Block
from moestat.errors import InputError
from moestat.model import mixture_mean
from moestat.terms import Terms
from moestat.typing import FloatArray

if TYPE_CHECKING:
    import pandas as pd


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
        Class labels, for categorical experts.
    terms, theta, block
        The fitted model and the rows, in working coordinates.
    location, scale : float
        Units of the response.
    """

    mean: FloatArray
    se: FloatArray
    labels: tuple[object, ...] | None
    terms: Terms
    theta: FloatArray
    block: Block
    location: float
    scale: float

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
        location, scale = (0.0, 1.0) if response is None else (float(response.location[0]), float(response.scale[0]))
        jacobian = np.moveaxis(mean_jacobian(terms, theta, block), 0, -1)
        variance = np.einsum("...p,pq,...q->...", jacobian, covariance, jacobian)
        se = scale * np.sqrt(np.maximum(variance, 0.0))
        return Prediction(
            mean=location + scale * mixture_mean(terms, theta, block),
            se=se if se.ndim == 1 else np.ascontiguousarray(se.T),
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
        mixture at each row; categorical experts have none.
        """
        import pandas as pd

        if not 0 < alpha < 1:
            raise InputError(f"alpha must lie between 0 and 1; got {alpha!r}.")
        width = ndtri(1 - alpha / 2) * self.se
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
        """Quantile of p(y | x) at each row (n,), by bisection on the mixture's distribution function."""
        local = self.theta[self.terms.expert_columns]
        weights = next(self.terms.tiles(self.theta, [self.block])).PI
        means = self.terms.expert.mean(local, self.block)
        reach = np.ones(means.shape[1])
        low, high = means.min(axis=0) - reach, means.max(axis=0) + reach

        def below(y: FloatArray) -> FloatArray:
            return np.asarray((weights * self.terms.expert.cdf(local, self.block, y)).sum(axis=0))

        while (below(low) > level).any() or (below(high) < level).any():
            reach = 2 * reach
            low, high = low - reach, high + reach
        for _ in range(100):
            middle = 0.5 * (low + high)
            under = below(middle) < level
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return np.asarray(self.location + self.scale * 0.5 * (low + high))


def mean_jacobian(terms: Terms, theta: FloatArray, block: Block) -> FloatArray:
    """Derivative of sum_k pi_k mu_k in theta: (P, n), or (P, C, n)."""
    tile = next(terms.tiles(theta, [block]))
    local_gate, local_expert = theta[terms.gate_columns], theta[terms.expert_columns]
    K, B = tile.PI.shape
    J = np.empty((1 if terms.gate.known_features else K, local_gate.shape[1], B))
    terms.gate.jac(local_gate, block, tile.H, J)
    means = terms.expert.mean(local_expert, block)
    weights = tile.PI if means.ndim == 2 else tile.PI[:, None]
    overall = (weights * means).sum(axis=0)
    out = np.zeros((terms.size, *means.shape[1:]))
    # d(sum pi mu) = sum_k pi_k (mu_k - mean) dh_k + sum_k pi_k dmu_k
    spread = weights * (means - overall)
    for k in range(K):
        rows = J[0 if len(J) == 1 else k]
        np.add.at(out, terms.gate_columns[k], rows * spread[k] if means.ndim == 2 else rows[:, None] * spread[k])
    slopes = terms.expert.mean_jac(local_expert, block)
    for k in range(K):
        np.add.at(out, terms.expert_columns[k], tile.PI[k] * slopes[k])
    return out
