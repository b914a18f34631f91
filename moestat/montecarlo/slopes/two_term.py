"""A second term: c n^{-g} (1 + a n^{-h}).

With h and u = a n_min^{-h} held, log c and g are a weighted line, so that the whole fit is a grid of lines. The
distance of the best curve whose exponent is g is then known in closed form,

    chi^2(g) = min over h, u of  chi^2(h, u) + (g - g(h, u))^2 / var(g),

and its profile gives an interval of g that admits every second term of the grid. h itself is hardly ever determined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moestat.montecarlo.slopes.points import Points
from moestat.montecarlo.slopes.weighted import line
from moestat.typing import FloatArray

#: Exponents h, and logs of 1 + u: the second term multiplies the loss of the smallest size by 1/20 to 20.
SECOND = np.geomspace(1 / 8, 2, 17)
FACTORS = np.linspace(-3.0, 3.0, 121)
#: An interval of g as wide as this holds -1/2 and -1/4 alike, and tells nothing.
TOO_WIDE = 0.25
#: Values of g at which the profile is computed, on either side of the slope.
STEPS = np.linspace(-1.5, 1.5, 1501)


@dataclass(frozen=True)
class TwoTerm:
    """Fit of c n^{-g} (1 + a n^{-h}).

    Parameters
    ----------
    slope : float
        -g of the best fit.
    interval : tuple of float
        Of -g, by its profile over h and a.
    h, a : float
        Of the best fit, on the grid; neither is determined well.
    gain : float
        By how much chi^2 is smaller than the line's.
    determined : bool
        Whether the interval is narrower than 1/4 and ends within the values searched.
    """

    slope: float
    interval: tuple[float, float]
    h: float
    a: float
    gain: float
    determined: bool


def two_term(points: Points, level: float) -> TwoTerm | None:
    """Of six sizes or more; ``None`` of fewer, which four parameters leave too little."""
    from scipy.special import ndtri

    if len(points) < 6:
        return None
    h, factor = (one.ravel() for one in np.meshgrid(SECOND, FACTORS, indexing="ij"))
    chi2, slopes, variance = _lines(points, _second_terms(points.sizes, h, factor))
    best = int(np.argmin(chi2))
    steps = slopes[best] + STEPS
    profile = np.array([(chi2 + np.square(slopes - one) / variance).min() for one in steps])
    spread = max(1.0, float(chi2[best]) / (len(points) - 4))
    inside = steps[profile <= chi2[best] + spread * ndtri((1 + level) / 2) ** 2]
    low, high = float(inside[0]), float(inside[-1])
    return TwoTerm(
        slope=float(slopes[best]),
        interval=(low, high),
        h=float(h[best]),
        a=float(np.expm1(factor[best]) * points.sizes[0] ** h[best]),
        gain=float(chi2[np.argmin(np.abs(factor))] - chi2[best]),
        determined=bool(high - low < TOO_WIDE and steps[0] < low and high < steps[-1]),
    )


def _second_terms(sizes: FloatArray, h: FloatArray, factor: FloatArray) -> FloatArray:
    """log(1 + a n^{-h}) (G, J), for each pair of the grid."""
    decay = np.exp(-h[:, None] * np.log(sizes / sizes[0]))
    return np.asarray(np.log1p(np.expm1(factor)[:, None] * decay))


def _lines(points: Points, offsets: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """chi^2 and slopes (G,) of the lines beside known terms, and the variance of those slopes."""
    root = np.linalg.cholesky(points.covariance)
    design = np.linalg.solve(root, line(points.log_sizes))
    targets = np.linalg.solve(root, (points.log_estimates - offsets).T)
    coefficients, _, _, _ = np.linalg.lstsq(design, targets)
    chi2 = np.square(targets - design @ coefficients).sum(axis=0)
    return chi2, coefficients[1], float(np.linalg.inv(design.T @ design)[1, 1])
