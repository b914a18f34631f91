"""Resampled data in their own standard errors: bootstrap-t for slopes, and for how far points stray from the line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moestat.montecarlo.slopes.bootstrap import enough, independent_draws, joint_draws
from moestat.montecarlo.slopes.measured import Measured
from moestat.montecarlo.slopes.points import Points, smoothed
from moestat.montecarlo.slopes.summaries import Summary
from moestat.typing import FloatArray


@dataclass(frozen=True, eq=False)
class Resampled:
    """Errors of resampled points, and their own variances.

    Parameters
    ----------
    errors, variances : ndarray (B, J)
    """

    errors: FloatArray
    variances: FloatArray


def resampled(
    points: Points,
    used: Measured,
    prepared: tuple[FloatArray, ...],
    of: Summary,
    *,
    smooth: bool,
    n_draws: int,
    rng: np.random.Generator,
) -> Resampled:
    """Draws of every size apart, or jointly over the sizes where data are nested."""
    statistics = (of.log_estimate, of.variance)
    if points.replications is None:
        estimates, variances = independent_draws(prepared, statistics, n_draws, rng)
    else:
        estimates, variances = joint_draws(prepared, used.replications, statistics, n_draws, rng)
    usable = np.asarray((np.isfinite(estimates) & (variances > 0)).all(axis=1))
    estimates, variances = enough(estimates, usable), enough(variances, usable)
    if smooth:
        variances = smoothed(variances, points.counts, points.sizes)
    return Resampled(estimates - points.log_estimates, variances)


def studentised(points: Points, draws: Resampled) -> FloatArray:
    """(b* - b) / se* of the slope of every draw, in increasing order."""
    hat = _hats(points, draws.variances)
    spread = hat * np.sqrt(draws.variances)
    errors = np.sqrt(((spread @ points.correlation) * spread).sum(axis=1))
    return np.sort((hat * draws.errors).sum(axis=1) / errors)


def stray_p(points: Points, draws: Resampled) -> float:
    """p-value of the weighted squares of the residuals, by those of the draws, which stray by chance alone.

    Skewed losses, and correlations from few replications, make the law of the lack of fit wider than in theory.
    """
    own = Resampled(points.log_estimates[None], points.variances[None])
    return float((1 + (_squares(points, draws) >= _squares(points, own)).sum()) / (1 + len(draws.errors)))


def _squares(points: Points, draws: Resampled) -> FloatArray:
    """Weighted sum of squared residuals (B,)."""
    weights = 1 / draws.variances
    x = _centred(weights, np.broadcast_to(points.log_sizes, weights.shape))
    slopes = (_hats(points, draws.variances) * draws.errors).sum(axis=1)
    residuals = _centred(weights, draws.errors) - slopes[:, None] * x
    return np.asarray((weights * np.square(residuals)).sum(axis=1))


def _hats(points: Points, variances: FloatArray) -> FloatArray:
    """What makes a weighted slope of each draw's points (B, J)."""
    weights = 1 / variances
    x = _centred(weights, np.broadcast_to(points.log_sizes, weights.shape))
    return np.asarray(weights * x / (weights * np.square(x)).sum(axis=1)[:, None])


def _centred(weights: FloatArray, values: FloatArray) -> FloatArray:
    return np.asarray(values - np.average(values, axis=1, weights=weights)[:, None])
