"""Least squares as an objective: against other programs, at every front door, and what it refuses."""

from __future__ import annotations

import pickle
import warnings
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize

import moestat as ms
from moestat.experts.mean_map import MeanMap
from tests.unit.draws import normal

SQUARES = {"objective": "least_squares"}
quiet = pytest.mark.filterwarnings("ignore::moestat.errors.MoestatWarning")


def uneven(n=120):
    """Two covariates, and noise that grows with the first."""
    X = normal(n, 2, seed=1)
    return X, 1.0 + X @ [0.7, -2.0] + normal(n, seed=2) * (0.5 + np.abs(X[:, 0]))


def bent(n=200, seed=1):
    """Two lines under a softmax gate."""
    model = ms.MixtureOfExperts(n_experts=2)
    params = model.params(
        gate={"slopes": [[6.0], [0.0]], "intercepts": [0.5, 0.0]},
        expert={"slopes": [[3.0], [-2.0]], "intercepts": [1.0, -1.0], "variances": [1.0, 1.0]},
    )
    X = np.linspace(-2.0, 2.0, n)[:, None]
    return model, X, model.predict(params, X) + 0.2 * normal(n, seed=seed)


@cache
def fitted():
    model, X, y = bent()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.MoestatWarning)
        return ms.fit(model, X, y, n_starts=6, **SQUARES)


def one(expert="gaussian", **settings):
    return ms.MixtureOfExperts(expert=expert, n_experts=1, **settings)


# ------------------------------------------------------------------------------------ one linear expert
def test_one_linear_expert_is_ordinary_least_squares():
    X, y = uneven()
    results, ols = ms.fit(one(), X, y, **SQUARES), sm.OLS(y, sm.add_constant(X)).fit()
    np.testing.assert_allclose(results.estimates, ols.params, rtol=1e-10)
    np.testing.assert_allclose(results.standard_errors("classical"), ols.bse, rtol=1e-10)
    for ours, theirs in (("sandwich", "HC0"), ("hc1", "HC1")):
        np.testing.assert_allclose(results.standard_errors(ours), ols.get_robustcov_results(theirs).bse, rtol=1e-10)
    np.testing.assert_allclose(results.cov_params("classical"), ols.cov_params(), rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose([results.rss, results.rsquared, results.scale], [ols.ssr, ols.rsquared, ols.scale])
    assert (results.df_model, results.df_resid) == (3, len(y) - 3)
    assert results.bse.equals(results.standard_errors("sandwich"))
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM


def test_weights_are_frequencies():
    X, y = uneven(60)
    weight = np.arange(60) % 4
    weighted = ms.fit(one(), X, y, sample_weight=weight, **SQUARES)
    repeated = sm.OLS(np.repeat(y, weight), sm.add_constant(np.repeat(X, weight, axis=0))).fit()
    np.testing.assert_allclose(weighted.estimates, repeated.params, rtol=1e-10)
    np.testing.assert_allclose(weighted.standard_errors("classical"), repeated.bse, rtol=1e-10)
    np.testing.assert_allclose(weighted.standard_errors("hc1"), repeated.get_robustcov_results("HC1").bse, rtol=1e-10)
    np.testing.assert_allclose([weighted.rss, weighted.rsquared], [repeated.ssr, repeated.rsquared], rtol=1e-12)


def test_an_offset_is_taken_off_the_response():
    X, y = uneven()
    offset = np.sin(3 * X[:, 1])
    results, ols = ms.fit(one(), X, y, offset=offset, **SQUARES), sm.OLS(y - offset, sm.add_constant(X)).fit()
    np.testing.assert_allclose(results.estimates, ols.params, rtol=1e-10)
    np.testing.assert_allclose([results.rss, results.rsquared], [ols.ssr, ols.rsquared], rtol=1e-12)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_units_do_not_matter(unit):
    model, X, y = bent()
    results = ms.fit(model, 1e3 * X + 7.0, unit * y, n_starts=6, **SQUARES)
    assert results.rss == pytest.approx(unit**2 * fitted().rss, rel=1e-8)
    assert results.rsquared == pytest.approx(fitted().rsquared, rel=1e-10)
    np.testing.assert_allclose(results.predict(), unit * fitted().predict(), rtol=1e-6, atol=1e-8 * unit)


def test_an_exact_fit_has_no_residuals():
    X, _ = uneven()
    results = ms.fit(one(), X, 1.0 + X @ [0.7, -2.0], **SQUARES)
    np.testing.assert_allclose(results.estimates, [1.0, 0.7, -2.0], rtol=1e-12)
    assert results.rss < 1e-24
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM


# ------------------------------------------------------------------------------------ one curved expert
FORMS = {
    "tanh": (np.tanh, [0.5, -1.2, 2.5]),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), [-0.5, 2.0, 3.0]),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_curved_expert_is_a_nonlinear_regression(form):
    act, (b, a, s) = FORMS[form]

    def mean(x, b, a, s):
        return s * act(a * x + b)

    x = 1.5 * normal(150, seed=4)
    y = mean(x, b, a, s) + 0.3 * normal(150, seed=5)
    coef, covariance = optimize.curve_fit(mean, x, y, p0=[b, a, s], ftol=1e-15, xtol=1e-15, gtol=1e-15)
    results = ms.fit(one(f"gaussian(form='{form}')"), x[:, None], y, **SQUARES)
    np.testing.assert_allclose(results.estimates, coef, rtol=1e-7)
    np.testing.assert_allclose(results.standard_errors("classical"), np.sqrt(np.diag(covariance)), rtol=1e-6)
    assert results.rss == pytest.approx(((y - mean(x, *coef)) ** 2).sum(), rel=1e-12)


