"""Factors of log n: a loss on log(n)/n, and on powers of log n beside powers of n.

Over any window that can be run, log log n is nearly a line in log n. An estimated power of log n therefore has a wide
interval; with the power held, the exponent of n is as certain as the slope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from moestat.montecarlo.slopes.points import Points
from moestat.montecarlo.slopes.weighted import Fit, line, weighted_fit
from moestat.typing import FloatArray


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error and interval."""

    value: float
    standard_error: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.interval[0]:.3f}, {self.interval[1]:.3f}]"


@dataclass(frozen=True)
class LogFits:
    """Regressions with factors of log n.

    Parameters
    ----------
    ratio : Estimate
        e of (log(n) / n)^e.
    held : tuple of (float, Estimate)
        The power l of n^{-g} (log n)^l, and the slope -g of n beside it.
    power, slope : Estimate or None
        l and -g, both estimated; ``None`` of fewer than four sizes.
    """

    ratio: Estimate
    held: tuple[tuple[float, Estimate], ...]
    power: Estimate | None
    slope: Estimate | None


def log_fits(points: Points, powers: Sequence[float], level: float) -> LogFits:
    """All of them, with intervals of the level."""
    x = points.log_sizes
    loglog = np.log(x)
    ratio = weighted_fit(line(loglog - x), points)
    held = tuple((float(power), _estimate(_beside(points, power * loglog), 1, level)) for power in powers)
    if len(points) < 4:
        return LogFits(_estimate(ratio, 1, level), held, None, None)
    both = weighted_fit(np.column_stack([line(x), loglog - loglog.mean()]), points)
    return LogFits(_estimate(ratio, 1, level), held, _estimate(both, 2, level), _estimate(both, 1, level))


def _beside(points: Points, offset: FloatArray) -> Fit:
    """A line through what is left of the points when a known term is taken away."""
    return weighted_fit(line(points.log_sizes), replace(points, log_estimates=points.log_estimates - offset))


def _estimate(fit: Fit, k: int, level: float) -> Estimate:
    return Estimate(float(fit.coefficients[k]), float(fit.standard_errors[k]), fit.interval(k, level))
