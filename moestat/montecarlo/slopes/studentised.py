"""Bootstrap-t: how far slopes of resampled data lie from that of the data, in their own standard errors."""

from __future__ import annotations

import numpy as np

from moestat.montecarlo.slopes.bootstrap import enough, independent_draws, joint_draws
from moestat.montecarlo.slopes.measured import Measured
from moestat.montecarlo.slopes.points import Points, smoothed
from moestat.montecarlo.slopes.summaries import Summary
from moestat.montecarlo.slopes.weighted import weighted_line
from moestat.typing import FloatArray


def studentised(
    points: Points,
    used: Measured,
    prepared: tuple[FloatArray, ...],
    of: Summary,
    *,
    smooth: bool,
    n_draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    """(b* - b) / se* of every draw, in increasing order; draws jointly over the sizes where data are nested."""
    statistics = (of.log_estimate, of.variance)
    if points.replications is None:
        estimates, variances = independent_draws(prepared, statistics, n_draws, rng)
    else:
        estimates, variances = joint_draws(prepared, used.replications, statistics, n_draws, rng)
    usable = np.asarray((np.isfinite(estimates) & (variances > 0)).all(axis=1))
    estimates, variances = enough(estimates, usable), enough(variances, usable)
    if smooth:
        variances = smoothed(variances, points.counts, points.sizes)
    slopes, errors = _slopes(points, estimates, variances)
    return np.sort((slopes - weighted_line(points).coefficients[1]) / errors)


def _slopes(points: Points, estimates: FloatArray, variances: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted slopes (B,) and their Monte Carlo standard errors, of log estimates and variances (B, J)."""
    weights = 1 / variances
    x = points.log_sizes - (weights @ points.log_sizes / weights.sum(axis=1))[:, None]
    hat = weights * x / (weights * np.square(x)).sum(axis=1)[:, None]
    spread = hat * np.sqrt(variances)
    return (hat * estimates).sum(axis=1), np.sqrt(((spread @ points.correlation) * spread).sum(axis=1))
