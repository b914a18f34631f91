"""Weighted least squares with Monte Carlo variances, and an error that grows where points stray further than those say.

With X the design, W the inverse variances and S the covariance of the points,

    estimate   H y,  H = (X'WX)^{-1} X'W
    covariance H S H'
    lack of fit Q = r' (A'SA)^{-1} r,  r = A'y,  A a basis of what X leaves out

Q has J - p degrees of freedom. Where S comes from a joint bootstrap of R replications, it is a Hotelling statistic, and
Q (R - df) / (R - 1) is compared with df times F(df, R - df). The Birge ratio is sqrt(Q / df); standard errors are
multiplied by it where it exceeds one (Birge 1932). While Q is ordinary, the noise is the Monte Carlo noise, which is
known, and quantiles are those of the normal law; where Q rejects at 5 %, it is estimated from the points themselves,
and quantiles are Student's with df degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from moestat.errors import InputError
from moestat.montecarlo.slopes.points import Points
from moestat.typing import FloatArray

#: Where Q rejects at this level, the noise is taken from the points.
STRAY_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class Fit:
    """A line or a curve through points.

    Parameters
    ----------
    coefficients : ndarray (p,)
    covariance : ndarray (p, p)
        Of Monte Carlo noise alone.
    q, df, p_value : float, int, float
        Lack of fit; the p-value is NaN without degrees of freedom.
    """

    coefficients: FloatArray
    covariance: FloatArray
    q: float
    df: int
    p_value: float

    @property
    def birge(self) -> float:
        """sqrt(Q / df): one where points stray as far from the curve as their Monte Carlo errors say."""
        return float(np.sqrt(self.q / self.df)) if self.df else 1.0

    @property
    def strays(self) -> bool:
        """Whether Q rejects at 5 %."""
        return self.p_value < STRAY_LEVEL

    @cached_property
    def standard_errors(self) -> FloatArray:
        """(p,), multiplied by the Birge ratio where it exceeds one."""
        return np.asarray(np.sqrt(np.diag(self.covariance)) * max(1.0, self.birge))

    def quantile(self, level: float) -> float:
        """Standard errors on either side of an estimate."""
        from scipy.special import ndtri, stdtrit

        upper = (1 + level) / 2
        return float(stdtrit(self.df, upper) if self.strays else ndtri(upper))

    def interval(self, k: int, level: float) -> tuple[float, float]:
        """Of coefficient k."""
        half = self.quantile(level) * self.standard_errors[k]
        return float(self.coefficients[k] - half), float(self.coefficients[k] + half)

    def p_of(self, k: int) -> float:
        """p-value of coefficient k being zero, two-sided."""
        from scipy.special import ndtr, stdtr

        ratio = -abs(self.coefficients[k] / self.standard_errors[k])
        return float(2 * (stdtr(self.df, ratio) if self.strays else ndtr(ratio)))


def weighted_fit(design: FloatArray, points: Points) -> Fit:
    """Weighted least squares of the log estimates on a design (J, p)."""
    design, y = np.asarray(design, dtype=np.float64), points.log_estimates
    if design.shape[0] < design.shape[1]:
        raise InputError(f"{design.shape[1]} coefficients need as many points; got {design.shape[0]}.")
    hat = projector(design, points.variances)
    q, df, p_value = lack_of_fit(design, points)
    return Fit(hat @ y, hat @ points.covariance @ hat.T, q, df, p_value)


def weighted_line(points: Points) -> Fit:
    """A line in log n; its coefficient 1 is the slope."""
    return weighted_fit(line(points.log_sizes), points)


def line(x: FloatArray) -> FloatArray:
    """Design (J, 2) of a line, centred."""
    return np.column_stack([np.ones_like(x), x - x.mean()])


def projector(design: FloatArray, variances: FloatArray) -> FloatArray:
    """H (p, J): what weighted least squares make of the points."""
    weighted = design / variances[:, None]
    return np.asarray(np.linalg.solve(design.T @ weighted, weighted.T))


def lack_of_fit(design: FloatArray, points: Points) -> tuple[float, int, float]:
    """Q, its degrees of freedom and its p-value."""
    from scipy.special import chdtrc, fdtrc

    df = design.shape[0] - design.shape[1]
    if df == 0:
        return 0.0, 0, np.nan
    outside = np.linalg.qr(design, mode="complete")[0][:, design.shape[1] :]
    r = outside.T @ points.log_estimates
    q = float(r @ np.linalg.solve(outside.T @ points.covariance @ outside, r))
    if points.replications is None:
        return q, df, float(chdtrc(df, q))
    rest = points.replications - df
    q *= rest / (points.replications - 1)
    return q, df, float(fdtrc(df, rest, q / df))
