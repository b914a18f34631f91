"""Several Gaussian responses beside NumPy, SciPy and fits of one response at a time."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import moestat as ms
from moestat.errors import InputError

MULTIVARIATE = "multivariate_gaussian"
NAMES = ["height", "weight", "age"]


@cache
def rows(n=400, seed=0):
    """Two experts of three responses; the second response is in other units."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 2))
    z = (rng.random(n) < 1 / (1 + np.exp(-2 * X[:, 0]))).astype(int)
    slopes = np.array([[[1, 2.0], [0, 1], [-1, 1]], [[-1, 0], [2, 0], [0, -1.0]]])
    intercepts = np.array([[0, 1.0, 2], [3, -1, 0]])
    L = np.array([[[1, 0, 0], [0.5, 0.5, 0], [0.2, 0.1, 0.7]], [[0.5, 0, 0], [-0.3, 0.6, 0], [0, 0, 0.3]]])
    noise = np.einsum("nij,nj->ni", L[z], rng.standard_normal((n, 3)))
    return X, (intercepts[z] + np.einsum("nij,nj->ni", slopes[z], X) + noise) * [1.0, 1e3, 1.0]


def fitted(expert=MULTIVARIATE, n_experts=2):
    X, Y = rows()
    return ms.fit(
        ms.MixtureOfExperts(expert=expert, n_experts=n_experts), X, pd.DataFrame(Y, columns=NAMES), n_starts=5
    )


