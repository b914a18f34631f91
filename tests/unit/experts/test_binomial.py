"""The binomial expert: a logistic regression, with or without trials."""

from __future__ import annotations

import mpmath
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import moestat as ms
from moestat.data import Block
from moestat.experts import Binomial
from tests.unit.experts.glm import assert_same_fit, covariates, frequencies, glm, one_expert


def successes(rng, trials, X, offset):
    return rng.binomial(trials, 1 / (1 + np.exp(-(0.2 + X @ [0.8, -0.5] + offset))))


def test_one_expert_with_trials_is_a_logistic_regression():
    """statsmodels' columns of successes and failures are successes with trials as exposure."""
    rng = np.random.default_rng(0)
    X, offset, _ = covariates(rng)
    trials = rng.integers(1, 40, len(X))
    y = successes(rng, trials, X, offset)
    results = one_expert("binomial", X, y, offset=offset, exposure=trials)
    other = glm(X, np.column_stack([y, trials - y]), sm.families.Binomial(), offset=offset)
    assert_same_fit(results, other)
    np.testing.assert_allclose(results.predict(X, offset=offset, exposure=trials), trials * other.mu, rtol=1e-8)


def test_zeros_and_ones_need_no_trials():
    rng = np.random.default_rng(1)
    X, offset, _ = covariates(rng)
    y = successes(rng, 1, X, offset)
    results = one_expert("binomial", X, y, offset=offset)
    assert_same_fit(results, glm(X, y, sm.families.Binomial(), offset=offset))
    one = one_expert("binomial", X, y, offset=offset, exposure=np.ones(len(y)))
    assert one.llf == pytest.approx(results.llf, rel=1e-13)
    classes = ms.fit(ms.MixtureOfExperts(expert="multinomial", n_experts=1), X, np.where(y, "yes", "no"))
    assert one_expert("binomial", X, y).llf == pytest.approx(classes.llf, rel=1e-12)


def block_of(eta, y, trials=None):
    ones = np.ones((1, len(eta)))
    known = np.asarray(eta, float) + (0.0 if trials is None else np.log(trials))
    return Block(ones, ones, np.asarray(y, float)[None].copy(), known, np.ones(len(eta)), trials)


