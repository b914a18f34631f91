"""The Poisson expert: a Poisson regression, its extremes, its front doors."""

from __future__ import annotations

import mpmath
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import moestat as ms
from moestat.component import Dims
from moestat.data import Block
from moestat.experts import Poisson
from moestat.kernels.special import excess, saturated
from tests.unit.experts.glm import assert_same_fit, covariates, frequencies, glm, one_expert


def rows_of(eta, y):
    """Rows whose linear predictor is all offset, and local parameters of zero."""
    eta, y = np.atleast_1d(np.asarray(eta, float)), np.atleast_1d(np.asarray(y, float))
    ones = np.ones((1, eta.size))
    return np.zeros((1, 1)), Block(ones, ones, y[None].copy(), eta, np.ones(eta.size))


def log_pmf(eta, y):
    local, block = rows_of(eta, y)
    out = np.empty((1, block.weight.size))
    Poisson().value(local, block, out)
    return out[0]


def test_one_expert_is_a_poisson_regression():
    rng = np.random.default_rng(0)
    X, offset, exposure = covariates(rng)
    y = rng.poisson(exposure * np.exp(0.5 + X @ [0.4, -0.3] + offset))
    results = one_expert("poisson", X, y, offset=offset, exposure=exposure)
    other = glm(X, y, sm.families.Poisson(), offset=offset, exposure=exposure)
    assert_same_fit(results, other)
    np.testing.assert_allclose(results.predict(X, offset=offset, exposure=exposure), other.mu, rtol=1e-8)
    np.testing.assert_allclose(results.predict(), other.mu, rtol=1e-8)


@pytest.mark.parametrize("y", [0.0, 1.0, 7.0, 15.0, 16.0, 300.0, 1e6, 4e12])
@pytest.mark.parametrize("gap", [-40.0, -1.0, -0.26, -0.2, -1e-4, 0.0, 1e-7, 0.24, 0.3, 20.0])
def test_log_probabilities_have_no_cancellation(y, gap):
    """To rounding of the logarithm of the mean, about which the log probability is steep when counts are large."""
    eta = np.log(max(y, 1.0)) + gap
    with mpmath.workdps(60):
        t = mpmath.mpf(eta)
        expected = float(y * t - mpmath.exp(t) - mpmath.loggamma(mpmath.mpf(y) + 1))
        steep = float(abs(y - mpmath.exp(t)))
    assert log_pmf(eta, y)[0] == pytest.approx(expected, rel=1e-14, abs=4e-16 * max(1, abs(eta)) * steep + 1e-15)


def test_excess_and_saturated_agree_with_forty_digits():
    with mpmath.workdps(40):
        for x in (-300.0, -3.0, -0.25, -0.1, -1e-9, 0.0, 1e-12, 0.2499, 0.25, 5.0, 200.0):
            expected = float(mpmath.expm1(mpmath.mpf(x)) - mpmath.mpf(x))
            assert excess(x) == pytest.approx(expected, rel=1e-14, abs=0)  # 1e-16 of exp(x), where x^2 / 2 is 1/32
        y = np.array([0.0, 1, 2, 3, 14, 15, 16, 17, 40, 1e3, 1e9])
        log_y, out = np.empty(y.size), np.empty(y.size)
        saturated(y, log_y, out)
        for count, got in zip(y, out, strict=True):
            c = mpmath.mpf(count)
            expected = c * mpmath.log(c) - c - mpmath.loggamma(c + 1) if count else mpmath.mpf(0)
            assert got == pytest.approx(float(expected), rel=1e-14)


def test_extreme_predictors_stay_finite():
    """Overflow would make a sum of rows useless that the mixture gives no weight."""
    local, block = rows_of([800.0, 800.0, -800.0, -800.0], [0.0, 5.0, 0.0, 5.0])
    value = log_pmf([800.0, 800.0, -800.0, -800.0], [0.0, 5.0, 0.0, 5.0])
    assert np.isfinite(value).all()
    assert value[0] < -1e100
    assert value[2] == 0.0
    assert value[3] == pytest.approx(-4000 - np.log(120))
    J, curv = np.empty((1, 1, 4)), np.zeros((1, 1, 1))
    Poisson().jac(local, block, value[None], J)
    Poisson().curv(local, block, value[None], np.ones((1, 4)), curv)
    assert np.isfinite(J).all()
    assert np.isfinite(curv**2).all()


def test_draws_have_the_frequencies_and_quantiles_of_the_law():
    local, block = rows_of(np.full(20_000, 0.9), np.zeros(20_000))
    draws = Poisson().draw(local, block, np.zeros(20_000, dtype=int), np.random.default_rng(1))[0]
    assert frequencies(draws, stats.poisson(np.exp(0.9)).pmf, np.arange(12)) < 3.0
    points = np.array([-1.0, -0.5, 0.0, 0.7, 3.0])
    local, block = rows_of(np.full(5, 0.9), np.zeros(5))
    np.testing.assert_allclose(Poisson().cdf(local, block, points)[0], stats.poisson(np.exp(0.9)).cdf(points))


