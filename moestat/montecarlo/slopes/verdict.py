"""What an effective slope says of a predicted rate.

The predicted *band* holds the slopes of the rate on the window, with and without its factor of log n, widened by a
margin. Rules are asked in the order of `RULES`, and the first that applies gives the verdict. Agreement has to be
shown, by a 90 % interval inside the band (two one-sided tests at 5 %); that an interval touches the band shows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import ceil, inf, log, sqrt

import numpy as np

from moestat.errors import InputError
from moestat.montecarlo.slopes.curvature import Curvature
from moestat.montecarlo.slopes.gain import STILL, Gain
from moestat.montecarlo.slopes.printing import bracket, in_words, where
from moestat.montecarlo.slopes.slope import Slope
from moestat.montecarlo.slopes.weighted import STRAY_LEVEL
from moestat.theory.rates import Rate

#: Two one-sided tests at 5 % are an interval of 90 %.
INSIDE_LEVEL, OUTSIDE_LEVEL = 0.90, 0.95
#: Where a parabola, or the lack of fit, counts.
BENT_LEVEL, SCATTER_LEVEL = 0.05, 0.01
#: Fewer sizes, or a shorter window, show no slope worth a verdict.
MIN_SIZES, MIN_DECADES = 5, 1.5

#: A median gain below this is no rounding, and no step that was left out: the fit lies below its reference.
FAR_BELOW = -1.0


class Ruling(Enum):
    """How a verdict is called."""

    CONSISTENT = "consistent"
    WITHIN_BOUND = "within the bound"
    FASTER = "faster"
    SLOWER = "slower"
    TOO_SHORT = "window too short"
    NOT_YET = "not yet asymptotic"
    NO_POWER_LAW = "no power law"
    NOT_IDENTIFIED = "not identified"
    DID_NOT_MOVE = "did not move"
    TOO_NOISY = "too noisy"


@dataclass(frozen=True)
class Verdict:
    """A verdict on an effective slope; prints as its name and its sentence.

    Parameters
    ----------
    ruling : Ruling or None
        ``None`` where nothing is predicted that a slope could be compared with.
    sentence : str
        About the effective slope on its window, never about a rate.
    interval : tuple of float
        Of the effective slope, 95 %.
    predicted_interval : tuple of float or None
        The band: predicted slopes widened by the margin.
    needed_replications : int or None
        Of a noisy slope: how many for each size, those that are there included, would settle it if the estimate stayed.
    """

    ruling: Ruling | None
    sentence: str
    interval: tuple[float, float]
    predicted_interval: tuple[float, float] | None = None
    needed_replications: int | None = None

    @property
    def name(self) -> str:
        return "no prediction" if self.ruling is None else self.ruling.value

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}"


def judge(
    slope: Slope,
    predicted: Rate | None,
    *,
    bound: bool = False,
    margin: float = 0.05,
    identified: bool = True,
    gain: Gain | None = None,
    min_sizes: int = MIN_SIZES,
    min_decades: float = MIN_DECADES,
) -> Verdict:
    """Compare an effective slope with a predicted rate.

    Parameters
    ----------
    slope : Slope
    predicted : Rate or None
        ``None`` where no theorem is known.
    bound : bool
        Whether theory gives an upper bound on the loss only, so that a steeper slope contradicts nothing.
    margin : float
        By how much slopes may differ that are taken for equal.
    identified : bool
        Whether theory says that the parameters are identified.
    gain : Gain, optional
        Of a fit with more experts than the truth, over the fit with as many.
    min_sizes : int
        Sizes that a verdict needs, at least three.
    min_decades : float
        Decades from the smallest to the largest of them.

    Returns
    -------
    Verdict

    Examples
    --------
    >>> from fractions import Fraction
    >>> import numpy as np
    >>> from moestat.montecarlo.slopes import Measured, effective_slope, judge
    >>> from moestat.theory.rates import Rate
    >>> rng = np.random.default_rng(0)
    >>> sizes = np.geomspace(1e3, 1e5, 12).round()
    >>> losses = Measured.of({n: n**-0.5 * rng.lognormal(sigma=0.5, size=200) for n in sizes})
    >>> judge(effective_slope(losses), Rate(Fraction(1, 2))).name
    'consistent'
    """
    if not 0 < margin < inf:
        raise InputError(f"margin must be a positive number; got {margin!r}. The usual one is 0.05.")
    if min_sizes < 3:
        raise InputError(f"min_sizes must be at least 3; got {min_sizes!r}.")
    rate = predicted if predicted is not None and predicted.exponent is not None else None
    slopes = None if rate is None else rate.slopes(*slope.window)
    case = _Case(slope, predicted, rate, slopes, bound, margin, identified, gain, min_sizes, min_decades)
    finding = next(found for rule in RULES if (found := rule(case)) is not None)
    interval = slope.interval_at(OUTSIDE_LEVEL)
    text = where(slope)
    start = f"{text[0].upper()}{text[1:]} is {slope.slope:.3f} (95 % interval {bracket(interval)})"
    band = None if slopes is None else case.band
    return Verdict(finding.ruling, f"{start}: {finding.words}.", interval, band, finding.needed)


@dataclass(frozen=True)
class _Finding:
    """A rule's answer."""

    ruling: Ruling | None
    words: str
    needed: int | None = None


