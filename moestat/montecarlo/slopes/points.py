"""The points that a line is fitted to: log of the functional on log n, and the covariance of their Monte Carlo errors.

A variance that is estimated from skewed losses is low where their mean is low. Weighted by it, points that happen to
lie low count more, and the slope is less certain than it seems. Variances of single replications are therefore
smoothed, their logarithms by a line in log n: all sizes tell how large each error is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moestat.montecarlo.slopes.bootstrap import correlation, nested_in
from moestat.montecarlo.slopes.measured import Measured, NoSlopeError
from moestat.montecarlo.slopes.summaries import Summary
from moestat.typing import FloatArray, IntArray

#: Values without which a size has no Monte Carlo error worth the name, and sizes without which a line has none.
MIN_VALUES, MIN_POINTS = 5, 3
#: Of a log estimate: what rounding makes of equal values, and a median's resamples of all but a few.
NO_VARIANCE = 1e-16


@dataclass(frozen=True, eq=False)
class Points:
    """Points of a log-log plot.

    Parameters
    ----------
    sizes, log_sizes : ndarray (J,)
    counts, missing : ndarray of int (J,)
        Values, and replications without one.
    log_estimates : ndarray (J,)
    own_variances : ndarray (J,)
        Monte Carlo variances of the log estimates, of each size by itself.
    variances : ndarray (J,)
        Those that weigh and that errors are computed from: smoothed over the sizes, unless the caller asked for others.
    correlation : ndarray (J, J)
        The identity, unless data are nested.
    replications : int or None
        Number of different ones where data are nested.
    """

    sizes: FloatArray
    counts: IntArray
    missing: IntArray
    log_estimates: FloatArray
    own_variances: FloatArray
    variances: FloatArray
    correlation: FloatArray
    replications: int | None = None

    @property
    def log_sizes(self) -> FloatArray:
        return np.log(self.sizes)

    @property
    def covariance(self) -> FloatArray:
        """Of the Monte Carlo errors (J, J)."""
        deviations = np.sqrt(self.variances)
        return deviations[:, None] * self.correlation * deviations

    @property
    def standard_errors(self) -> FloatArray:
        """Of each log estimate by itself: Monte Carlo standard error over the estimate (J,)."""
        return np.sqrt(self.own_variances)

    def __len__(self) -> int:
        return len(self.sizes)

    def last(self, count: int) -> Points:
        """Those of the largest sizes."""
        part = slice(len(self) - count, None)
        return Points(
            sizes=self.sizes[part],
            counts=self.counts[part],
            missing=self.missing[part],
            log_estimates=self.log_estimates[part],
            own_variances=self.own_variances[part],
            variances=self.variances[part],
            correlation=self.correlation[part, part],
            replications=self.replications,
        )


def points_of(
    measured: Measured,
    of: Summary,
    *,
    nested: bool = False,
    smooth: bool = True,
    n_draws: int = 400,
    rng: np.random.Generator,
) -> tuple[Points, tuple[FloatArray, ...], tuple[tuple[float, int], ...]]:
    """Points, the prepared values behind them, and sizes left out: those with fewer than five values, and how many."""
    present = [len(one) for one in measured.values] - measured.missing
    few = tuple((float(n), int(have)) for n, have in zip(measured.sizes, present, strict=True) if have < MIN_VALUES)
    used = measured.present(MIN_VALUES)
    if len(used.sizes) < MIN_POINTS:
        rule = f"a slope needs at least {MIN_POINTS} sizes with {MIN_VALUES} values each"
        raise NoSlopeError(f"{rule}; got {used.sizes.tolist()}. Widen the window, or run more replications.")
    prepared = tuple(of.prepare(one, n) for n, one in zip(used.sizes, used.values, strict=True))
    own = np.array([float(of.variance(one)) for one in prepared])
    if (own <= NO_VARIANCE).any():
        what = f"values of n={used.sizes[own <= NO_VARIANCE][0]:g} do not vary around their {of.name}"
        raise NoSlopeError(f"{what}: their Monte Carlo error is unknown. Take a window without this size.")
    counts = np.array([len(one) for one in prepared], dtype=np.int64)
    found = Points(
        sizes=used.sizes,
        counts=counts,
        missing=measured.missing[np.isin(measured.sizes, used.sizes)],
        log_estimates=np.array([float(of.log_estimate(one)) for one in prepared]),
        own_variances=own,
        variances=smoothed(own, counts, used.sizes) if smooth else own,
        correlation=_correlation(used, prepared, of, n_draws, rng) if nested else np.eye(len(own)),
        replications=nested_in(used) if nested else None,
    )
    return found, prepared, few


def smoothed(variances: FloatArray, counts: IntArray, sizes: FloatArray) -> FloatArray:
    """Variances (..., J) whose logarithms, of a single replication, are a line in log n; their mean ratio is kept."""
    x = np.log(sizes) - np.average(np.log(sizes), weights=counts)
    single = variances * counts
    slope = (np.log(single) @ (counts * x)) / (counts @ np.square(x))
    trend = np.exp(slope[..., None] * x)
    level = np.average(single / trend, axis=-1, weights=counts)
    return np.asarray(level[..., None] * trend / counts)


def _correlation(
    used: Measured, prepared: tuple[FloatArray, ...], of: Summary, n_draws: int, rng: np.random.Generator
) -> FloatArray:
    if (there := nested_in(used)) < len(used.sizes) + 2:
        rule = f"nested data need more replications than the {len(used.sizes)} sizes, by two"
        raise NoSlopeError(f"{rule}; got {there}. Take fewer sizes, or run more replications.")
    return correlation(prepared, used.replications, of, n_draws, rng)