def two_rates(n=400, seed=3):
    rng = np.random.default_rng(seed)
    X, t = rng.standard_normal((n, 1)), rng.uniform(0.5, 4.0, n)
    first = rng.random(n) < 1 / (1 + np.exp(-1.5 * X[:, 0]))
    return X, rng.poisson(t * np.exp(np.where(first, 1.5 + 0.4 * X[:, 0], 0.1 - 0.4 * X[:, 0]))), t


@pytest.fixture(scope="module")
def mixture():
    X, y, t = two_rates()
    return ms.fit(ms.MixtureOfExperts(expert="poisson", n_experts=2), X, y, exposure=t)


def test_a_mixture_is_certified_and_checks_out(mixture):
    assert mixture.certificate.status is ms.Status.STRICT_MAXIMUM
    assert mixture.check().passed


@pytest.mark.parametrize("level", [0.025, 0.3, 0.5, 0.9, 0.975])
def test_quantiles_are_the_smallest_counts_that_reach_the_level(mixture, level):
    X, _, t = two_rates()
    quantile = mixture.get_prediction(X[:50], exposure=t[:50]).quantile(level)
    assert np.array_equal(quantile, np.rint(quantile))
    weights, means = mixture.gate_weights(X[:50]), mixture.expert_means(X[:50], exposure=t[:50])

    def below(y):
        return (weights * stats.poisson(means).cdf(y[:, None])).sum(axis=1)

    assert (below(quantile) >= level).all()
    assert (below(quantile - 1) < level).all()


def test_every_front_door_gives_the_same_fit(mixture, tmp_path):
    X, y, t = two_rates()
    frame = pd.DataFrame({"y": y, "x": X[:, 0], "t": t})
    formula = ms.moe("y ~ x", frame, expert="poisson", exposure="t").fit()
    assert formula.llf == pytest.approx(mixture.llf, rel=1e-12)
    np.testing.assert_allclose(formula.predict(frame), mixture.predict(X, exposure=t), rtol=1e-10)
    np.testing.assert_allclose(formula.predict(frame, exposure=2 * t), 2 * mixture.predict(X, exposure=t), rtol=1e-10)
    loaded = ms.load(mixture.save(tmp_path / "fit"))
    np.testing.assert_array_equal(loaded.predict(X, exposure=t), mixture.predict(X, exposure=t))
    estimator = ms.MoERegressor(expert="poisson").fit(X, y)
    assert estimator.predict(X).shape == y.shape
    assert (estimator.predict(X) > 0).all()


def test_an_exposure_is_an_offset_of_its_logarithm(mixture):
    X, y, t = two_rates()
    other = ms.fit(ms.MixtureOfExperts(expert="poisson", n_experts=2), X, y, offset=np.log(t))
    assert other.llf == pytest.approx(mixture.llf, rel=1e-13)
    np.testing.assert_allclose(
        mixture.responsibilities(X, y, exposure=t), other.responsibilities(X, y, offset=np.log(t)), atol=1e-9
    )


def test_covariates_far_from_zero_and_large_counts_do_no_harm():
    """Years about 2000, income in dollars, counts about a million."""
    rng = np.random.default_rng(5)
    year, dollars = rng.integers(1950, 2020, 300).astype(float), 1e6 * rng.random(300)
    y = rng.poisson(np.exp(13.0 + 0.01 * (year - 1990) + 1e-6 * dollars))
    X = np.column_stack([year, dollars])
    results = one_expert("poisson", X, y)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    standard = np.column_stack([(year - 1990) / 10, dollars / 1e6])
    other = glm(standard, y, sm.families.Poisson())
    assert results.llf == pytest.approx(other.llf, rel=1e-9)
    np.testing.assert_allclose(results.estimates.to_numpy()[1:] * [10, 1e6], other.params[1:], rtol=1e-7)


def test_rows_of_zeros_lead_to_infinity_and_it_is_said():
    """A group without any event: its rate tends to zero."""
    x = np.repeat([0.0, 1.0], 50)[:, None]
    y = np.where(x[:, 0] > 0, np.random.default_rng(0).poisson(3.0, 100), 0)
    with pytest.warns(ms.SeparationWarning):
        results = one_expert("poisson", x, y)
    assert results.certificate.status is ms.Status.RUNAWAY


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([-1.0, 2.0, 3.0], "whole numbers of at least 0; y holds -1"),
        ([0.5, 2.0, 3.0], "whole numbers of at least 0; y holds 0.5"),
    ],
)
def test_what_is_no_count_is_refused(y, words):
    with pytest.raises(ms.InputError, match=words):
        one_expert("poisson", np.arange(3.0)[:, None], y)


def test_its_parameters_are_intercepts_and_slopes():
    layout = Poisson().layout(Dims(2, 3))
    assert [path for path, _, _ in layout.leaves()] == ["intercepts", "slopes"]
