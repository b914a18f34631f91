"""Fits that others have made of the same data: flexmix, statsmodels, scikit-learn, and certified regressions."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.mixture import GaussianMixture

import moestat as ms
from moestat.errors import ConvergenceWarning
from moestat.model import log_jacobian
from moestat.solvers import EM, EMThenNewton, Problem, solve
from moestat.starts import start_from
from tests.unit.samples import all_rows

HERE = Path(__file__).parent

#: Two experts on one covariate by flexmix 2.3.18 under R 4.2.2: maximum likelihood, from labels, to its end.
#: The second expert's gate is relative to the first's; a constant gate has slope zero.
FLEXMIX = pd.read_csv(HERE / "flexmix.csv").set_index(["data", "gate"])

#: what flexmix leaves between the parameters it printed and the maximum
FLEXMIX_PARAMETERS = 2e-6

#: Largest log-likelihoods of two lines, known to ten decimals from several programs.
MAXIMA = {
    ("ethanol", "constant"): 122.0383557855,
    ("ethanol", "covariate"): 123.6205907487,
    ("tone", "constant"): 141.1984022997,
    ("tone", "covariate"): 142.8480141418,
    ("co2", "constant"): -66.9397677928,
    ("co2", "covariate"): -66.2965550159,
}
#: flexmix's labels lead it to the maximum of these, and to local ones of the carbon dioxide data
SAME_MAXIMUM = [key for key in MAXIMA if key[0] != "co2"]
LOCAL = {"constant": -70.1729329365, "covariate": -73.2636578648}


def gate_rows(data, gate):
    return data.Z if gate == "covariate" else np.empty((len(data.y), 0))


@cache
def default_fit(name, gate):
    data = ms.datasets.load(name)
    return ms.fit(ms.MixtureOfExperts(n_experts=2), data.X, data.y, gate_rows(data, gate))


def parameters(params):
    """The numbers of two experts in the order of `FLEXMIX`, without the log-likelihood."""
    gate, expert = params.gate, params.expert
    slope = gate.slopes[1, 0] - gate.slopes[0, 0] if gate.slopes.size else 0.0
    sd = np.sqrt(expert.variances)
    return np.r_[expert.intercepts, expert.slopes[:, 0], sd, gate.intercepts[1] - gate.intercepts[0], slope]


def relabelled(params):
    model = ms.MixtureOfExperts()
    gate, expert = ({name: getattr(part, name)[::-1] for name in vars(part)} for part in (params.gate, params.expert))
    return model.params(gate=gate, expert=expert)


def assert_parameters_of_flexmix(params, name, gate):
    expected = FLEXMIX.loc[(name, gate)].to_numpy()[1:]
    one, other = parameters(params), parameters(relabelled(params))
    nearest = min((one, other), key=lambda found: np.abs(found - expected).max())
    np.testing.assert_allclose(nearest, expected, rtol=FLEXMIX_PARAMETERS, atol=FLEXMIX_PARAMETERS)


# ------------------------------------------------------------------------------------ flexmix
@pytest.mark.parametrize(("name", "gate"), MAXIMA)
def test_the_default_fit_is_the_best_known(name, gate):
    """All ten decimals, at a strict maximum, with nothing but defaults."""
    results = default_fit(name, gate)
    assert results.llf == pytest.approx(MAXIMA[name, gate], rel=1e-12, abs=6e-11)  # half a unit of the last decimal
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM


@pytest.mark.parametrize(("name", "gate"), SAME_MAXIMUM)
def test_parameters_are_those_of_flexmix(name, gate):
    assert_parameters_of_flexmix(default_fit(name, gate).params, name, gate)
    assert default_fit(name, gate).llf == pytest.approx(FLEXMIX.loc[(name, gate), "loglik"], rel=1e-9)


@cache
def from_labels(gate, solver):
    """The carbon dioxide data, started as flexmix starts: 0.9 for the own label, then an M-step."""
    data = ms.datasets.load("co2")
    labels = pd.read_csv(HERE / "co2_labels.csv")
    assert list(labels.country) == list(data.frame.country)
    model = ms.MixtureOfExperts(n_experts=2)
    source = model.data(data.X, data.y, gate_rows(data, gate))
    problem = Problem.of(model, source)
    sketch = all_rows(source)
    resp = np.where(labels.label.to_numpy() == np.arange(2)[:, None], 0.9, 0.1)
    solution = solve(problem, solver, start_from(problem, sketch, resp))
    params = model.from_theta(solution.theta, source.schema, source.coordinates)
    return solution.loglik + log_jacobian(source), params


@pytest.mark.parametrize("solver", [EM(max_iter=5000, rtol=None, gtol=1e-10), EMThenNewton()], ids=["em", "default"])
@pytest.mark.parametrize("gate", LOCAL)
def test_from_published_labels_the_fit_ends_where_flexmix_does(gate, solver):
    """At a local maximum, seven or three below the best: the ascent, not only its end, is that of EM."""
    loglik, params = from_labels(gate, solver)
    assert loglik == pytest.approx(LOCAL[gate], abs=6e-11)
    assert loglik == pytest.approx(FLEXMIX.loc[("co2", gate), "loglik"], rel=1e-10)
    assert_parameters_of_flexmix(params, "co2", gate)


@pytest.mark.parametrize("gate", LOCAL)
def test_the_end_of_flexmix_is_a_maximum_only_locally(gate):
    """Going on from its printed parameters gains nothing; the default fit has more."""
    data = ms.datasets.load("co2")
    row = FLEXMIX.loc[("co2", gate)]
    model = ms.MixtureOfExperts(n_experts=2)
    slopes = [[0.0], [row.gate_slope]] if gate == "covariate" else np.empty((2, 0))
    printed = model.params(
        gate={"slopes": slopes, "intercepts": [0.0, row.gate_intercept]},
        expert={
            "slopes": [[row.slope_1], [row.slope_2]],
            "intercepts": [row.intercept_1, row.intercept_2],
            "variances": [row.sd_1**2, row.sd_2**2],
        },
    )
    results = ms.fit(model, data.X, data.y, gate_rows(data, gate), start=printed)
    assert results.llf == pytest.approx(LOCAL[gate], abs=6e-11)
    assert results.certificate.status is ms.Status.STRICT_MAXIMUM
    assert default_fit("co2", gate).llf > results.llf + 3


# ------------------------------------------------------------------------------------ one expert
@cache
def regression():
    """Longley's data, the regression that tells good solvers from bad ones."""
    return sm.datasets.longley.load_pandas()