def test_a_log_linear_mean_is_fitted_as_it_is():
    """Least squares on an exponential, not a Poisson likelihood."""
    x = normal(150, seed=6)
    y = np.round(np.exp(0.5 + 0.8 * x) + 2.0 * np.abs(normal(150, seed=7)))
    coef, _ = optimize.curve_fit(lambda x, b, a: np.exp(b + a * x), x, y, p0=[0.5, 0.8], ftol=1e-15, xtol=1e-15)
    results = ms.fit(one("poisson"), x[:, None], y, **SQUARES)
    np.testing.assert_allclose(results.estimates, coef, rtol=1e-7)


# ------------------------------------------------------------------------------------ several experts
def test_several_experts_are_a_minimum_of_the_sum_of_squares():
    """Against a general optimiser from the same point, in parameters of its own."""
    results, (_, X, y) = fitted(), bent()
    x = X[:, 0]

    def gaps(v):
        share = 1 / (1 + np.exp(-(v[0] + v[1] * x)))
        return y - share * (v[2] + v[3] * x) - (1 - share) * (v[4] + v[5] * x)

    gate, expert = results.params.gate, results.params.expert
    lines = np.column_stack([expert.intercepts, expert.slopes])
    start = np.r_[gate.intercepts[0], gate.slopes[0], lines.ravel()]
    assert (gaps(start) ** 2).sum() == pytest.approx(results.rss, rel=1e-12)
    found = optimize.least_squares(gaps, start, ftol=1e-15, xtol=1e-15, gtol=1e-15)
    assert 2 * found.cost == pytest.approx(results.rss, rel=1e-12)
    np.testing.assert_allclose(found.x, start, rtol=1e-6)
    errors = np.sqrt(np.diag(np.linalg.inv(found.jac.T @ found.jac)) * results.scale)
    ours = results.standard_errors("classical")
    np.testing.assert_allclose(ours, errors[[0, 1, 2, 4, 3, 5]], rtol=1e-4)
    assert results.check().passed
    assert np.isnan(expert.variances).all()


def test_the_sum_of_squares_never_rises():
    trace = fitted().trace
    assert list(trace.columns) == ["method", "rss", "gradient"]
    assert set(trace.method) == {"newton"}
    assert (np.diff(trace.rss) <= 1e-12 * trace.rss.iloc[0]).all()
    assert trace.rss.iloc[-1] == pytest.approx(fitted().rss, rel=1e-10)
    starts = fitted().starts
    assert starts.rss.min() == pytest.approx(fitted().rss, rel=1e-9)
    assert (starts.rss <= starts.rss_short * (1 + 1e-9)).all()


