"""A second term: c n^{-g} (1 + a n^{-h}).

With h and u = log(1 + a n_min^{-h}) held, log c and g are a weighted line. So the best curve is found by searching h
and u with the line projected out. Its distance where g is held as well is a profile, which gives an interval of g that
admits every second term within the ends of the search. h itself is hardly ever determined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moestat.montecarlo.slopes.points import Points
from moestat.montecarlo.slopes.weighted import line, projector
from moestat.typing import FloatArray

#: Exponents h, and the end of u: the second term multiplies the loss of the smallest size by 1/20 to 20.
SECOND = np.geomspace(1 / 8, 2, 13)
LARGEST = 3.0
#: Points of a search over u, and how often it is narrowed to the neighbours of the best; the same of h.
COARSE, FINE, ZOOMS = 61, 13, 4
NEAR, REFINED = 7, 2
#: How far from the best g the profile is followed, in how many steps, and how often the last of them is halved.
REACH, STEPS, HALVINGS = 1.5, 15, 11
#: An interval of g as wide as this holds -1/2 and -1/4 alike, and tells nothing.
TOO_WIDE = 0.25


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
        Of the best fit; neither is determined well.
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
    x, y = points.log_sizes, points.log_estimates
    design = line(x)
    smallest, h, u = _search(points, design, y)
    slope = float((projector(design, points.variances) @ (y - _second(points, h, u)))[1])
    allowed = smallest + max(1.0, smallest / (len(points) - 4)) * ndtri((1 + level) / 2) ** 2

    def inside(held: float) -> bool:
        return bool(_search(points, design[:, :1], y - held * x)[0] <= allowed)

    low, high = _last_inside(inside, slope, -REACH), _last_inside(inside, slope, REACH)
    straight = np.square(_outside(points, design) @ y).sum()
    return TwoTerm(
        slope=slope,
        interval=(low, high),
        h=h,
        a=float(np.expm1(u) * points.sizes[0] ** h),
        gain=float(straight) - smallest,
        determined=bool(high - low < TOO_WIDE and max(high - slope, slope - low) < REACH),
    )


def _second(points: Points, h: float | FloatArray, u: float | FloatArray) -> FloatArray:
    """log(1 + a n^{-h}) (..., J), of h and u of any one shape."""
    decay = np.exp(-np.asarray(h)[..., None] * np.log(points.sizes / points.sizes[0]))
    return np.asarray(np.log1p(np.expm1(u)[..., None] * decay))


def _outside(points: Points, design: FloatArray) -> FloatArray:
    """What whitens the points' errors and projects a design out (J, J)."""
    root = np.linalg.cholesky(points.covariance)
    basis = np.linalg.qr(np.linalg.solve(root, design))[0]
    return np.asarray((np.eye(len(points)) - basis @ basis.T) @ np.linalg.inv(root))


def _search(points: Points, design: FloatArray, target: FloatArray) -> tuple[float, float, float]:
    """Smallest chi^2 of a design and a second term, and its h and u."""
    outside = _outside(points, design)
    log_h, reach = np.log(SECOND), float(np.log(SECOND[1] / SECOND[0]))
    for _ in range(1 + REFINED):
        chi2, u = _search_u(points, np.exp(log_h), outside, target)
        best = int(np.argmin(chi2))
        found = float(chi2[best]), float(np.exp(log_h[best])), float(u[best])
        log_h = np.clip(log_h[best] + np.linspace(-reach, reach, NEAR), *np.log(SECOND[[0, -1]]))
        reach /= (NEAR - 1) / 2
    return found


def _search_u(points: Points, h: FloatArray, outside: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Smallest chi^2 for each h (H,), and its u (H,)."""
    rows = np.arange(len(h))
    centre, reach = np.zeros(len(h)), LARGEST
    for zoom in range(1 + ZOOMS):
        steps = np.linspace(-reach, reach, FINE if zoom else COARSE)
        u = np.clip(centre[:, None] + steps, -LARGEST, LARGEST)
        residuals = (target - _second(points, np.broadcast_to(h[:, None], u.shape), u)) @ outside.T
        chi2 = np.square(residuals).sum(axis=-1)
        found = np.argmin(chi2, axis=1)
        centre, reach = u[rows, found], float(steps[1] - steps[0])
    return chi2[rows, found], centre


def _last_inside(inside: Callable[[float], bool], start: float, reach: float) -> float:
    """The farthest value from start, on the way to start + reach, that is inside; to a fine step."""
    step = reach / STEPS
    last = max((k for k in range(1, STEPS + 1) if inside(start + k * step)), default=0)
    if last == STEPS:
        return start + reach
    value = start + last * step
    for halving in range(1, HALVINGS + 1):
        farther = value + step / 2**halving
        value = farther if inside(farther) else value
    return value
