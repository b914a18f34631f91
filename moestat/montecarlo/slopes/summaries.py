"""The number that stands for the losses of one sample size, on the log scale, and its Monte Carlo variance.

The mean, the median and the geometric mean have the same slope where the law of the loss keeps its shape from one
sample size to the next, and differ otherwise. So a slope always says which one it is of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moestat.errors import InputError
from moestat.montecarlo.slopes.measured import NoSlopeError
from moestat.typing import FloatArray

#: A median bears this share of zeros and infinite values: its neighbours in order, hence its error, are then ordinary.
OUTER_SHARE = 0.25


@dataclass(frozen=True)
class Summary:
    """A functional of the law of a loss.

    Parameters
    ----------
    name : str
    words : str
        How a sentence calls it.
    prepare : callable
        Values (R,) and their sample size to what is summarised (R,); refuses values that have no such summary.
    log_estimate : callable
        Prepared values (..., R) to the log of the estimate (...).
    variance : callable
        Prepared values (..., R) to the Monte Carlo variance of the log estimate (...).
    """

    name: str
    words: str
    prepare: Callable[[FloatArray, float], FloatArray]
    log_estimate: Callable[[FloatArray], FloatArray]
    variance: Callable[[FloatArray], FloatArray]


def summary(name: str) -> Summary:
    """The functional of that name."""
    if name not in SUMMARIES:
        raise InputError(f"functional must be one of {', '.join(SUMMARIES)}; got {name!r}.")
    return SUMMARIES[name]


def _finite(values: FloatArray, n: float) -> FloatArray:
    if (count := np.isinf(values).sum()) > 0:
        raise NoSlopeError(f"{count} values of n={n:g} are infinite: they have no mean. Ask for functional='median'.")
    if not values.any():
        raise NoSlopeError(
            f"all values of n={n:g} are zero: their mean has no logarithm. Take a window without this size."
        )
    return values


def _log_mean(values: FloatArray) -> FloatArray:
    return np.asarray(np.log(values.mean(axis=-1)))


def _mean_variance(values: FloatArray) -> FloatArray:
    """(Monte Carlo standard error / mean)^2: by the delta method."""
    return _mean_of_logs_variance(values / values.mean(axis=-1, keepdims=True))


def _positive_logs(values: FloatArray, n: float) -> FloatArray:
    outside = (values == 0) | np.isinf(values)
    if outside.any():
        what = f"{outside.sum()} values of n={n:g} are zero or infinite: they have no mean of logarithms"
        raise NoSlopeError(f"{what}. Ask for functional='median', or for the mean if they are zero.")
    return np.log(values)


def _mean_of_logs(logs: FloatArray) -> FloatArray:
    return np.asarray(logs.mean(axis=-1))


def _mean_of_logs_variance(logs: FloatArray) -> FloatArray:
    return np.asarray(logs.var(axis=-1, ddof=1) / logs.shape[-1])


def _ordered_logs(values: FloatArray, n: float) -> FloatArray:
    """Logs, in which the few that are infinite stand at the ends of the others: the median does not see how far."""
    outside = (values == 0) | np.isinf(values)
    if outside.sum() > OUTER_SHARE * len(values):
        rule = f"a median is taken where they are at most {OUTER_SHARE:.0%}"
        what = f"{outside.sum()} of {len(values)} values of n={n:g} are zero or infinite; {rule}"
        raise NoSlopeError(f"{what}. Take a window without this size.")
    inner = values[~outside]
    return np.log(np.clip(values, inner.min(), inner.max()))


def _median(logs: FloatArray) -> FloatArray:
    return np.asarray(np.median(logs, axis=-1))


def _median_variance(logs: FloatArray) -> FloatArray:
    """Exact bootstrap variance of an order statistic (Maritz and Jarrett 1978): no density is estimated."""
    from scipy.special import betainc

    count = logs.shape[-1]
    middle = (count + 1) / 2
    weights = np.diff(betainc(middle, middle, np.arange(count + 1) / count))
    ordered = np.sort(logs, axis=-1)
    return np.asarray(np.square(ordered - (ordered @ weights)[..., None]) @ weights)


SUMMARIES = {
    one.name: one
    for one in (
        Summary("mean", "mean loss", _finite, _log_mean, _mean_variance),
        Summary("median", "median loss", _ordered_logs, _median, _median_variance),
        Summary("geometric", "geometric mean of the loss", _positive_logs, _mean_of_logs, _mean_of_logs_variance),
    )
}