def test_experts_that_make_one_line_are_flat():
    """Weights that do not depend on x: of two lines only the weighted sum is known."""
    X, y = uneven()
    model = ms.MixtureOfExperts(n_experts=2, gate="constant")
    with pytest.warns(ms.NotIdentifiedWarning):
        results = ms.fit(model, X, y, n_starts=3, **SQUARES)
    assert results.certificate.status is ms.Status.FLAT_MAXIMUM
    assert results.rss == pytest.approx(sm.OLS(y, sm.add_constant(X)).fit().ssr, rel=1e-10)
    assert results.df_model == 3
    with pytest.raises(ms.NotIdentifiedError, match="sandwich"):
        results.cov_params()
    assert np.isfinite(results.get_prediction(X).se).all()


@quiet
def test_weights_that_do_not_sum_to_one():
    """m(x) = sum_k s(z_k) mu_k, each expert switched on by itself."""
    model = ms.MixtureOfExperts(gate="unnormalised_sigmoid", n_experts=2)
    params = model.params(
        gate={"slopes": [[5.0], [-3.0]], "intercepts": [0.5, 0.5]},
        expert={"slopes": [[3.0], [-4.0]], "intercepts": [-1.0, 2.0], "variances": [1.0, 1.0]},
    )
    X = np.linspace(-2, 2, 300)[:, None]
    s = 1 / (1 + np.exp(-X[:, 0, None] * [5.0, -3.0] - 0.5))
    np.testing.assert_allclose(model.gate_weights(params, X), s, rtol=1e-12)
    truth = (s * (X * [3.0, -4.0] + [-1.0, 2.0])).sum(axis=1)
    np.testing.assert_allclose(model.predict(params, X), truth, rtol=1e-12)
    y = truth + 0.2 * normal(300, seed=9)
    results = ms.fit(model, X, y, n_starts=8, **SQUARES)
    assert results.rss <= ((y - truth) ** 2).sum()
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert results.check().passed
    np.testing.assert_allclose(results.predict(X), truth, atol=0.2)
    np.testing.assert_allclose(results.model.predict(results.params, X), results.predict(X), rtol=1e-9, atol=1e-9)
    assert (results.gate_weights().sum(axis=1) != 1.0).any()
    assert np.isfinite(results.get_gate_weights(X).se).all()


@quiet
def test_one_expert_has_such_a_gate_to_itself():
    """A logistic curve that levels off at a line: gate and expert are both there."""
    X = np.linspace(-3, 3, 200)[:, None]
    y = 3.0 / (1 + np.exp(-2.0 * X[:, 0] - 0.5)) + 0.1 * normal(200, seed=8)
    model = ms.MixtureOfExperts(gate="unnormalised_sigmoid", n_experts=1, fixed={"expert.slopes": 0.0})
    results = ms.fit(model, X, y, **SQUARES)
    same = ms.fit(one("gaussian(form='sigmoid')"), X, y, **SQUARES)
    assert results.rss == pytest.approx(same.rss, rel=1e-10)
    np.testing.assert_allclose(results.params.gate.slopes, same.params.expert.slopes, rtol=1e-6)
    np.testing.assert_allclose(results.params.expert.intercepts, same.params.expert.scales, rtol=1e-6)


@quiet
def test_starting_points_and_bounds_are_taken():
    model, X, y = bent()
    params = fitted().params  # without variances
    again = ms.fit(model, X, y, start=params, **SQUARES)
    assert again.rss == pytest.approx(fitted().rss, rel=1e-10)
    assert again.certificate.n_starts == 1
    bounded = ms.fit(model, X, y, n_starts=6, bounds={"expert.slopes": 2.5}, **SQUARES)
    assert np.abs(bounded.params.expert.slopes).max() <= 2.5 + 1e-12
    assert bounded.certificate.status is ms.Status.AT_BOUND
    assert bounded.rss > again.rss


