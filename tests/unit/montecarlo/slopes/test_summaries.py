"""Functionals and their Monte Carlo variances against second sources."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from moestat.errors import InputError
from moestat.montecarlo.slopes import Measured, effective_slope
from moestat.montecarlo.slopes.summaries import SUMMARIES, summary

VALUES = np.random.default_rng(1).lognormal(sigma=0.8, size=41)


def of(name, values):
    one = summary(name)
    prepared = one.prepare(np.asarray(values, dtype=float), 100.0)
    return float(one.log_estimate(prepared)), float(one.variance(prepared))


def test_the_mean():
    """(MCSE / mean)^2."""
    log_estimate, variance = of("mean", VALUES)
    assert np.isclose(np.exp(log_estimate), VALUES.mean())
    assert np.isclose(variance, VALUES.var(ddof=1) / 41 / VALUES.mean() ** 2)


def test_the_geometric_mean():
    log_estimate, variance = of("geometric", VALUES)
    assert np.isclose(log_estimate, np.log(VALUES).mean())
    assert np.isclose(variance, np.log(VALUES).var(ddof=1) / 41)


def test_the_median():
    """The median of 41 draws is at most the k-th value where 21 of them are: a binomial law."""
    log_estimate, variance = of("median", VALUES)
    ordered = np.sort(np.log(VALUES))
    shares = np.diff([stats.binom.sf(20, 41, k / 41) for k in range(42)])
    assert np.isclose(np.exp(log_estimate), np.median(VALUES))
    assert np.isclose(variance, shares @ ordered**2 - (shares @ ordered) ** 2, rtol=1e-10)


@pytest.mark.parametrize("name", SUMMARIES)
def test_variances_are_those_of_resampling(name):
    """20,000 resamples tell a variance within 1 %; the delta method of a mean adds a few per cent at 41 values."""
    rng = np.random.default_rng(2)
    one = summary(name)
    prepared = one.prepare(VALUES, 100.0)
    draws = one.log_estimate(prepared[rng.integers(41, size=(20_000, 41))])
    assert np.isclose(
        float(one.variance(prepared)), draws.var() * 41 / 40 if name != "median" else draws.var(), rtol=0.07
    )


def test_rows_at_once_are_rows_one_by_one():
    rows = np.random.default_rng(3).lognormal(size=(4, 9))
    for one in SUMMARIES.values():
        prepared = np.array([one.prepare(row, 10.0) for row in rows])
        assert np.allclose(one.variance(prepared), [one.variance(row) for row in prepared])
        assert np.allclose(one.log_estimate(prepared), [one.log_estimate(row) for row in prepared])


def test_a_median_bears_a_quarter_of_zeros_and_infinities():
    values = np.concatenate([VALUES[:31], np.zeros(5), np.full(5, np.inf)])
    log_estimate, variance = of("median", values)
    assert np.isclose(log_estimate, np.log(np.median(np.where(values == 0, 1e-300, values))))
    assert 0 < variance < 1
    with pytest.raises(InputError, match="11 of 42 values of n=100 are zero or infinite; a median is taken where they"):
        of("median", np.append(values, 0.0))


def test_a_mean_bears_zeros():
    assert np.isclose(of("mean", [0.0, 0.0, 3.0])[0], 0.0)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("mean", [1.0, np.inf], "1 values of n=100 are infinite: they have no mean. Ask for functional='median'"),
        ("mean", [0.0, 0.0], "all values of n=100 are zero"),
        ("geometric", [1.0, 0.0, np.inf], "2 values of n=100 are zero or infinite: they have no mean of logarithms"),
    ],
)
def test_refused_values(name, values, message):
    with pytest.raises(InputError, match=message):
        of(name, values)


def test_an_unknown_functional():
    with pytest.raises(InputError, match="functional must be one of mean, median, geometric; got 'mode'"):
        effective_slope(Measured.of({10: [1.0], 20: [1.0]}), "mode")