@pytest.mark.parametrize("n", [1, 2, 17, 1000, 10**6])
@pytest.mark.parametrize("eta", [-30.0, -2.0, 0.0, 1e-3, 5.0])
def test_log_probabilities_have_no_cancellation(n, eta):
    y = np.unique([0, 1, n // 3, n - 1, n]).astype(float)
    y = y[(y >= 0) & (y <= n)]
    out = np.empty((1, y.size))
    Binomial().value(np.zeros((1, 1)), block_of(np.full(y.size, eta), y, np.full(y.size, float(n))), out)
    with mpmath.workdps(50):
        p = 1 / (1 + mpmath.exp(-mpmath.mpf(eta)))
        for count, got in zip(y, out[0], strict=True):
            exact = mpmath.log(mpmath.binomial(n, int(count))) + count * mpmath.log(p) + (n - count) * mpmath.log(1 - p)
            steep = abs(count - n * float(p))  # rounding of eta and of log n
            assert got == pytest.approx(float(exact), rel=2e-15, abs=4e-15 * (steep + 1) * max(1.0, abs(eta)))


@pytest.mark.parametrize("trials", [None, 12.0])
def test_derivatives_are_those_of_complex_steps(trials):
    rng = np.random.default_rng(2)
    n = None if trials is None else np.full(30, trials)
    y = rng.integers(0, 2 if n is None else 13, 30).astype(float)
    block = block_of(rng.standard_normal(30), y, n)
    X = np.vstack([np.ones(30), rng.standard_normal((2, 30))])
    block = block._replace(X=X)
    local, c = rng.standard_normal((1, 3)), rng.standard_normal((1, 30))
    m = np.ones(30) if n is None else n
    eta0 = block.offset - np.log(m)

    def log_f(theta):
        eta = theta @ X + eta0
        return y * eta - m * np.log(1 + np.exp(eta))

    step = 1e-30j * np.eye(3)
    expected = np.stack([log_f(local[0] + e).imag for e in step]) / 1e-30
    J, curv = np.empty((1, 3, 30)), np.zeros((1, 3, 3))
    Binomial().jac(local, block, np.zeros((1, 30)), J)
    np.testing.assert_allclose(J[0], expected, atol=1e-12)
    Binomial().curv(local, block, np.zeros((1, 30)), c, curv)
    p = 1 / (1 + np.exp(-(local[0] @ X + eta0)))
    np.testing.assert_allclose(curv[0], -(X * (c[0] * m * p * (1 - p))) @ X.T, atol=1e-11)


def test_draws_and_distribution_function_are_those_of_the_law():
    eta, n = np.full(20_000, 0.4), np.full(20_000, 9.0)
    local, block = np.zeros((1, 1)), block_of(eta, np.zeros(20_000), n)
    law = stats.binom(9, 1 / (1 + np.exp(-0.4)))
    draws = Binomial().draw(local, block, np.zeros(20_000, dtype=int), np.random.default_rng(1))[0]
    assert frequencies(draws, law.pmf, np.arange(10)) < 3.0
    points = np.array([-2.0, 0.0, 3.5, 9.0, 40.0])
    few = block_of(np.full(5, 0.4), np.zeros(5), np.full(5, 9.0))
    np.testing.assert_allclose(Binomial().cdf(local, few, points)[0], law.cdf(points))


def test_a_row_of_trials_is_of_one_expert():
    """n trials in one row say more than n rows of one trial, in a mixture."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((150, 1))
    first = rng.random(150) < 0.5
    y = rng.binomial(20, np.where(first, 0.9, 0.2))
    model = ms.MixtureOfExperts(expert="binomial", n_experts=2)
    results = ms.fit(model, X, y, exposure=np.full(150, 20))
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    chances = np.sort(1 / (1 + np.exp(-results.params.expert.intercepts)))
    np.testing.assert_allclose(chances, [0.2, 0.9], atol=0.05)
    assert results.check().passed
    frame = pd.DataFrame({"hits": y, "x": X[:, 0], "shots": 20})
    formula = ms.moe("hits ~ x", frame, expert="binomial", exposure="shots").fit()
    assert formula.llf == pytest.approx(results.llf, rel=1e-12)
    np.testing.assert_allclose(formula.predict(frame), results.predict(), rtol=1e-8)
    quantile = formula.get_prediction(frame).quantile(0.9)
    assert ((quantile >= 0) & (quantile <= 20)).all()


def test_separation_is_named():
    x = np.linspace(-1, 1, 60)[:, None]
    with pytest.warns(ms.SeparationWarning):
        results = one_expert("binomial", x, (x[:, 0] > 0).astype(float))
    assert results.certificate.status is ms.Status.RUNAWAY


@pytest.mark.parametrize(
    ("y", "trials", "words"),
    [
        ([0.0, 1.0, 3.0], None, "needs a response of 0 and 1; y holds 3. Pass the number of trials"),
        ([0.0, 0.5, 1.0], None, "counts of successes, not proportions"),
        ([0.0, 4.0, 1.0], [3.0, 3.0, 3.0], "no more successes than trials; got 4 successes of 3 trials"),
        ([0.0, 1.0, 1.0], [3.0, 2.5, 3.0], "numbers of trials, which must be whole; got 2.5"),
        ([0.0, -1.0, 1.0], [3.0, 3.0, 3.0], "whole numbers of at least 0; y holds -1"),
    ],
)
def test_what_is_no_number_of_successes_is_refused(y, trials, words):
    with pytest.raises(ms.InputError, match=words):
        one_expert("binomial", np.arange(3.0)[:, None], y, exposure=trials)
