"""Where a slope comes from: slopes between neighbours, and the slope without the smallest sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moestat.montecarlo.slopes.points import MIN_POINTS, Points
from moestat.montecarlo.slopes.weighted import weighted_line
from moestat.typing import FloatArray


@dataclass(frozen=True, eq=False)
class LocalSlopes:
    """Slopes between neighbouring sizes.

    Parameters
    ----------
    sizes : ndarray (J - 1, 2)
    slopes, standard_errors : ndarray (J - 1,)
        Errors are of Monte Carlo noise.
    """

    sizes: FloatArray
    slopes: FloatArray
    standard_errors: FloatArray


@dataclass(frozen=True)
class Dropped:
    """The slope without some of the smallest sizes."""

    dropped: int
    n_min: float
    slope: float
    interval: tuple[float, float]


def local_slopes(points: Points) -> LocalSlopes:
    """(y_{j+1} - y_j) / (x_{j+1} - x_j)."""
    differences = np.diff(np.eye(len(points)), axis=0) / np.diff(points.log_sizes)[:, None]
    variances = np.einsum("ij,jk,ik->i", differences, points.covariance, differences)
    pairs = np.column_stack([points.sizes[:-1], points.sizes[1:]])
    return LocalSlopes(pairs, differences @ points.log_estimates, np.sqrt(variances))


def drop_smallest(points: Points, level: float) -> tuple[Dropped, ...]:
    """The slope of all sizes, without the smallest, without the two smallest, ... while three sizes are left."""
    return tuple(_dropped(points, left, level) for left in range(len(points), MIN_POINTS - 1, -1))


def _dropped(points: Points, left: int, level: float) -> Dropped:
    rest = points.last(left)
    fit = weighted_line(rest)
    return Dropped(len(points) - left, float(rest.sizes[0]), float(fit.coefficients[1]), fit.interval(1, level))
