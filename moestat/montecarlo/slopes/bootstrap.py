"""Resampling of replications: each sample size apart, or a replication with all its sizes where data are nested."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from moestat.montecarlo.slopes.measured import Measured, NoSlopeError
from moestat.montecarlo.slopes.summaries import Summary
from moestat.typing import BoolArray, FloatArray, IntArray

#: Of the prepared values of one draw and one size.
Statistic = Callable[[FloatArray], FloatArray]


def independent_draws(
    prepared: tuple[FloatArray, ...], statistics: tuple[Statistic, ...], n_draws: int, rng: np.random.Generator
) -> tuple[FloatArray, ...]:
    """Each statistic (n_draws, J), where the sizes are resampled apart."""
    chosen = (one[rng.integers(len(one), size=(n_draws, len(one)))] for one in prepared)
    return _columns([tuple(of(one) for of in statistics) for one in chosen])


def joint_draws(
    prepared: tuple[FloatArray, ...],
    replications: tuple[IntArray, ...],
    statistics: tuple[Statistic, ...],
    n_draws: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, ...]:
    """Each statistic (n_draws, J), where a replication is drawn with all its sizes.

    A replication without a value at some size brings none there: that size then has fewer values in this draw.
    """
    everyone = np.unique(np.concatenate(replications))
    drawn = rng.integers(len(everyone), size=(n_draws, len(everyone)))
    found = []
    for values, which in zip(prepared, replications, strict=True):
        if len(which) == len(everyone):
            found.append(tuple(of(values[np.argsort(which)][drawn]) for of in statistics))
        else:
            column = np.full(len(everyone), np.nan)
            column[np.searchsorted(everyone, which)] = values
            found.append(_of_present(column[drawn], statistics))
    return _columns(found)


def correlation(
    prepared: tuple[FloatArray, ...],
    replications: tuple[IntArray, ...],
    of: Summary,
    n_draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Correlation (J, J) of the estimates of all sizes, by the joint bootstrap."""
    (draws,) = joint_draws(prepared, replications, (of.log_estimate,), n_draws, rng)
    vary = (np.ptp(draws, axis=0) != 0).all()
    draws = enough(draws, np.asarray(np.isfinite(draws).all(axis=1) & vary))
    return np.asarray(np.corrcoef(draws, rowvar=False))


def enough(draws: FloatArray, usable: BoolArray) -> FloatArray:
    """The usable draws, at least half of all."""
    if usable.sum() < len(usable) / 2:
        what = f"only {usable.sum()} of {len(usable)} resamples have values that vary at every size"
        raise NoSlopeError(f"{what}. Take a window without sizes of few or equal values.")
    return draws[usable]


def nested_in(measured: Measured) -> int:
    """Number of different replications."""
    return len(np.unique(np.concatenate(measured.replications)))


def _of_present(draws: FloatArray, statistics: tuple[Statistic, ...]) -> tuple[FloatArray, ...]:
    """Statistics of ragged rows: NaN where fewer than two are left."""
    rows = [row[~np.isnan(row)] for row in draws]
    return tuple(np.array([float(of(row)) if len(row) > 1 else np.nan for row in rows]) for of in statistics)


def _columns(found: list[tuple[FloatArray, ...]]) -> tuple[FloatArray, ...]:
    return tuple(np.column_stack(one) for one in zip(*found, strict=True))