@dataclass(frozen=True)
class _Case:
    """What rules look at."""

    slope: Slope
    predicted: Rate | None
    rate: Rate | None
    slopes: tuple[float, float] | None
    bound: bool
    margin: float
    identified: bool
    gain: Gain | None
    min_sizes: int
    min_decades: float

    @property
    def band(self) -> tuple[float, float]:
        """Predicted slopes, widened; all slopes where nothing is predicted."""
        low, high = self.slopes or (-inf, inf)
        return low - self.margin, high + self.margin

    @property
    def allowed(self) -> tuple[float, float]:
        """What contradicts nothing: the band, and below it where theory gives a bound."""
        return (-inf if self.bound else self.band[0]), self.band[1]

    @property
    def band_words(self) -> str:
        factor = " with and without its factor of log n" if self.rate and self.rate.log_power else ""
        rate = "" if self.rate is None else in_words(self.rate)
        return f"{bracket(self.band)}, the slopes of {rate} there{factor}, ±{self.margin:g}"

    def distance(self, slope: float) -> float:
        """Of a slope from the predicted ones."""
        low, high = self.slopes or (-inf, inf)
        return max(low - slope, slope - high, 0.0)

    def approaches(self, bend: Curvature) -> bool:
        """Whether the parabola ends nearer to the prediction than it begins."""
        return self.slopes is not None and self.distance(bend.at_high) < self.distance(bend.at_low)

    @property
    def bending_of_the_rate(self) -> float:
        """By how much the factor of log n alone changes a local slope over the window."""
        if self.rate is None:
            return 0.0
        low, high = self.slope.window
        return abs(float(self.rate.log_power)) * (1 / log(low) - 1 / log(high))


def _not_identified(case: _Case) -> _Finding | None:
    if case.identified:
        return None
    words = "theory says that the parameters are not identified, so that no slope is predicted to compare it with"
    return _Finding(Ruling.NOT_IDENTIFIED, words)


def _did_not_move(case: _Case) -> _Finding | None:
    if case.gain is None or not (still := case.gain.stood_still(*case.slope.window)).any():
        return None
    j = int(np.flatnonzero(still)[-1])
    at = f"at n={case.gain.sizes[j]:.12g}, {case.gain.still[j]:.0%} of the fits gain less than {STILL:g}"
    placed = "next to it" if case.gain.medians[j] > FAR_BELOW else "below it"
    words = f"{at} in log-likelihood over the reference fit (median {case.gain.medians[j]:.2g}): they are {placed}"
    return _Finding(Ruling.DID_NOT_MOVE, words)


def _too_short(case: _Case) -> _Finding | None:
    sizes, decades = len(case.slope.points), case.slope.decades
    if sizes >= case.min_sizes and decades >= case.min_decades - 1e-9:
        return None
    rule = f"a verdict needs {case.min_sizes} sizes over {case.min_decades:g} decades"
    return _Finding(Ruling.TOO_SHORT, f"it rests on {sizes} sizes over {decades:.2f} decades, and {rule}")


def _bent(case: _Case) -> _Finding | None:
    """A bend that is significant, larger than the margin, and leaves what the prediction allows."""
    bend = case.slope.curvature
    if bend is None or not bend.p_value < BENT_LEVEL:
        return None
    ends = (bend.at_low, bend.at_high)
    large = abs(ends[1] - ends[0]) > case.margin + case.bending_of_the_rate
    leaves = case.slopes is None or not case.allowed[0] <= min(ends) <= max(ends) <= case.allowed[1]
    return _bending(case, bend) if large and leaves else None