def test_a_kind_that_asks_for_residuals_needs_some():
    X, y = uneven(3)
    results = ms.fit(one(), X, y, **SQUARES)
    assert np.isnan(results.scale)
    with pytest.raises(ms.InputError, match="3 rows for 3 parameters"):
        results.standard_errors("classical")


# ------------------------------------------------------------------------------------ what is printed and kept
def test_the_summary_says_least_squares():
    results = fitted()
    text = results.summary().as_text()
    assert "Least squares" in text
    assert f"{results.rss:.6g}" in text
    assert "sandwich" in text
    assert "classical" in results.summary(kind="classical").as_text()
    assert "log-likelihood" not in text
    assert "AIC" not in text
    assert "variance floor" not in text
    assert not [name for name in results.table().index if "variance" in name]
    assert "rss=" in repr(results)
    assert f"sum of squares     {results.rss:.10g}" in str(results.certificate)
    assert "minimum of the sum of squares" in str(results.certificate)
    assert results.objective == "least_squares"
    assert results.kinds == ("sandwich", "hc1", "classical")
    with pytest.raises(ms.InputError, match="'sandwich', 'hc1', 'classical'"):
        results.standard_errors("observed")


def test_saved_and_loaded(tmp_path):
    results, (_, X, _) = fitted(), bent()
    again = ms.load(results.save(tmp_path / "fit"))
    assert isinstance(again, ms.LeastSquaresResults)
    for kind in results.kinds:
        assert again.summary(kind=kind).as_text() == results.summary(kind=kind).as_text()
    np.testing.assert_array_equal(again.predict(X), results.predict(X))
    assert (again.rss, again.rsquared, again.scale) == (results.rss, results.rsquared, results.scale)
    assert again.model.whole == results.model.whole


@quiet
def test_copies_are_the_same():
    results, (_, X, y) = fitted(), bent()
    again = pickle.loads(pickle.dumps(results))
    assert again.summary().as_text() == results.summary().as_text()
    np.testing.assert_array_equal(again.predict(X), results.predict(X))
    assert again.model == results.model
    assert again.model != results.model.whole
    likely = ms.fit(results.model, X, y, n_starts=3)  # the model that the regression function is of
    assert likely.model == results.model.whole
    again = ms.fit(results.model, X, y, start=results.params, **SQUARES)
    assert again.rss == pytest.approx(results.rss, rel=1e-10)


def test_the_check_speaks_of_squares():
    text = str(fitted().check())
    assert "Checks passed" in text
    assert "sum of squares fell at every step" in text


def test_a_fit_of_a_likelihood_says_so():
    X, y = uneven()
    results = ms.fit(one(), X, y)
    assert results.objective == "likelihood"
    assert results.kinds == ("observed", "opg", "sandwich")
    assert results.bse.equals(results.standard_errors("observed"))