def coefficients(params):
    return np.r_[params.expert.intercepts, params.expert.slopes[0]]


def test_one_expert_is_least_squares():
    data = regression()
    results = ms.fit(ms.MixtureOfExperts(n_experts=1), data.exog, data.endog)
    ols = sm.OLS(data.endog, sm.add_constant(data.exog)).fit()
    n, p = len(data.endog), len(ols.params)
    np.testing.assert_allclose(coefficients(results.params), ols.params, rtol=1e-8)
    assert results.llf == pytest.approx(ols.llf, rel=1e-12)
    # maximum likelihood divides by n, not by n - p
    bse = results.bse.filter(regex=r"^expert\[1\]\.(?!variance)")
    np.testing.assert_allclose(bse, ols.bse * np.sqrt((n - p) / n), rtol=1e-8)


#: certified by the National Institute of Standards and Technology, coefficients in the order of the columns
LONGLEY = [
    *[-3482258.63459582, 15.0618722713733, -0.358191792925910e-01, -2.02022980381683],
    *[-1.03322686717359, -0.511041056535807e-01, 1829.15146461355],
]


def test_longley_to_twelve_digits():
    """The best of the usual programs have eleven."""
    results = ms.fit(ms.MixtureOfExperts(n_experts=1), regression().exog, regression().endog)
    np.testing.assert_allclose(coefficients(results.params), LONGLEY, rtol=1e-12)


@pytest.mark.parametrize("base", [1.0, 0.1], ids=["Wampler1", "Wampler2"])
def test_wampler_to_nine_digits(base):
    """A polynomial of degree five without noise: an exact fit, on the variance floor."""
    x = np.arange(21.0)
    expected = base ** np.arange(6)
    powers = x[:, None] ** np.arange(6)
    with pytest.warns(ConvergenceWarning, match="variance floor"):
        results = ms.fit(ms.MixtureOfExperts(n_experts=1), powers[:, 1:], powers @ expected)
    np.testing.assert_allclose(coefficients(results.params), expected, rtol=1e-9)


def test_one_expert_is_the_multinomial_logit():
    """The first class is the reference of both."""
    data = ms.datasets.load("anes96").frame
    X = data[["selfLR", "age", "educ"]]
    results = ms.fit(ms.MixtureOfExperts(expert="multinomial", n_experts=1), X, data.party)
    codes = pd.Categorical(data.party, categories=results.schema.classes).codes
    logit = sm.MNLogit(codes, sm.add_constant(X)).fit(method="newton", maxiter=100, tol=1e-14, disp=False)
    expert = results.params.expert
    got = np.column_stack([expert.intercepts[0], expert.slopes[0]])
    np.testing.assert_allclose(got.T, logit.params, rtol=1e-8)
    assert results.llf == pytest.approx(logit.llf, rel=1e-12)
    by_class = [f"expert[1].{label}.{column}" for label in results.schema.classes[1:] for column in ("const", *X)]
    np.testing.assert_allclose(results.bse[by_class], logit.bse.to_numpy().T.ravel(), rtol=1e-8)


# ------------------------------------------------------------------------------------ mixtures and gates alone
@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_without_covariates_the_model_is_a_gaussian_mixture(n_components):
    y = ms.datasets.load("ethanol").y.to_numpy()
    mixture = GaussianMixture(n_components, tol=1e-12, max_iter=20_000, n_init=10, reg_covar=0.0, random_state=0)
    mixture.fit(y[:, None])
    results = ms.fit(ms.MixtureOfExperts(n_experts=n_components), None, y)
    assert results.llf == pytest.approx(y.size * mixture.score(y[:, None]), rel=1e-8)


def test_experts_that_never_meet_leave_the_gate_a_logistic_regression():
    """Every row tells its expert, so the gate is the regression of the memberships."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2))
    first = rng.random(300) < 1 / (1 + np.exp(-(0.5 + X @ [1.5, -1.0])))
    y = np.where(first, 100.0, 0.0) + X @ [1.0, 2.0] + rng.standard_normal(300)
    results = ms.fit(ms.MixtureOfExperts(n_experts=2), X, y, n_starts=6)
    member = first if results.params.expert.intercepts[0] > 50 else ~first
    logit = sm.Logit(member.astype(float), sm.add_constant(X)).fit(tol=1e-14, disp=False)
    gate = results.params.gate
    np.testing.assert_allclose(np.r_[gate.intercepts[0], gate.slopes[0]], logit.params, rtol=1e-8)
    np.testing.assert_allclose(results.bse.filter(regex=r"^gate"), logit.bse, rtol=1e-8)