def _bending(case: _Case, bend: Curvature) -> _Finding:
    path = f"the points bend (p = {bend.p_value:.2g}), along a parabola from {bend.at_low:.3f} to {bend.at_high:.3f}"
    if case.approaches(bend):
        return _Finding(Ruling.NOT_YET, f"{path}, towards the predicted {bracket(case.slopes or (0, 0))}")
    away = "" if case.slopes is None else f", not towards the predicted {bracket(case.slopes)}"
    return _Finding(Ruling.NO_POWER_LAW, f"{path}{away}, and one power of n does not describe them")


def _stray(case: _Case) -> _Finding | None:
    """A lack of fit that is significant, and larger than what turning the line by the margin does to its ends."""
    p_value, (low, high) = case.slope.stray_p, case.slope.window
    beyond = sqrt(max(0.0, case.slope.fit.birge**2 - 1) * float(case.slope.points.variances.mean()))
    if not p_value < SCATTER_LEVEL or beyond <= case.margin * log(high / low) / 2:
        return None
    by = f"by {np.expm1(beyond):.0%} more than Monte Carlo error (lack of fit p = {p_value:.2g})"
    return _Finding(
        Ruling.NO_POWER_LAW, f"the points stray from a line {by}, and one power of n does not describe them"
    )


def _unpredicted(case: _Case) -> _Finding | None:
    if case.slopes is not None:
        return None
    what = "no rate is predicted" if case.predicted is None else f"no power of n is predicted ({case.predicted})"
    return _Finding(None, f"{what} to compare it with")


def _consistent(case: _Case) -> _Finding | None:
    low, high = case.slope.interval_at(INSIDE_LEVEL)
    if not case.band[0] < low <= high < case.band[1]:
        return None
    return _Finding(Ruling.CONSISTENT, f"its 90 % interval {bracket((low, high))} lies inside {case.band_words}")


def _within_bound(case: _Case) -> _Finding | None:
    interval = case.slope.interval_at(INSIDE_LEVEL)
    if not case.bound or interval[1] >= case.band[1]:
        return None
    words = (
        f"its 90 % interval {bracket(interval)} ends below the upper end of {case.band_words}, theory giving a bound"
    )
    return _Finding(Ruling.WITHIN_BOUND, words)


def _faster(case: _Case) -> _Finding | None:
    if case.bound or case.slope.interval_at(OUTSIDE_LEVEL)[1] >= case.band[0]:
        return None
    return _Finding(Ruling.FASTER, f"its interval lies below all of {case.band_words}")


def _slower(case: _Case) -> _Finding | None:
    if case.slope.interval_at(OUTSIDE_LEVEL)[0] <= case.band[1]:
        return None
    return _Finding(Ruling.SLOWER, f"its interval lies above all of {case.band_words}")


def _undecided(case: _Case) -> _Finding:
    """The interval lies across an edge: because of noise, which replications lessen, or of what they do not."""
    across = f"its interval is neither inside nor outside {case.band_words}"
    bend, p_value = case.slope.curvature, case.slope.stray_p
    if bend is not None and bend.p_value < BENT_LEVEL:
        found = _bending(case, bend)
        return _Finding(found.ruling, f"{across}, and {found.words}")
    if p_value < STRAY_LEVEL:
        words = f"the points stray from a line by more than Monte Carlo error (p = {p_value:.2g})"
        return _Finding(Ruling.NO_POWER_LAW, f"{across}, and {words}, which more replications do not lessen")
    needed = _needed(case)
    if needed is None:
        return _Finding(
            Ruling.TOO_NOISY, f"{across}; the estimate is at an edge, and no number of replications is named"
        )
    total = f"{needed:,} replications of each size in all would settle it if the estimate stayed"
    return _Finding(Ruling.TOO_NOISY, f"{across}; {total}", needed)


def _needed(case: _Case) -> int | None:
    """R (half width / distance to the nearest edge)^2: errors fall like 1 / sqrt(R)."""
    estimate = case.slope.slope
    inside = case.allowed[0] < estimate < case.allowed[1]
    low, high = case.slope.interval_at(INSIDE_LEVEL if inside else OUTSIDE_LEVEL)
    gaps = [edge - estimate for edge in case.allowed]
    if 0 in gaps:
        return None
    ratio = max((high - estimate if gap > 0 else estimate - low) / abs(gap) for gap in gaps)
    return ceil(int(case.slope.points.counts.max()) * ratio**2)


#: In the order in which they are asked; the last one always answers.
RULES = (
    _not_identified,
    _did_not_move,
    _too_short,
    _bent,
    _stray,
    _unpredicted,
    _consistent,
    _within_bound,
    _faster,
    _slower,
    _undecided,
)