def test_predictions_have_errors():
    results, (_, X, _) = fitted(), bent()
    frame = results.get_prediction(X[:5]).summary_frame()
    assert list(frame.columns) == ["mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
    assert (frame.mean_se > 0).all()
    limits = results.conf_int()
    assert (limits[0] < results.estimates).all()
    assert results.t_test("expert[1].x1 = expert[2].x1").pvalue.size == 1


# ------------------------------------------------------------------------------------ front doors
@quiet
def test_every_door_leads_to_the_same_fit():
    _, X, y = bent()
    frame = pd.DataFrame({"x1": X[:, 0], "y": y})
    formula = ms.moe("y ~ x1", frame, n_experts=2).fit(n_starts=6, **SQUARES)
    estimator = ms.MoERegressor(2, n_starts=6, **SQUARES).fit(X, y)
    assert formula.rss == pytest.approx(fitted().rss, rel=1e-10)
    assert estimator.results_.rss == pytest.approx(fitted().rss, rel=1e-10)
    assert isinstance(formula, ms.LeastSquaresResults)
    assert estimator.score(X, y) == pytest.approx(fitted().rsquared, rel=1e-8)
    np.testing.assert_allclose(formula.predict(frame), estimator.predict(X), rtol=1e-8)


@quiet
@pytest.mark.parametrize("draw", ["plot_summary", "plot_fit", "plot_experts", "plot_gate", "plot_starts", "plot_trace"])
def test_pictures_that_need_no_law_are_drawn(draw):
    plt.figure()
    drawn = getattr(ms.plotting, draw)(fitted())
    getattr(drawn, "figure", drawn).canvas.draw()
    plt.close("all")


@pytest.mark.parametrize("draw", ["plot_density", "plot_responsibilities"])
def test_pictures_of_a_law_are_refused(draw):
    plt.figure()
    with pytest.raises(ms.InputError, match="no law of the response"):
        getattr(ms.plotting, draw)(fitted())
    plt.close("all")


# ------------------------------------------------------------------------------------ what is refused
@pytest.mark.parametrize("name", ["llf", "aic", "bic", "icl"])
def test_a_sum_of_squares_is_no_likelihood(name):
    with pytest.raises(ms.InputError, match=r"results\.rss, and no likelihood"):
        getattr(fitted(), name)


def test_without_a_law_nothing_is_drawn():
    results, (_, X, y) = fitted(), bent()
    for refused in (
        lambda: results.density(X, y),
        lambda: results.log_density(X, y),
        lambda: results.responsibilities(X, y),
        lambda: results.sample(X),
        lambda: results.model.sample(results.params, X, np.random.default_rng(0)),
        lambda: results.model.sample_with_experts(results.params, X, np.random.default_rng(0)),
        lambda: results.model.loglik(results.params, X, y),
        lambda: results.model.log_density(results.params, X, y),
        lambda: results.model.responsibilities(results.params, X, y),
    ):
        with pytest.raises(ms.InputError, match="know no law of the response"):
            refused()


def fit(model=None, y=None, **options):
    X, numbers = uneven(30)
    return ms.fit(model or ms.MixtureOfExperts(), X, numbers if y is None else y, **{**SQUARES, **options})


REFUSED = {
    "objective must be one of 'likelihood', 'least_squares'; got 'squares'": {"objective": "squares"},
    "describes class labels": {"model": ms.MixtureOfExperts(expert="multinomial"), "y": ["a", "b", "c"] * 10},
    "describes several": {"model": ms.MixtureOfExperts(expert="multivariate_gaussian")},
    "law of the covariates as well": {"model": ms.MixtureOfExperts(gate="gaussian(likelihood='joint')")},
    "not every law of .* has one": {"model": ms.MixtureOfExperts(expert=("gaussian", "known('cauchy')"))},
    r"fixed names expert\.variances, which no mean": {"model": ms.MixtureOfExperts(fixed={"expert.variances": 1.0})},
    r"bounds names expert\.variances, which no mean": {"bounds": {"expert.variances": 2.0}},
    "minimised by solver='newton'": {"solver": "em"},
    "do not sum to one": {
        "model": ms.MixtureOfExperts(gate="unnormalised_sigmoid"),
        "objective": "likelihood",
    },
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_fitted_says_why(words):
    with pytest.raises(ms.InputError, match=words):
        fit(**REFUSED[words])


def test_a_gate_without_a_density_has_no_likelihood():
    model = ms.MixtureOfExperts(gate="unnormalised_sigmoid")
    X, y = uneven(20)
    params = model.params(
        gate={"slopes": np.ones((2, 2)), "intercepts": [0.0, 1.0]},
        expert={"slopes": np.ones((2, 2)), "intercepts": [0.0, 1.0], "variances": [1.0, 1.0]},
    )
    for refused in (
        lambda: model.loglik(params, X, y),
        lambda: model.log_density(params, X, y),
        lambda: model.responsibilities(params, X, y),
        lambda: model.sample(params, X, np.random.default_rng(0)),
    ):
        with pytest.raises(ms.InputError, match=r"objective='least_squares'.*'sigmoid'"):
            refused()
    with pytest.raises(ms.InputError, match="weights that sum to one"):
        ms.gates.Temperature(ms.gates.UnnormalisedSigmoid())


def test_a_mean_alone_draws_nothing():
    with pytest.raises(ms.InputError, match="no law of the response"):
        MeanMap(ms.experts.Gaussian()).draw(None, None, None, None)
