"""The effective slope of a loss on a window of sample sizes, with all that tells how far to trust it.

It describes the sizes that were run, and no others: no window shows a rate, which is a limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from moestat.errors import InputError
from moestat.montecarlo.slopes.curvature import Curvature, curvature
from moestat.montecarlo.slopes.local import Dropped, LocalSlopes, drop_smallest, local_slopes
from moestat.montecarlo.slopes.logs import LogFits, log_fits
from moestat.montecarlo.slopes.measured import Measured
from moestat.montecarlo.slopes.points import MIN_VALUES, Points, points_of
from moestat.montecarlo.slopes.studentised import resampled, stray_p, studentised
from moestat.montecarlo.slopes.summaries import summary
from moestat.montecarlo.slopes.two_term import TwoTerm, two_term
from moestat.montecarlo.slopes.weighted import Fit, line, weighted_line
from moestat.typing import FloatArray

if TYPE_CHECKING:
    import pandas as pd

INTERVALS = ("weighted", "bootstrap")

#: From so many values on the law of a lack of fit is that of theory, and is not resampled: the skewness of a mean is
#: down to a seventieth of the values' own.
SETTLED = 5000


@dataclass(frozen=True, eq=False)
class Slope:
    """An effective slope; prints its evidence.

    Parameters
    ----------
    functional : {"mean", "median", "geometric"}
    points : Points
        Sizes, numbers of values, log estimates and their Monte Carlo errors.
    fit : Fit
        The weighted line.
    level : float
        Of the intervals.
    left_out : tuple of (float, int)
        Sizes of the window with fewer than five values, and how many those have.
    powers : tuple of float
        Powers of log n that `log_fits` holds.
    studentised : ndarray or None
        Of bootstrap draws, where the interval is theirs.
    stray_p : float
        p-value of the lack of fit; from the bootstrap where that of the fit is below 5 % and a size has fewer than
        `SETTLED` values.
    """

    functional: str
    points: Points = field(repr=False)
    fit: Fit = field(repr=False)
    level: float
    left_out: tuple[tuple[float, int], ...] = ()
    powers: tuple[float, ...] = ()
    studentised: FloatArray | None = field(default=None, repr=False)
    stray_p: float = 1.0

    @property
    def slope(self) -> float:
        return float(self.fit.coefficients[1])

    @property
    def standard_error(self) -> float:
        """Of Monte Carlo noise, multiplied by the Birge ratio where it exceeds one."""
        return float(self.fit.standard_errors[1])

    @property
    def interval(self) -> tuple[float, float]:
        """Of the level that was asked for."""
        return self.interval_at(self.level)

    def interval_at(self, level: float) -> tuple[float, float]:
        """Of another level: weighted and inflated, or by the bootstrap."""
        _check_level(level)
        if self.studentised is None:
            return self.fit.interval(1, level)
        lower, upper = np.quantile(self.studentised, [(1 - level) / 2, (1 + level) / 2])
        return self.slope - float(upper) * self.standard_error, self.slope - float(lower) * self.standard_error

    @property
    def window(self) -> tuple[float, float]:
        """The smallest and the largest size that it rests on."""
        return float(self.points.sizes[0]), float(self.points.sizes[-1])

    @property
    def decades(self) -> float:
        low, high = self.window
        return float(np.log10(high / low))

    @property
    def nested(self) -> bool:
        return self.points.replications is not None

    @cached_property
    def local(self) -> LocalSlopes:
        """Slopes between neighbouring sizes."""
        return local_slopes(self.points)

    @cached_property
    def curvature(self) -> Curvature | None:
        """A parabola in log n; ``None`` of fewer than four sizes."""
        return curvature(self.points)

    @cached_property
    def dropped(self) -> tuple[Dropped, ...]:
        """The slope without 0, 1, 2, ... of the smallest sizes (weighted intervals)."""
        return drop_smallest(self.points, self.level)

    @cached_property
    def two_term(self) -> TwoTerm | None:
        """c n^{-g} (1 + a n^{-h}); ``None`` of fewer than six sizes."""
        return two_term(self.points, self.level)

    @cached_property
    def logs(self) -> LogFits:
        """Regressions on log(n)/n and on powers of log n."""
        return log_fits(self.points, self.powers, self.level)

    def to_frame(self) -> pd.DataFrame:
        """One row for each size: counts, estimate and its errors, residual in errors, slope from the size before."""
        import pandas as pd

        points = self.points
        residuals = points.log_estimates - line(points.log_sizes) @ self.fit.coefficients
        return pd.DataFrame(
            {
                "n": points.sizes,
                "values": points.counts,
                "missing": points.missing,
                "estimate": np.exp(points.log_estimates),
                "log_estimate": points.log_estimates,
                "standard_error": points.standard_errors,
                "smoothed_error": np.sqrt(points.variances),
                "residual": residuals / np.sqrt(points.variances),
                "local_slope": np.concatenate([[np.nan], self.local.slopes]),
                "local_error": np.concatenate([[np.nan], self.local.standard_errors]),
            }
        )

    def __str__(self) -> str:
        from moestat.montecarlo.slopes.printing import evidence

        return evidence(self)


def effective_slope(
    measured: Measured,
    functional: str = "mean",
    *,
    window: tuple[float, float] | None = None,
    nested: bool = False,
    level: float = 0.95,
    interval: str = "weighted",
    smooth: bool = True,
    powers: tuple[float, ...] = (0.5, 1.0),
    n_draws: int = 400,
    seed: int = 0,
) -> Slope:
    """Slope of the log of a mean, median or geometric mean on log n, by weighted least squares.

    Parameters
    ----------
    measured : Measured
    functional : {"mean", "median", "geometric"}
        What stands for the losses of a size. A mean refuses infinite values, a geometric mean zeros as well; a median
        bears a quarter of either.
    window : tuple of float, optional
        The smallest and the largest size to use; all sizes when left out.
    nested : bool
        Whether equal replications of different sizes share data, so that points are correlated. Their correlation comes
        from resampling replications jointly over the sizes.
    level : float
        Of the intervals.
    interval : {"weighted", "bootstrap"}
        From the weighted fit and its Birge ratio, or bootstrap-t multiplied by the same ratio.
    smooth : bool
        Whether Monte Carlo variances are smoothed over the sizes; with False each size has its own.
    powers : tuple of float
        Powers of log n that are held beside an estimated power of n.
    n_draws : int
        Of either bootstrap.
    seed : int
        Of either bootstrap: the result is a function of the arguments.

    Returns
    -------
    Slope

    Raises
    ------
    NoSlopeError
        An `InputError`: where fewer than three sizes have five values, or a size has no such functional, or no spread.

    Notes
    -----
    Replications without a value (NaN) are counted and left out; so are sizes with fewer than five values. What that may
    hide, where values are missing for a reason, is for the caller to bound.

    Examples
    --------
    >>> import numpy as np
    >>> from moestat.montecarlo.slopes import Measured, effective_slope
    >>> rng = np.random.default_rng(0)
    >>> losses = Measured.of({n: n**-0.5 * rng.lognormal(size=200) for n in (100, 200, 400, 800, 1600)})
    >>> slope = effective_slope(losses)
    >>> low, high = slope.interval
    >>> low < -0.5 < high
    True
    """
    _check_level(level)
    if interval not in INTERVALS:
        raise InputError(f"interval must be one of {', '.join(INTERVALS)}; got {interval!r}.")
    if n_draws < 100:
        raise InputError(f"n_draws must be at least 100; got {n_draws!r}.")
    if window is not None and len(window) != 2:
        raise InputError(f"window must be two sample sizes, the smallest and the largest; got {window!r}.")
    of, rng = summary(functional), np.random.default_rng(seed)
    inside = measured if window is None else measured.window(*window)
    points, prepared, few = points_of(inside, of, nested=nested, smooth=smooth, n_draws=n_draws, rng=rng)
    fit = weighted_line(points)
    own, stray = None, fit.p_value
    doubtful = fit.strays and points.counts.min() < SETTLED
    if interval == "bootstrap" or doubtful:
        used = inside.present(MIN_VALUES)
        draws = resampled(points, used, prepared, of, smooth=smooth, n_draws=n_draws, rng=rng)
        own = studentised(points, draws) if interval == "bootstrap" else None
        stray = stray_p(points, draws) if doubtful else fit.p_value
    return Slope(functional, points, fit, level, few, tuple(powers), own, stray)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1; got {level!r}. The usual one is 0.95.")
