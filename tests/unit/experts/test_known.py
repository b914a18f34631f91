"""Densities that are not estimated, or hardly: known, zero, noise, constant; families side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, special, stats
from statsmodels.tools.numdiff import approx_hess

import moestat as ms
from moestat.experts import Constant, Gaussian, Known, Mixed, Noise, Poisson, Zero
from moestat.expressions import write
from tests.unit.experts.glm import one_expert


def fit(expert, X, y, n_experts=2, **options):
    return ms.fit(ms.MixtureOfExperts(expert=expert, n_experts=n_experts), X, y, **options)


# --------------------------------------------------------------------------------------- zero
def inflated(seed=0, n=400):
    rng = np.random.default_rng(seed)
    X, t = rng.standard_normal((n, 2)), rng.uniform(0.5, 3.0, n)
    structural = rng.random(n) < 1 / (1 + np.exp(-(-0.6 + 0.5 * X[:, 0])))
    return X, np.where(structural, 0, rng.poisson(t * np.exp(0.8 + X @ [0.4, -0.3]))), t


def test_zero_beside_poisson_is_the_zero_inflated_poisson_model():
    X, y, t = inflated()
    results = fit("zero, poisson", X, y, exposure=t)
    A = sm.add_constant(X)
    other = sm.ZeroInflatedPoisson(y, A, exog_infl=A, exposure=t).fit(
        method="newton", start_params=np.concatenate([np.full(3, -0.3), np.zeros(3)]), maxiter=200, disp=0
    )
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert results.llf == pytest.approx(other.llf, rel=1e-11)
    np.testing.assert_allclose(results.estimates.to_numpy(), other.params, atol=1e-6)
    # theirs come of another matrix than the observed information, which is differentiated here
    errors = np.sqrt(np.diag(np.linalg.inv(-approx_hess(results.estimates.to_numpy(), other.model.loglike))))
    np.testing.assert_allclose(results.bse.to_numpy(), errors, rtol=1e-4)
    np.testing.assert_allclose(results.responsibilities(X, y, exposure=t)[y > 0], [[0.0, 1.0]] * (y > 0).sum())


def test_the_order_of_the_families_is_kept_and_no_matter():
    X, y, _ = inflated()
    one, other = fit("zero, poisson", X, y), fit("poisson, zero", X, y)
    assert one.llf == pytest.approx(other.llf, rel=1e-12)
    assert "parameters" in str(one.summary())
    assert one.summary().as_latex()
    assert "zero, poisson" in str(one.summary())


def test_its_quantiles_and_draws_have_the_extra_zeros():
    X, y, _ = inflated()
    results = fit("zero, poisson", X, y)
    many = np.zeros((20_000, 2))
    draws = results.sample(many, seed=1)
    expected = np.exp(results.log_density(np.zeros((1, 2)), [0]))[0]
    assert (draws == 0).mean() == pytest.approx(expected, abs=0.015)
    share = results.gate_weights(np.zeros((1, 2)))[0, 0]
    prediction = results.get_prediction(np.zeros((1, 2)))
    assert prediction.quantile(0.99 * share)[0] == 0.0
    assert prediction.quantile(0.999)[0] > 0.0


def test_zeros_alone_describe_zeros_alone():
    with pytest.raises(ms.InputError, match="describes zeros only; y holds 2"):
        one_expert("zero", None, [0.0, 2.0, 0.0])
    with pytest.raises(ms.InputError, match="noise"):
        fit("zero, poisson", np.arange(4.0)[:, None], [0.0, -1.5, 0.0, 1.0])


# --------------------------------------------------------------------------------------- known
def contaminated(seed=1, n=400, unit=1.0, zero=0.0):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal(n), 100 + 5 * rng.standard_normal(n)])
    background = rng.random(n) < 0.3
    line = 1.0 + 2.0 * X[:, 0] + 0.5 * rng.standard_normal(n)
    return X, zero + unit * np.where(background, rng.laplace(0.5 * X[:, 0], 2.0), line)


def test_the_likelihood_is_that_of_the_formula():
    X, y = contaminated()
    results = fit(("known('laplace', scale=2.0, slopes=(0.5, 0))", "gaussian"), X, y)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    weights, record = results.gate_weights(X), results.params.expert.members[1]
    about = stats.norm(record.intercepts[0] + X @ record.slopes[0], np.sqrt(record.variances[0])).pdf(y)
    density = weights[:, 0] * stats.laplace(0.5 * X[:, 0], 2.0).pdf(y) + weights[:, 1] * about
    assert results.llf == pytest.approx(np.log(density).sum(), rel=1e-12)
    np.testing.assert_allclose(results.density(X, y), density, rtol=1e-9)
    np.testing.assert_allclose(results.expert_means(X)[:, 0], 0.5 * X[:, 0], atol=1e-9)
    assert results.model.loglik(results.params, X, y) == pytest.approx(results.llf, rel=1e-12)


def test_units_do_not_matter():
    """A response in dollars about 1e7 is fitted as well as one about zero."""
    X, y = contaminated()
    one = fit(("known('laplace', scale=2.0)", "gaussian"), X, y)
    _, dollars = contaminated(unit=1e6, zero=1e7)
    other = fit((f"known('laplace', loc=1e7, scale={2.0e6})", "gaussian"), X, dollars)
    assert other.llf == pytest.approx(one.llf - len(y) * 6 * np.log(10), rel=1e-9)
    assert other.check().passed


def test_a_known_mean_function_may_be_any_function():
    """A model fitted before is one of the experts: f0 about h0(x)."""
    X, y = contaminated()
    line = Known(stats.norm(0.0, 0.5), slopes=()), lambda rows: 1.0 + 2.0 * rows[:, 0]
    expert = replace(line[0], centre=line[1])
    results = ms.fit(ms.MixtureOfExperts(expert=(expert, "noise"), n_experts=2), X, y)
    np.testing.assert_allclose(results.expert_means(X)[:, 0], 1.0 + 2.0 * X[:, 0], rtol=1e-10)
    with pytest.raises(ms.InputError, match="can be written as text"):
        write(expert)


def test_text_and_file_give_it_back(tmp_path):
    expert = Known("t", loc=1.0, scale=2.0, shapes=(3.0,))
    assert ms.MixtureOfExperts(expert=f"{write(expert)}, gaussian", n_experts=2).expert.families[0] == expert
    assert Known(stats.t(3.0, 1.0, 2.0)) == expert
    X, y = contaminated()
    results = fit((expert, "gaussian"), X, y)
    loaded = ms.load(results.save(tmp_path / "fit"))
    assert loaded.model == results.model
    np.testing.assert_array_equal(loaded.log_density(X, y), results.log_density(X, y))


def test_only_the_gate_may_be_left_to_estimate():
    rng = np.random.default_rng(2)
    y = np.where(rng.random(300) < 0.3, 4.0, 0.0) + rng.standard_normal(300)
    results = fit("known, known(loc=4)", None, y)
    share = optimize.minimize_scalar(
        lambda p: -np.log(p * stats.norm.pdf(y) + (1 - p) * stats.norm(4).pdf(y)).sum(), bounds=(0, 1), method="bounded"
    )
    assert results.llf == pytest.approx(-share.fun, rel=1e-9)
    assert results.gate_weights()[0, 0] == pytest.approx(share.x, abs=1e-4)


def test_a_law_of_counts_joins_counts():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 1))
    y = np.where(rng.random(300) < 0.4, rng.poisson(9.0, 300), rng.poisson(np.exp(0.3 + 0.5 * X[:, 0])))
    results = fit("known('poisson', shapes=(9,)), poisson", X, y)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    np.testing.assert_allclose(results.expert_means(X)[:, 0], 9.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("known('norml')", "Did you mean 'normal'"),
        ("known('t')", "shapes must be the 1 of 't', df"),
        ("known('normal', scale=-1)", "has no such parameters"),
        ("known('poisson', shapes=(3,), scale=2)", "law of counts"),
        ("known(norm)", "write quotes"),
        ("known(3)", "name a distribution"),
        ("known(loc='a')", "loc must be"),
    ],
)
def test_laws_that_do_not_exist_are_refused(text, words):
    with pytest.raises(ms.InputError, match=words):
        ms.MixtureOfExperts(expert=text, n_experts=1)


def test_slopes_must_fit_the_covariates():
    with pytest.raises(ms.InputError, match="one per covariate"):
        one_expert("known(slopes=(1.0,))", np.ones((4, 2)), np.arange(4.0))


# --------------------------------------------------------------------------------------- noise and constant
@pytest.mark.parametrize("zero", [0.0, 50.0])
def test_noise_has_the_variance_about_its_level(zero):
    y = zero + np.random.default_rng(4).standard_normal(200)
    results = one_expert(f"noise(level={zero})", None, y)
    assert results.params.expert.variances[0] == pytest.approx(((y - zero) ** 2).mean(), rel=1e-9)
    assert results.llf == pytest.approx(stats.norm(zero, np.sqrt(((y - zero) ** 2).mean())).logpdf(y).sum(), rel=1e-10)
    np.testing.assert_allclose(results.predict(), zero)


def test_noise_is_a_constant_held_at_its_level():
    """The same model by two doors, in units that are far from zero."""
    X, y = contaminated(unit=1e3)
    one = fit("noise, gaussian", X, y)
    held = ms.MixtureOfExperts(expert="constant, gaussian", n_experts=2, fixed={"expert.0.intercepts": 0.0})
    assert ms.fit(held, X, y).llf == pytest.approx(one.llf, rel=1e-10)


def test_a_constant_is_the_family_without_covariates():
    X, y = contaminated()
    results = one_expert("constant", X, y)
    assert list(results.estimates.index) == ["expert[1].const", "expert[1].variance"]
    assert results.llf == pytest.approx(one_expert("gaussian", None, y).llf, rel=1e-13)
    counts = np.random.default_rng(5).poisson(3.0, 100)
    rate = one_expert("constant(poisson)", np.arange(100.0)[:, None], counts)
    assert np.exp(rate.estimates.iloc[0]) == pytest.approx(counts.mean(), rel=1e-9)


def test_parameters_of_a_constant_have_no_slopes():
    model = ms.MixtureOfExperts(expert="constant, gaussian", n_experts=2)
    expert = ({"intercepts": [5.0], "variances": [2.0]}, {"intercepts": [0.0], "slopes": [[1.0]], "variances": [1.0]})
    params = model.params(gate={"intercepts": [0.0, 0.0], "slopes": [[0.0], [0.0]]}, expert=expert)
    np.testing.assert_allclose(model.predict(params, [[2.0]]), 0.5 * 5.0 + 0.5 * 2.0)
    alone = ms.MixtureOfExperts(expert="constant", n_experts=2)
    params = alone.params(
        gate={"intercepts": [0.0, 0.0], "slopes": [[1.0], [0.0]]},
        expert={"intercepts": [5.0, 1.0], "variances": [2.0, 1.0]},
    )
    np.testing.assert_allclose(alone.predict(params, [[0.0]]), 3.0)


# --------------------------------------------------------------------------------------- side by side
COUNTS = ("poisson", "zero", "constant(poisson)", "known('poisson', shapes=(2,))")
MEASURED = ("gaussian", "gamma", "constant", "noise", "known", "constant(gamma)")


@pytest.mark.parametrize("pair", [("poisson", other) for other in COUNTS] + [("gaussian", other) for other in MEASURED])
def test_families_for_one_kind_of_response_mix(pair):
    rng = np.random.default_rng(6)
    X = rng.standard_normal((200, 1))
    half = rng.random(200) < 0.5
    if pair[0] == "poisson":
        y = rng.poisson(np.where(half, 2.0, np.exp(1.5 + X[:, 0])))
    else:
        y = np.where(half, rng.gamma(3.0, 0.5, 200), np.exp(2.0 + 0.3 * X[:, 0] + 0.1 * rng.standard_normal(200)))
    results = fit(pair, X, y, n_starts=6)
    assert results.certificate.optimum.fine_gradient < 1e-8
    assert results.check().passed
    frame = results.get_prediction(X[:4]).summary_frame()
    assert (frame["obs_ci_lower"] <= frame["obs_ci_upper"]).all()
    assert np.isfinite(results.sample(X)).all()


@pytest.mark.parametrize("pair", [("poisson", "gaussian"), ("zero", "noise"), ("binomial", "gamma")])
def test_probabilities_and_densities_do_not_mix(pair):
    with pytest.raises(ms.InputError, match="would hang on the unit"):
        ms.MixtureOfExperts(expert=pair, n_experts=2)
    with pytest.raises(ms.InputError, match="class labels"):
        ms.MixtureOfExperts(expert=(pair[0], "multinomial"), n_experts=2)


def test_successes_and_counts_mix_with_trials_as_exposure():
    rng = np.random.default_rng(7)
    X, n = rng.standard_normal((300, 1)), rng.integers(10, 40, 300)
    chance = special.expit(-1.0 + X[:, 0])
    y = np.where(rng.random(300) < 0.5, rng.binomial(n, chance), np.minimum(rng.poisson(0.05 * n), n))
    results = fit(("binomial", "poisson"), X, y, exposure=n)
    assert results.check().passed
    means = results.expert_means(X, exposure=n)
    assert (means[:, 0] <= n).all()


def test_padding_of_a_family_without_parameters_points_at_another():
    mixed = Mixed((Zero(), Poisson(), Constant(Poisson())))
    layout = mixed.layout(ms.component.Dims(3, 2))
    assert mixed.columns(layout).tolist() == [[0, 0, 0], [0, 1, 2], [3, 3, 3]]
    assert Mixed((Zero(), Zero())).columns(Mixed((Zero(), Zero())).layout(ms.component.Dims(2, 2))).shape == (2, 0)
    assert Mixed((Noise(), Gaussian())).scales_response
