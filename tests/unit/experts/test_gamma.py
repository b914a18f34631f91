"""The gamma expert: a gamma regression with its dispersion by maximum likelihood."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, special, stats

import moestat as ms
from moestat.data import Block
from moestat.experts import Gamma
from moestat.experts.gamma import _digamma_gap, _log_peak, _trigamma_gap
from tests.unit.experts.glm import covariates, glm, one_expert


def positive_rows(seed=0, n=300):
    rng = np.random.default_rng(seed)
    X, offset, exposure = covariates(rng, n)
    mean = exposure * np.exp(0.5 + X @ [0.4, -0.3] + offset)
    return X, mean * rng.gamma(3.0, 1 / 3.0, n), offset, exposure


def test_one_expert_is_a_gamma_regression():
    """statsmodels has the same means; its dispersion is by moments, so errors and likelihood are taken at ours."""
    X, y, offset, exposure = positive_rows()
    results = one_expert("gamma", X, y, offset=offset, exposure=exposure)
    link = sm.families.links.Log()
    other = glm(X, y, sm.families.Gamma(link), offset=offset + np.log(exposure))
    np.testing.assert_allclose(results.estimates.to_numpy()[:3], other.params, atol=1e-8)
    phi = float(results.params.expert.dispersions[0])
    law = stats.gamma(1 / phi, scale=phi * other.mu)
    assert results.llf == pytest.approx(law.logpdf(y).sum(), rel=1e-10)
    # the observed information has y / mu where statsmodels' has its expectation, 1
    A = sm.add_constant(X)
    errors = np.sqrt(np.diag(phi * np.linalg.inv((A.T * (y / other.mu)) @ A)))
    np.testing.assert_allclose(results.bse.to_numpy()[:3], errors, rtol=1e-6)
    best = optimize.brentq(
        lambda a: np.sum(np.log(a) + 1 - special.digamma(a) + np.log(y / other.mu) - y / other.mu), 1.0, 9.0, xtol=1e-14
    )
    assert 1 / phi == pytest.approx(best, rel=1e-9)


def test_functions_of_the_shape_agree_with_forty_digits():
    with mpmath.workdps(60):
        for shape in (1e-3, 0.4, 3.0, 49.9, 50.1, 1e3, 1e8, 1e14):
            a, at = mpmath.mpf(shape), np.array([shape])
            peak = a * mpmath.log(a) - a - mpmath.loggamma(a)
            assert _log_peak(at)[0] == pytest.approx(float(peak), rel=1e-12, abs=1e-13)
            assert _digamma_gap(at)[0] == pytest.approx(float(a * (mpmath.log(a) - mpmath.digamma(a))), rel=1e-12)
            trigamma = a * (1 - a * mpmath.polygamma(1, a))
            assert _trigamma_gap(at)[0] == pytest.approx(float(trigamma), rel=1e-11)


@pytest.mark.parametrize("dispersion", ["own", "common"])
def test_a_mixture_is_certified(dispersion):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((400, 1))
    first = rng.random(400) < 1 / (1 + np.exp(-1.5 * X[:, 0]))
    y = np.exp(np.where(first, 2.0 + 0.5 * X[:, 0], 0.2 - 0.5 * X[:, 0])) * rng.gamma(5.0, 0.2, 400)
    results = ms.fit(ms.MixtureOfExperts(expert=f"gamma(dispersion='{dispersion}')", n_experts=2), X, y)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert results.check().passed
    field = results.params.expert.dispersions if dispersion == "own" else results.params.expert.dispersion
    np.testing.assert_allclose(field, 0.2, atol=0.1)
    # in other units only the intercepts move
    cents = ms.fit(results.model, X, 1e6 * y)
    np.testing.assert_allclose(
        cents.params.expert.intercepts - results.params.expert.intercepts, 6 * np.log(10), atol=1e-6
    )
    np.testing.assert_allclose(cents.llf, results.llf - 400 * 6 * np.log(10), rtol=1e-10)


def test_tiny_responses_keep_their_digits():
    """A gamma law of shape 0.1 has values of 1e-20 beside values of 1; their logarithms are what it is fitted to."""
    rng = np.random.default_rng(4)
    y = np.maximum(rng.gamma(0.1, 10.0, 400), 1e-250)
    assert y.min() < 1e-15
    results = one_expert("gamma", None, y)
    best = optimize.brentq(
        lambda a: np.log(a) - special.digamma(a) + np.log(y).mean() - np.log(y.mean()), 1e-3, 10, xtol=1e-15
    )
    assert 1 / results.params.expert.dispersions[0] == pytest.approx(best, rel=1e-8)


def test_a_few_rows_on_a_curve_are_a_spike_and_named():
    rng = np.random.default_rng(5)
    X = rng.uniform(-1, 1, (80, 1))
    y = np.exp(1.0 + X[:, 0]) * rng.gamma(2.0, 0.5, 80)
    X[:4, 0] = [-0.8, -0.3, 0.4, 0.9]
    y[:4] = np.exp(5.0 - X[:4, 0]) * (1 + 1e-7 * rng.standard_normal(4))
    with pytest.warns(ms.SpikeWarning):
        results = ms.fit(ms.MixtureOfExperts(expert="gamma", n_experts=2), X, y)
    optimum = results.certificate.optimum
    assert optimum.spikes or optimum.floors or results.certificate.higher


def test_draws_follow_the_distribution_function():
    n = 4000
    ones = np.ones((1, n))
    local, block = np.array([[0.7, np.log(0.4)]]), Block(ones, ones, ones, np.zeros(n), np.ones(n))
    law = stats.gamma(1 / 0.4, scale=0.4 * np.exp(0.7))
    draws = Gamma().draw(local, block, np.zeros(n, dtype=int), np.random.default_rng(1))[0]
    assert stats.kstest(draws, law.cdf).pvalue > 1e-3
    points = np.linspace(-1, 6, n)
    np.testing.assert_allclose(Gamma().cdf(local, block, points)[0], law.cdf(points), atol=1e-14)


@pytest.mark.parametrize("bad", [0.0, -2.0])
def test_what_is_not_positive_is_refused(bad):
    with pytest.raises(ms.InputError, match=f"larger than zero; y holds {bad:g}"):
        one_expert("gamma", np.arange(3.0)[:, None], [1.0, bad, 2.0])


def test_unknown_settings_are_refused():
    with pytest.raises(ms.InputError, match="dispersion must be 'own' or 'common'"):
        Gamma(dispersion="shared")


def test_beside_a_normal_law_units_do_not_matter():
    """The response is scaled for both; an offset is one of the logarithm for this family, whatever the unit."""
    rng = np.random.default_rng(6)
    X = rng.standard_normal((300, 1))
    half = rng.random(300) < 0.5
    y = np.where(half, rng.gamma(3.0, 0.5, 300), 20.0 + 3.0 * X[:, 0] + rng.standard_normal(300))
    y = np.maximum(y, 1e-3)
    model = ms.MixtureOfExperts(expert="gamma, gaussian", n_experts=2)
    one, dollars = ms.fit(model, X, y, n_starts=4), ms.fit(model, X, 1e6 * y, n_starts=4)
    assert dollars.llf == pytest.approx(one.llf - 300 * np.log(1e6), rel=1e-9)
    assert model.loglik(dollars.params, X, 1e6 * y) == pytest.approx(dollars.llf, rel=1e-11)
    offset = 0.3 * rng.standard_normal(300)
    shifted = ms.fit(ms.MixtureOfExperts(expert="gamma", n_experts=2), X, 1e6 * y, offset=offset, n_starts=4)
    assert shifted.model.loglik(shifted.params, X, 1e6 * y, offset=offset) == pytest.approx(shifted.llf, rel=1e-11)
    means = np.exp(shifted.params.expert.intercepts + X @ shifted.params.expert.slopes.T + offset[:, None])
    np.testing.assert_allclose(shifted.expert_means(X, offset=offset), means, rtol=1e-9)