def test_one_expert_is_multivariate_least_squares():
    X, Y = rows()
    results = fitted(n_experts=1)
    F = np.column_stack([np.ones(len(X)), X])
    B = np.linalg.lstsq(F, Y, rcond=None)[0]
    covariance = (Y - F @ B).T @ (Y - F @ B) / len(Y)
    np.testing.assert_allclose(results.params.expert.intercepts[0], B[0], rtol=1e-10)
    np.testing.assert_allclose(results.params.expert.slopes[0], B[1:].T, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(results.params.expert.covariances[0], covariance, rtol=1e-10)
    llf = multivariate_normal(np.zeros(3), covariance).logpdf(Y - F @ B).sum()
    assert np.isclose(results.llf, llf, rtol=1e-12)
    # covariance of the coefficients: Sigma (x) (F'F)^-1
    want = np.sqrt(np.outer(np.diag(covariance), np.diag(np.linalg.inv(F.T @ F)))).ravel()
    np.testing.assert_allclose(results.bse.iloc[:9].to_numpy(), _by_response(results, want), rtol=1e-8)


def _by_response(results, by_column):
    """Reported order: intercepts first, then slopes response by response."""
    table = by_column.reshape(3, 3)
    return np.concatenate([table[:, 0], table[:, 1:].ravel()])


def test_independent_responses_are_fits_of_one_at_a_time():
    X, Y = rows()
    together = fitted(f"{MULTIVARIATE}(shape='diagonal')", n_experts=1)
    each = [ms.fit(ms.MixtureOfExperts(n_experts=1), X, Y[:, i]) for i in range(3)]
    assert np.isclose(together.llf, sum(one.llf for one in each), rtol=1e-12)
    for name, one in zip(NAMES, each, strict=True):
        for what in ("const", "x1", "x2", "variance"):
            assert np.isclose(together.bse[f"expert[1].{name}.{what}"], one.bse[f"expert[1].{what}"], rtol=1e-9)


def test_one_response_is_the_gaussian_expert():
    X, Y = rows()
    one = ms.fit(ms.MixtureOfExperts(expert=MULTIVARIATE), X, Y[:, 0], n_starts=5)
    plain = ms.fit(ms.MixtureOfExperts(), X, Y[:, 0], n_starts=5)
    assert np.isclose(one.llf, plain.llf, rtol=1e-11)
    np.testing.assert_allclose(one.predict(X), plain.predict(X), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("settings", ["", "(shape='diagonal')", "(covariance='common')"])
def test_fits_are_certified_and_have_all_that_results_have(settings, tmp_path):
    X, Y = rows()
    results = fitted(MULTIVARIATE + settings)
    assert results.certificate.trusted
    assert results.check().passed
    assert results.predict(X).shape == results.predict().shape == results.sample(X).shape == Y.shape
    assert results.expert_means(X).shape == (len(X), 2, 3)
    means = np.einsum("nk,nkm->nm", results.gate_weights(X), results.expert_means(X))
    np.testing.assert_allclose(results.predict(X), means, rtol=1e-10, atol=1e-9)
    assert np.isclose(results.log_density(X, Y).sum(), results.llf, rtol=1e-12)
    frame = results.get_prediction(X[:4]).summary_frame()
    np.testing.assert_allclose(frame["mean"].to_numpy(), results.predict(X[:4]), rtol=1e-10)
    assert list(frame["mean"].columns) == NAMES
    assert (frame["mean_se"].to_numpy() > 0).all()
    again = ms.load(results.save(tmp_path / "fit"))
    np.testing.assert_array_equal(again.predict(X), results.predict(X))


def test_summaries_name_responses_and_pairs_of_them():
    text = str(fitted().summary())
    for name in ("height.const", "age.x2", "weight.variance", "height:weight.covariance"):
        assert name in text


def test_samples_have_the_covariance_of_their_expert():
    """Ten thousand draws: entries to 6 standard errors, each below sqrt(2 / n) of the variances."""
    results = fitted(n_experts=1)
    X = np.zeros((10_000, 2))
    covariance = results.params.expert.covariances[0]
    drawn = np.cov(results.sample(X, seed=1).T)
    size = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((drawn - covariance) / size / size[:, None], 0.0, atol=6 * np.sqrt(2 / len(X)))


def test_parameters_can_be_written_down():
    X, Y = rows()
    results = fitted()
    model = ms.MixtureOfExperts(expert=MULTIVARIATE)
    gate, expert = results.params.gate, results.params.expert
    params = model.params(
        gate={"intercepts": gate.intercepts, "slopes": gate.slopes},
        expert={"intercepts": expert.intercepts, "slopes": expert.slopes, "covariances": expert.covariances},
    )
    assert np.isclose(model.loglik(params, X, Y), results.llf, rtol=1e-12)
    assert model.predict(params, X).shape == Y.shape


def test_scikit_learn_fits_several_targets():
    X, Y = rows()
    estimator = ms.MoERegressor(expert=MULTIVARIATE, n_starts=3).fit(X, Y)
    assert estimator.predict(X).shape == Y.shape
    assert estimator.score(X, Y) > 0.3
    with pytest.raises(ValueError, match="1d array"):
        ms.MoERegressor().fit(X, Y)


def test_what_does_not_go_together_is_refused():
    X, Y = rows()
    with pytest.raises(InputError, match="use expert='multivariate_gaussian'"):
        ms.fit(ms.MixtureOfExperts(), X, Y)
    with pytest.raises(InputError, match="offset and exposure go with one response"):
        ms.fit(ms.MixtureOfExperts(expert=MULTIVARIATE), X, Y, offset=np.ones(len(X)))
    with pytest.raises(InputError, match="responses have units of their own"):
        ms.MixtureOfExperts(expert=f"{MULTIVARIATE}(shape='spherical')")
    with pytest.raises(InputError, match="shape must be one of"):
        ms.MixtureOfExperts(expert=f"{MULTIVARIATE}(shape='diag')")


def test_a_constant_law_of_several_responses_is_one_without_slopes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1))
    first = rng.random(200) < 1 / (1 + np.exp(-2 * X[:, 0]))
    Y = np.where(first[:, None], [1.0, 2.0], [-1.0, 0.0]) + 0.4 * rng.normal(size=(200, 2))
    constant = ms.fit(ms.MixtureOfExperts(expert="constant(multivariate_gaussian)"), X, Y, n_starts=3)
    held = ms.MixtureOfExperts(expert="multivariate_gaussian", fixed={"expert.slopes": 0.0})
    flat = ms.fit(held, X, Y, n_starts=3)
    np.testing.assert_allclose(constant.llf, flat.llf, rtol=1e-12)
    np.testing.assert_allclose(constant.predict(X), flat.predict(X), rtol=0, atol=1e-9)
    assert constant.df_model == flat.df_model
