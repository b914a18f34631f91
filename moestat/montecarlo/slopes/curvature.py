"""Whether the points bend: a parabola in log n."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moestat.montecarlo.slopes.points import Points
from moestat.montecarlo.slopes.weighted import weighted_fit


@dataclass(frozen=True)
class Curvature:
    """The coefficient of (log n)^2, and what slopes it gives the ends.

    Parameters
    ----------
    coefficient, standard_error, p_value : float
    at_low, at_high : float
        Slopes of the parabola at the smallest and at the largest size.
    """

    coefficient: float
    standard_error: float
    p_value: float
    at_low: float
    at_high: float


def curvature(points: Points) -> Curvature | None:
    """Of four sizes or more; ``None`` of fewer."""
    if len(points) < 4:
        return None
    x = points.log_sizes - (points.log_sizes[0] + points.log_sizes[-1]) / 2
    fit = weighted_fit(np.column_stack([np.ones_like(x), x, np.square(x)]), points)
    _, slope, bend = fit.coefficients
    return Curvature(
        coefficient=float(bend),
        standard_error=float(fit.standard_errors[2]),
        p_value=fit.p_of(2),
        at_low=float(slope + 2 * bend * x[0]),
        at_high=float(slope + 2 * bend * x[-1]),
    )
