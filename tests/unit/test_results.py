"""Results of a fit: estimates, their uncertainty, the tables, and what they say about new rows."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import integrate, stats

import moestat as ms
from moestat.certificate import Status
from moestat.errors import ConvergenceWarning, InputError, MoestatWarning, NotIdentifiedError
from tests.conformance.sketches import Background
from tests.unit.fitted import CASES, NUMERICAL, fit, fitted, no_columns, two_lines
from tests.unit.numerical import RawCoordinates

KINDS = ("observed", "opg", "sandwich")

every_case = pytest.mark.parametrize("case", list(CASES))
numerical_case = pytest.mark.parametrize("case", NUMERICAL)
every_kind = pytest.mark.parametrize("kind", KINDS)


def close(actual, expected, rtol=1e-10, **more):
    np.testing.assert_allclose(actual, expected, rtol=rtol, **more)


# --------------------------------------------------------------------------------------- the record
def test_results_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        fitted("gate").results.entropy = 0.0


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(lambda r: r.theta, id="theta"),
        pytest.param(lambda r: r.params.gate.slopes, id="gate"),
        pytest.param(lambda r: r.params.expert.variances, id="expert"),
    ],
)
def test_estimates_cannot_be_overwritten(array):
    with pytest.raises(ValueError, match="read-only"):
        array(fitted("gate").results)[...] = 0.0


def test_repr_says_what_was_fitted_and_how_it_ended():
    text = repr(fitted("gate").results)
    assert text == "Results(softmax gate, 2 x gaussian, llf=-66.2966, strict interior maximum)"


# --------------------------------------------------------------------------------------- estimates
def test_names_of_a_regression():
    assert fitted("gate").results.names == [
        "gate[1].const",
        "gate[1].GNP",
        "expert[1].const",
        "expert[2].const",
        "expert[1].GNP",
        "expert[2].GNP",
        "expert[1].variance",
        "expert[2].variance",
    ]


def test_names_of_a_classifier_carry_the_classes_but_the_first():
    names = fitted("one classifier").results.names
    assert names == [
        f"expert[1].{label}.{part}" for part in ("const", "selfLR") for label in ("Independent", "Republican")
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("gate[2].severity", lambda p: p.gate.slopes[1, 0], id="gate slope"),
        pytest.param("gate[1].const", lambda p: p.gate.intercepts[0], id="gate intercept"),
        pytest.param("expert[3].const", lambda p: p.expert.intercepts[2], id="intercept"),
        pytest.param("expert[2].dose", lambda p: p.expert.slopes[1, 1], id="slope"),
        pytest.param("expert[1].variance", lambda p: p.expert.variances[0], id="variance"),
    ],
)
def test_an_estimate_by_name_is_the_entry_of_the_record(name, value):
    results = fitted("three experts").results
    assert results.estimates[name] == value(results.params)


def test_an_estimate_by_name_among_classes():
    results = fitted("classes").results
    assert results.estimates["expert[2].Republican.selfLR"] == results.params.expert.slopes[1, 1, 0]


def test_experts_come_by_decreasing_mass():
    masses = fitted("three experts").results.responsibilities().sum(axis=0)
    assert (np.diff(masses) < 0).all()


def test_the_last_expert_is_the_reference_of_the_gate():
    gate = fitted("three experts").results.params.gate
    assert not gate.slopes[-1].any()
    assert gate.intercepts[-1] == 0.0


# --------------------------------------------------------------------------------------- likelihood
@every_case
def test_llf_is_the_log_likelihood_of_the_params(case):
    f = fitted(case)
    close(f.results.llf, f.model.loglik(f.results.params, f.X, f.y, f.Z))


@pytest.mark.parametrize(
    ("case", "count"),
    [
        ("gate", 8),
        ("constant gate", 7),
        ("common variance", 7),
        ("three experts", 16),
        ("held", 5),
        ("one expert", 4),
        ("classes", 10),
    ],
)
def test_identified_parameters_are_counted(case, count):
    """Neither the reference's gate nor what is held."""
    assert fitted(case).results.df_model == count


@every_case
def test_information_criteria(case):
    r = fitted(case).results
    n = len(fitted(case).y)
    resp = r.responsibilities()
    entropy = -np.sum(resp * np.log(np.maximum(resp, 1e-300)))
    bic = -2 * r.llf + r.df_model * np.log(n)
    assert (r.nobs, r.df_resid) == (n, n - r.df_model)
    # the entropy cancels to nothing when there is one expert
    close([r.aic, r.bic, r.icl], [-2 * r.llf + 2 * r.df_model, bic, bic + 2 * entropy])


# --------------------------------------------------------------------------------------- labels
@every_case
def test_uncertainty_is_labelled_by_the_names(case):
    r = fitted(case).results
    columns = (r.estimates, r.bse, r.tvalues, r.pvalues, r.conf_int(), r.cov_params())
    assert all(list(column.index) == r.names for column in columns)
    assert list(r.cov_params().columns) == r.names
    assert list(r.conf_int().columns) == [0, 1]


def test_standard_errors_are_roots_of_the_diagonal():
    r = fitted("gate").results
    close(r.bse**2, np.diag(r.cov_params()))


def test_t_values_and_p_values():
    r = fitted("gate").results
    close(r.tvalues, r.estimates / r.bse)
    close(r.pvalues, 2 * stats.norm.sf(np.abs(r.estimates / r.bse)))


def test_limits_of_real_parameters_are_symmetric():
    r = fitted("gate").results
    name = "expert[1].GNP"
    width = stats.norm.ppf(0.95) * r.bse[name]
    close(r.conf_int(alpha=0.1).loc[name], [r.estimates[name] - width, r.estimates[name] + width])


@pytest.mark.parametrize("case", ["gate", "common variance", "mixed"])
def test_limits_of_variances_are_symmetric_on_the_log_scale(case):
    r = fitted(case).results
    names = [name for name in r.names if name.endswith("variance")]
    limits, estimates = r.conf_int().loc[names], r.estimates[names]
    width = stats.norm.ppf(0.975) * r.bse[names] / estimates  # delta method for the logarithm
    close(np.log(limits[0]), np.log(estimates) - width)
    close(np.log(limits[1]), np.log(estimates) + width)


def test_limits_of_variances_are_positive_at_any_level():
    """On the raw scale this lower limit would be far below zero."""
    r = fitted("gate").results
    lower = r.conf_int(alpha=1e-12).loc["expert[2].variance", 0]
    assert r.estimates["expert[2].variance"] < 5 * r.bse["expert[2].variance"]
    assert lower > 0


@pytest.mark.parametrize("alpha", [0, 1, -0.1, np.nan])
@pytest.mark.parametrize("ask", ["conf_int", "summary"])
def test_levels_outside_zero_and_one_are_refused(ask, alpha):
    with pytest.raises(InputError, match="alpha must lie between 0 and 1"):
        getattr(fitted("gate").results, ask)(alpha)


def test_unknown_kinds_of_covariance_are_refused():
    with pytest.raises(InputError, match=r"kind of covariance must be one of .*'robust'"):
        fitted("gate").results.cov_params("robust")


# --------------------------------------------------------------------------------------- covariances by brute force
@cache
def raw(case):
    return RawCoordinates(fitted(case))


@every_kind
@every_case
def test_covariance_is_that_of_numerical_derivatives(case, kind):
    """In raw units with the reference's gate left out, then by the delta method to variances.

    Differences are of fourth order in steps of 0.02 standard errors, near 1e-7, with less than 1e-9 of rounding.
    """
    actual = fitted(case).results.cov_params(kind).to_numpy()
    expected = raw(case).covariance(kind)
    scale = np.sqrt(np.diag(expected))
    assert np.abs((actual - expected) / np.outer(scale, scale)).max() < 1e-5


# --------------------------------------------------------------------------------------- one expert is least squares
@cache
def ols(cov_type="nonrobust"):
    f = fitted("one expert")
    return sm.OLS(f.y, sm.add_constant(f.X)).fit(cov_type=cov_type)


COEFFICIENTS = ["expert[1].const", "expert[1].age", "expert[1].dose"]
N, P = 240, 3


def test_one_expert_estimates_are_those_of_least_squares():
    close(fitted("one expert").results.estimates[COEFFICIENTS], ols().params, rtol=1e-9)


def test_one_expert_standard_errors_are_those_of_least_squares():
    """Least squares divides the residual sum by n - p, maximum likelihood by n."""
    close(fitted("one expert").results.bse[COEFFICIENTS], ols().bse * np.sqrt((N - P) / N), rtol=1e-9)


def test_one_expert_sandwich_is_white():
    close(fitted("one expert").results.standard_errors("sandwich")[COEFFICIENTS], ols("HC0").bse, rtol=1e-9)


def test_one_expert_mean_and_its_error_are_those_of_least_squares():
    f = fitted("one expert")
    ours = f.results.get_prediction(f.X[:7]).summary_frame()
    theirs = ols().get_prediction(sm.add_constant(f.X)[:7]).summary_frame()
    close(ours["mean"], theirs["mean"], rtol=1e-9)
    close(ours["mean_se"], theirs["mean_se"] * np.sqrt((N - P) / N), rtol=1e-9)


def test_one_classifier_is_multinomial_logit():
    f = fitted("one classifier")
    codes = np.searchsorted(f.results.schema.classes, f.y)
    theirs = sm.MNLogit(codes, sm.add_constant(f.X)).fit(disp=False, method="newton", tol=1e-12)
    close(f.results.llf, theirs.llf)
    # statsmodels stops its Newton iterations by the change of the estimates
    close(f.results.bse, np.ravel(theirs.bse), rtol=1e-6)


# --------------------------------------------------------------------------------------- tests of hypotheses
@every_kind
def test_t_test_of_a_named_difference(kind):
    r = fitted("gate").results
    cov, names = r.cov_params(kind), ["expert[1].GNP", "expert[2].GNP"]
    difference = r.estimates[names[0]] - r.estimates[names[1]]
    error = np.sqrt(cov.loc[names[0], names[0]] + cov.loc[names[1], names[1]] - 2 * cov.loc[names[0], names[1]])
    test = r.t_test("expert[1].GNP = expert[2].GNP", kind=kind)
    got = [test.effect.item(), test.sd.item(), test.tvalue.item(), test.pvalue.item()]
    close(got, [difference, error, difference / error, 2 * stats.norm.sf(abs(difference / error))])


@every_kind
def test_wald_test_of_two_hypotheses(kind):
    r = fitted("gate").results
    R = pd.DataFrame(0.0, index=range(2), columns=r.names)
    R.loc[0, ["expert[1].GNP", "expert[2].GNP"]] = 1.0, -1.0
    R.loc[1, "gate[1].GNP"] = 1.0
    gap = R.to_numpy() @ r.estimates.to_numpy() - [0.0, 0.1]
    statistic = gap @ np.linalg.solve(R.to_numpy() @ r.cov_params(kind).to_numpy() @ R.to_numpy().T, gap)
    test = r.wald_test("expert[1].GNP = expert[2].GNP, gate[1].GNP = 0.1", kind=kind)
    close([test.statistic, test.pvalue], [statistic, stats.chi2.sf(statistic, 2)])


def test_hypotheses_may_be_matrices():
    r = fitted("gate").results
    first = np.eye(len(r.names))[:1]
    close(r.t_test(first).tvalue.item(), r.tvalues.iloc[0])


# --------------------------------------------------------------------------------------- what the data do not determine
@dataclasses.dataclass(frozen=True)
class Singular:
    """A fit with parameters that the data do not determine: which, and how the refusal names them."""

    results: ms.Results
    lost: list[str]
    message: str


def _warned(*rows, **model):
    with pytest.warns(MoestatWarning):
        return fit(*rows, **model).results


def _duplicated_column():
    X, y = two_lines()
    results = _warned(X.assign(twin=X["x1"]), y, n_experts=2)
    lost = [f"{part}.{name}" for part in ("gate[1]", "expert[1]", "expert[2]") for name in ("x1", "twin")]
    return Singular(results, lost, "linearly related covariates: twin = x1")


def _constant_column():
    X, y = two_lines()
    results = _warned(X.assign(one=1.0), y, n_experts=2)
    lost = [f"{part}.{name}" for part in ("gate[1]", "expert[1]", "expert[2]") for name in ("const", "one")]
    return Singular(results, lost, "linearly related covariates: one is constant")


def _separated_gate():
    X, _ = two_lines()
    x = X["x1"].to_numpy()
    noise = np.random.default_rng(0).normal(0.0, 0.3, x.size)
    y = np.where(x > 2.0, 10.0 + 2.0 * x, -x) + noise
    results = _warned(X, y, n_experts=2)
    return Singular(results, ["gate[1].const", "gate[1].x1"], r"directions?: gate")


def _spikes():
    """Both halves lie on a line, a constant gate: only the variances cannot be had."""
    X, _ = two_lines()
    x = X["x1"].to_numpy()
    half = np.arange(x.size) % 3 == 0
    results = _warned(X, np.where(half, 1.0 + 2.0 * x, 4.0 - x), no_columns(x.size), n_experts=2)
    return Singular(results, ["expert[1].variance", "expert[2].variance"], r"variance floor: expert\[1\].variance")


SINGULAR = {
    "duplicated column": _duplicated_column,
    "constant column": _constant_column,
    "separated gate": _separated_gate,
    "spikes": _spikes,
}
every_singular = pytest.mark.parametrize("singular", SINGULAR, indirect=True)


@cache
def _singular(name):
    return SINGULAR[name]()


@pytest.fixture
def singular(request):
    return _singular(request.param)


def _undetermined_row(r):
    """A row whose mean the data do not determine: no longer tied covariates, or where a steep gate is undecided."""
    gate = r.params.gate
    undecided = (1.0 - gate.intercepts[0]) / gate.slopes[0, 0] if gate.slopes.size else 0.0
    return [[undecided, -3.0][: len(r.schema.features)]]


@every_singular
@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda r: r.bse, id="bse"),
        pytest.param(lambda r: r.tvalues, id="tvalues"),
        pytest.param(lambda r: r.conf_int(), id="conf_int"),
        pytest.param(lambda r: r.cov_params(), id="cov_params"),
        pytest.param(lambda r: r.cov_params("sandwich"), id="sandwich"),
    ],
)
def test_uncertainty_is_refused_by_the_names_of_the_directions(singular, ask):
    with pytest.raises(NotIdentifiedError, match=singular.message):
        ask(singular.results)


def test_means_that_the_data_determine_are_predicted_beside_a_duplicated_column():
    """The twin takes parameters away, not means: they and their errors are those of the fit without it."""
    X, y = two_lines()
    twin = _singular("duplicated column").results.get_prediction(X.assign(twin=X["x1"]))
    alone = fit(X, y, n_experts=2).results.get_prediction(X)
    np.testing.assert_allclose(twin.mean, alone.mean, atol=1e-8)
    np.testing.assert_allclose(twin.se, alone.se, rtol=1e-6)


@every_singular
def test_means_that_the_data_do_not_determine_are_refused(singular):
    """Which of the directions a mean moves along depends on where on the ridge the fit ended."""
    with pytest.raises(NotIdentifiedError, match=r"flat direction|variance floor|linearly related"):
        singular.results.get_prediction(_undetermined_row(singular.results))


@every_singular
def test_allow_singular_gives_nan_for_the_affected_entries_alone(singular):
    r = singular.results
    errors = r.standard_errors(allow_singular=True)
    assert sorted(errors.index[errors.isna()]) == sorted(singular.lost)


@every_singular
def test_limits_are_missing_where_errors_are(singular):
    r = singular.results
    missing = r.conf_int(allow_singular=True).isna()
    assert sorted(missing.index[missing.all(axis=1)]) == sorted(singular.lost)
    assert (missing[0] == missing[1]).all()


@every_singular
def test_covariances_with_an_affected_entry_are_missing_too(singular):
    cov = singular.results.cov_params(allow_singular=True)
    affected = cov.index.isin(singular.lost)
    assert (cov.isna().to_numpy() == (affected[:, None] | affected)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_is_as_without_the_duplicated_column(kind):
    """The same density, so the same uncertainty of what both fits determine."""
    X, y = two_lines()
    plain = fit(X, y, n_experts=2).results.standard_errors(kind)
    errors = _singular("duplicated column").results.standard_errors(kind, allow_singular=True).dropna()
    close(errors, plain[errors.index], rtol=1e-6)  # two runs stop within 1e-8 of the maximum


@every_singular
def test_summary_prints_not_available_with_the_reason(singular):
    text = singular.results.summary().as_text()
    rows = [line for line in text.splitlines() if line.split()[2:4] == ["not", "available"]]
    assert len(rows) == len(singular.lost)
    assert "not available: the observed covariance does not exist, because the data do not determine" in text


def test_a_saddle_point_has_no_covariance():
    """Two equal experts: the likelihood rises when they part."""
    X, y = two_lines()
    model = ms.MixtureOfExperts(n_experts=2)
    one = fit(X, y, n_experts=1).results.params.expert
    both = {name: np.repeat(getattr(one, name), 2, axis=0) for name in ("intercepts", "slopes", "variances")}
    start = model.params(gate={"slopes": np.zeros((2, 1)), "intercepts": np.zeros(2)}, expert=both)
    with pytest.warns(ConvergenceWarning, match="saddle"):
        results = ms.fit(model, X, y, start=start, solver=ms.solvers.EM())
    with pytest.raises(NotIdentifiedError, match="did not end at a maximum: saddle point"):
        _ = results.bse


# --------------------------------------------------------------------------------------- weights
@cache
def weighted_and_repeated():
    """One fit with weights, one with the rows repeated, both from the same start."""
    f = fitted("three experts")
    weight = 1 + np.arange(len(f.y)) % 3
    again = [table.loc[table.index.repeat(weight)] for table in (f.X, f.y, f.Z)]
    start = f.results.params
    return (
        ms.fit(f.model, f.X, f.y, f.Z, weight, start=start),
        ms.fit(f.model, *again, start=start),
    )


@pytest.mark.parametrize("name", ["llf", "nobs", "aic", "bic", "icl", "df_model"])
def test_weights_are_frequencies(name):
    weighted, repeated = weighted_and_repeated()
    close(getattr(weighted, name), getattr(repeated, name))


@every_kind
def test_weights_are_frequencies_in_covariances(kind):
    weighted, repeated = weighted_and_repeated()
    # estimates agree to the gradient's tolerance, 1e-8 per row
    close(weighted.standard_errors(kind), repeated.standard_errors(kind), rtol=1e-7)


def test_rows_of_weight_zero_do_not_count():
    f = fitted("gate")
    weight = np.ones(len(f.y))
    weight[[3, 8]] = 0
    kept = weight > 0
    with_zeros = ms.fit(f.model, f.X, f.y, None, weight, start=f.results.params)
    without = ms.fit(f.model, f.X[kept], f.y[kept], start=f.results.params)
    close(with_zeros.bse, without.bse, rtol=1e-7)
    assert with_zeros.nobs == without.nobs == 26
    assert with_zeros.responsibilities().shape == (26, 2)


# --------------------------------------------------------------------------------------- rows
@every_case
def test_responsibilities_are_probabilities(case):
    resp = fitted(case).results.responsibilities()
    assert resp.shape == (len(fitted(case).y), fitted(case).model.n_experts)
    assert (resp >= 0).all()
    close(resp.sum(axis=1), 1.0)


@every_case
def test_rows_given_anew_are_the_training_rows(case):
    """What is computed from the tiles and from a query agree."""
    f = fitted(case)
    r = f.results
    close(r.responsibilities(f.X, f.y, f.Z), r.responsibilities(), rtol=1e-8, atol=1e-12)
    close(r.gate_weights(f.X, f.Z), r.gate_weights())
    close(r.predict(f.X, f.Z), r.predict())


def expert_log_densities(case):
    """Log density (n, K) of each expert from the estimates, by scipy."""
    f = fitted(case)
    X, y, _ = f.arrays
    p = f.results.params.expert
    if f.results.schema.classes is None:
        return stats.norm.logpdf(y[:, None], X @ p.slopes.T + p.intercepts, np.sqrt(p.variances))
    logits = np.einsum("nd,kcd->nkc", X, p.slopes) + p.intercepts
    odds = np.exp(np.concatenate([np.zeros((*logits.shape[:2], 1)), logits], axis=2))
    return np.log(odds / odds.sum(axis=2, keepdims=True))[np.arange(len(y)), :, y]


def softmax_weights(case):
    """Gate weights (n, K) from the estimates."""
    f = fitted(case)
    X, _, Z = f.arrays
    gate = f.results.params.gate
    odds = np.exp((X if Z is None else Z) @ gate.slopes.T + gate.intercepts)
    return odds / odds.sum(axis=1, keepdims=True)


by_formulas = pytest.mark.parametrize("case", ["gate", "constant gate", "three experts", "one expert", "classes"])


@by_formulas
def test_gate_weights_are_the_softmax_of_the_estimates(case):
    close(fitted(case).results.gate_weights(), softmax_weights(case))


@by_formulas
def test_log_density_is_that_of_the_estimates(case):
    f = fitted(case)
    expected = np.log((softmax_weights(case) * np.exp(expert_log_densities(case))).sum(axis=1))
    close(f.results.log_density(f.X, f.y, f.Z), expected, rtol=1e-9)


@by_formulas
def test_responsibilities_follow_from_weights_and_densities(case):
    joint = softmax_weights(case) * np.exp(expert_log_densities(case))
    expected = joint / joint.sum(axis=1, keepdims=True)
    close(fitted(case).results.responsibilities(), expected, rtol=1e-8, atol=1e-14)


@every_case
def test_density_is_the_exponential_of_the_log_density(case):
    f = fitted(case)
    close(f.results.density(f.X, f.y, f.Z), np.exp(f.results.log_density(f.X, f.y, f.Z)))


@every_case
def test_log_densities_add_up_to_the_llf(case):
    f = fitted(case)
    close(f.results.log_density(f.X, f.y, f.Z).sum(), f.results.llf)


def one_row(f, i=4):
    """Row i of X and Z."""
    return f.X[i : i + 1], None if f.Z is None else f.Z[i : i + 1]


def repeated_row(f, n, i=4):
    """Row i of X and Z, n times."""
    return tuple(None if part is None else np.repeat(np.asarray(part), n, axis=0) for part in one_row(f, i))


@numerical_case
def test_density_integrates_to_one(case):
    """Simpson's rule on 20001 points over eight standard deviations and more, error below 1e-10."""
    f = fitted(case)
    grid = np.linspace(f.y.min() - 8 * f.y.std(), f.y.max() + 8 * f.y.std(), 20_001)
    X, Z = repeated_row(f, grid.size)
    close(integrate.simpson(f.results.density(X, grid, Z), x=grid), 1.0, rtol=1e-9)


def test_probabilities_of_the_classes_sum_to_one():
    f = fitted("classes")
    X, Z = one_row(f)
    close(sum(f.results.density(X, [label], Z)[0] for label in f.results.schema.classes), 1.0)


# --------------------------------------------------------------------------------------- predictions
@numerical_case
def test_prediction_is_the_weighted_mean_of_the_experts(case):
    f = fitted(case)
    expected = (f.results.gate_weights(f.X, f.Z) * f.results.expert_means(f.X, f.Z)).sum(axis=1)
    close(f.results.predict(f.X, f.Z), expected)


def test_predicted_probabilities_are_weighted_means_of_the_experts():
    f = fitted("classes")
    expected = np.einsum("nk,nkc->nc", f.results.gate_weights(), f.results.expert_means(f.X, f.Z))
    close(f.results.predict(f.X, f.Z), expected)


def test_expert_means_are_the_lines_of_the_estimates():
    f = fitted("three experts")
    p = f.results.params.expert
    close(f.results.expert_means(f.X, f.Z), f.X.to_numpy() @ p.slopes.T + p.intercepts, rtol=1e-9)


@every_kind
@every_case
def test_standard_errors_of_means_are_those_of_the_delta_method(case, kind):
    f, at = fitted(case), raw(case)
    X, Z = f.X[:5], None if f.Z is None else f.Z[:5]
    expected = at.standard_error(at.mean, f.results.cov_params(kind).to_numpy())
    prediction = f.results.get_prediction(X, Z, kind=kind)
    close(prediction.mean, f.results.predict(X, Z))
    close(prediction.se, expected, rtol=1e-6)  # differences of the mean carry eight digits


def test_limits_of_means_are_normal():
    f = fitted("gate")
    frame = f.results.get_prediction(f.X[:4]).summary_frame(alpha=0.2)
    width = stats.norm.ppf(0.9) * frame["mean_se"]
    close(frame["mean_ci_lower"], frame["mean"] - width)
    close(frame["mean_ci_upper"], frame["mean"] + width)


@pytest.mark.parametrize("case", ["gate", "common variance", "three experts", "held", "one expert"])
def test_limits_of_observations_are_quantiles_of_the_mixture(case):
    f = fitted(case)
    X, Z = f.X[:6], None if f.Z is None else f.Z[:6]
    frame = f.results.get_prediction(X, Z).summary_frame(alpha=0.1)
    expert = f.results.params.expert
    spread = np.sqrt(getattr(expert, "variances", getattr(expert, "variance", None)))
    for limit, level in (("obs_ci_lower", 0.05), ("obs_ci_upper", 0.95)):
        each = stats.norm.cdf(frame[limit].to_numpy()[:, None], f.results.expert_means(X, Z), spread)
        close((f.results.gate_weights(X, Z) * each).sum(axis=1), level, rtol=1e-8)


def test_a_table_of_class_probabilities_has_a_column_per_class():
    f = fitted("classes")
    frame = f.results.get_prediction(f.X[:3], f.Z[:3]).summary_frame()
    assert frame["mean"].columns.tolist() == ["Democrat", "Independent", "Republican"]
    close(frame["mean"].sum(axis=1), 1.0)


# --------------------------------------------------------------------------------------- samples
@pytest.mark.parametrize("case", ["gate", "three experts", "mixed", "one expert"])
def test_samples_follow_the_fitted_density(case):
    """Kolmogorov-Smirnov against the integrated density of one row; seeded, p-value above 1e-3."""
    f = fitted(case)
    draws = f.results.sample(*repeated_row(f, 20_000), seed=1)
    grid = np.linspace(f.y.min() - 8 * f.y.std(), f.y.max() + 8 * f.y.std(), 4_001)
    X, Z = repeated_row(f, grid.size)
    cdf = integrate.cumulative_trapezoid(f.results.density(X, grid, Z), grid, initial=0.0)
    assert stats.kstest(draws, lambda y: np.interp(y, grid, cdf)).pvalue > 1e-3


def test_samples_have_the_predicted_mean():
    f = fitted("gate")
    X, _ = repeated_row(f, 20_000)
    draws = f.results.sample(X, seed=2)
    error = draws.std() / np.sqrt(draws.size)
    assert abs(draws.mean() - f.results.predict(X[:1])[0]) < 4 * error


def test_sampled_classes_have_the_predicted_frequencies():
    f = fitted("classes")
    X, Z = repeated_row(f, 20_000)
    draws = f.results.sample(X, Z, seed=3)
    expected = f.results.predict(X[:1], Z[:1])[0]
    counts = [(draws == label).sum() for label in f.results.schema.classes]
    assert stats.chisquare(counts, expected * draws.size).pvalue > 1e-3


def test_sampled_classes_are_the_labels():
    f = fitted("classes")
    assert set(f.results.sample(f.X, f.Z)) == set(f.y)


def test_a_seed_or_a_generator_fixes_the_sample():
    f = fitted("gate")
    by_seed = f.results.sample(f.X, seed=5)
    assert np.array_equal(by_seed, f.results.sample(f.X, rng=np.random.default_rng(5)))
    assert not np.array_equal(by_seed, f.results.sample(f.X, seed=6))


# --------------------------------------------------------------------------------------- offsets
@cache
def with_offset():
    X, y = two_lines()
    offset = np.linspace(-3.0, 3.0, len(y))
    model = ms.MixtureOfExperts(n_experts=2)
    return ms.fit(model, X, y + offset, offset=offset, n_starts=3), X, y + offset, offset


def test_an_offset_shifts_the_means_and_nothing_else():
    results, *_ = with_offset()
    X, y = two_lines()
    plain = fit(X, y, n_experts=2, n_starts=3).results
    close(results.estimates, plain.estimates, rtol=1e-6)
    close(results.llf, plain.llf)


def test_new_rows_take_their_offset():
    results, X, y, offset = with_offset()
    close(results.predict(X, offset=offset), results.predict())
    close(results.expert_means(X, offset=offset), results.expert_means(X) + offset[:, None])
    close(results.responsibilities(X, y, offset=offset), results.responsibilities(), atol=1e-12)
    close(results.log_density(X, y, offset=offset).sum(), results.llf)
    frame = results.get_prediction(X, offset=offset).summary_frame()
    bare = results.get_prediction(X).summary_frame()
    close(frame["obs_ci_upper"], bare["obs_ci_upper"] + offset)


# --------------------------------------------------------------------------------------- new rows that do not fit
WRONG_ROWS = {
    "too many columns": ("gate", dict(X=np.zeros((2, 3))), r"X must have the 1 columns .*'GNP'.*; got 3"),
    "another column": ("gate", dict(X=pd.DataFrame({"income": [1.0]})), r"in their order.*got \['income'\]"),
    "another order": (
        "three experts",
        dict(X=pd.DataFrame({"dose": [1.0], "age": [40.0]}), Z=[[0.0]]),
        r"X must have the columns of the fit in their order, \['age', 'dose'\]",
    ),
    "no X": ("three experts", dict(X=None, Z=[[0.0]]), r"X is needed: the experts use 2 covariates"),
    "no Z": ("three experts", dict(X=[[40.0, 1.0]]), r"Z is needed: the gate has its own .*'severity'"),
    "Z of another length": ("three experts", dict(X=[[40.0, 1.0]], Z=[[0.0], [1.0]]), r"Z must have as many"),
    "Z of another width": ("three experts", dict(X=[[40.0, 1.0]], Z=[[0.0, 1.0]]), r"Z must have the 1 col"),
    "missing value": ("gate", dict(X=[[np.nan]]), r"X must be finite; got nan in row 0, column 0"),
}


@pytest.mark.parametrize(("case", "rows", "message"), WRONG_ROWS.values(), ids=WRONG_ROWS)
@pytest.mark.parametrize("ask", ["predict", "get_prediction", "sample"])
def test_rows_of_another_shape_are_refused(ask, case, rows, message):
    with pytest.raises(InputError, match=message):
        getattr(fitted(case).results, ask)(**rows)


@pytest.mark.parametrize("ask", ["log_density", "responsibilities"])
def test_an_unknown_class_is_refused(ask):
    f = fitted("classes")
    with pytest.raises(InputError, match=r"y must hold classes of the fit, .*; got also \['Whig'\]"):
        getattr(f.results, ask)(f.X[:2], ["Democrat", "Whig"], f.Z[:2])


def test_responsibilities_of_new_rows_need_the_response():
    f = fitted("gate")
    with pytest.raises(InputError, match=r"y is needed for responsibilities and densities; gate_weights"):
        f.results.responsibilities(f.X)


# --------------------------------------------------------------------------------------- tables
def printed(results, **options):
    """Tables of the summary: title -> row name -> cells."""
    tables = results.summary(**options).tables[1:]
    return {t.title: {row[0].data: [cell.data for cell in row[1:]] for row in t[1:]} for t in tables}


@every_case
def test_every_estimate_is_printed_once(case):
    r = fitted(case).results
    cells = [row for table in printed(r).values() for row in table.values() if row[1] != "held"]
    assert sorted(float(row[0]) for row in cells) == pytest.approx(sorted(r.estimates), rel=1e-3, abs=5e-5)


def test_a_row_of_the_summary():
    r = fitted("gate").results
    row = printed(r)["Expert 2: gaussian, 7.3 rows"]["GNP"]
    name = "expert[2].GNP"
    limits = r.conf_int().loc[name]
    numbers = [r.estimates[name], r.bse[name], r.tvalues[name], r.pvalues[name], *limits]
    assert row == [f"{value:.{digits}f}" for value, digits in zip(numbers, (4, 4, 3, 3, 4, 4), strict=True)]


def test_variances_are_not_tested_against_zero():
    row = printed(fitted("gate").results)["Expert 1: gaussian, 20.7 rows"]["variance"]
    assert row[2:4] == ["", ""]
    assert all(row[:2] + row[4:])


def test_the_summary_uses_the_covariance_and_the_level_asked_for():
    r = fitted("gate").results
    row = printed(r, kind="sandwich", alpha=0.5)["Expert 2: gaussian, 7.3 rows"]["GNP"]
    limits = r.conf_int(0.5, kind="sandwich").loc["expert[2].GNP"]
    assert row[1] == f"{r.standard_errors('sandwich')['expert[2].GNP']:.4f}"
    assert row[4:] == [f"{limit:.4f}" for limit in limits]


@every_kind
def test_the_heading_counts_and_names_the_covariance(kind):
    heading = [cell.data for row in fitted("gate").results.summary(kind=kind).tables[0] for cell in row]
    pairs = dict(zip(heading[::2], heading[1::2], strict=True))
    expected = {
        "Response:": "CO2",
        "Gate:": "softmax",
        "Experts:": "2 x gaussian",
        "Observations:": "28",
        "Identified parameters:": "8",
        "Log-likelihood:": "-66.2966",
        "AIC:": "148.593",
        "BIC:": "159.251",
        "ICL:": "162.983",
        "Covariance:": kind,
    }
    assert pairs == expected


def test_the_gate_has_a_table_per_expert_but_the_reference():
    """With three experts, rows of one table would carry the same names."""
    titles = list(printed(fitted("three experts").results))
    assert titles[:2] == [f"Gate: log odds of expert {k} against expert 3" for k in (1, 2)]


def test_a_constant_gate_has_an_intercept_alone():
    assert list(printed(fitted("constant gate").results)["Gate: log odds of expert 1 against expert 2"]) == ["const"]


@pytest.mark.parametrize("case", ["one expert", "one classifier"])
def test_one_expert_has_no_gate_table(case):
    r = fitted(case).results
    assert not [title for title in printed(r) if title.startswith("Gate")]
    assert "none (one expert)" in r.summary().as_text()


def test_rows_of_a_classifier_are_grouped_by_class():
    tables = printed(fitted("classes").results)
    (rows,) = (list(table) for title, table in tables.items() if title.startswith("Expert 1"))
    assert rows == [f"{label}.{part}" for label in ("Independent", "Republican") for part in ("const", "selfLR")]


def test_the_summary_of_a_classifier_names_the_reference_class():
    text = fitted("classes").results.summary().as_text()
    assert ["Reference", "class:", "Democrat"] in [line.split() for line in text.splitlines()]


def test_a_shared_parameter_has_a_table_of_its_own():
    assert list(printed(fitted("common variance").results)["All experts"]) == ["variance"]


def test_families_are_named_expert_by_expert():
    r = fit(*two_lines(), n_experts=2, expert=("gaussian", Background())).results
    assert ["Experts:", "gaussian,", "background"] in [line.split()[:3] for line in r.summary().as_text().splitlines()]
    assert [title.split(",")[0] for title in printed(r)][1:] == ["Expert 1: gaussian", "Expert 2: background"]


def test_held_parameters_are_printed_as_held():
    tables = printed(fitted("held").results)
    held = [row for table in tables.values() for row in table.values() if row[1] == "held"]
    assert [row[0] for row in held] == ["0.0000", "0.0000", "0.4000", "0.3000"]


def test_held_parameters_have_no_standard_error():
    r = fitted("held").results
    assert r.held.sum() == 4
    assert not set(r.held.index[r.held]) & set(r.bse.index)


def test_held_parameters_keep_their_values():
    p = fitted("held").results.params
    close(p.expert.variances, [0.4, 0.3], rtol=1e-15)  # they pass through their logarithms
    assert not p.gate.slopes.any()


def test_the_summary_ends_with_the_certificate():
    r = fitted("gate").results
    assert r.summary().as_text().endswith(str(r.certificate))


@pytest.mark.parametrize("form", ["as_html", "as_latex", "as_csv"])
def test_the_summary_has_other_forms(form):
    assert "GNP" in getattr(fitted("gate").results.summary(), form)()


# --------------------------------------------------------------------------------------- evidence
def test_every_start_has_a_row():
    r = fitted("constant gate").results
    assert list(r.starts.columns) == [
        "family",
        "loglik_short",
        "loglik",
        "status",
        "solution",
        "n_iter",
        "reseeded",
    ]
    assert len(r.starts) == r.certificate.n_starts == 8


def test_starts_of_solution_one_reached_the_reported_one():
    r = fitted("constant gate").results
    first = r.starts[r.starts["solution"] == 1]
    assert len(first) == r.certificate.n_reached
    close(first["loglik"], r.llf, rtol=1e-9)
    assert set(first["status"]) == {Status.STRICT_MAXIMUM.value}


def test_no_start_of_the_same_kind_is_better():
    r = fitted("constant gate").results
    assert r.starts["loglik"].max() <= r.llf + 1e-9 * abs(r.llf)


def test_the_trace_is_em_then_newton_and_never_falls():
    trace = fitted("gate").results.trace
    assert list(trace.columns) == ["method", "loglik", "gradient", "objective"]
    assert trace.objective.equals(trace.loglik.rename("objective"))
    assert list(trace["method"].drop_duplicates()) == ["em", "newton"]
    assert np.diff(trace["loglik"]).min() >= -1e-12 * trace["loglik"].abs().max()


def test_the_trace_ends_where_the_gradient_is_zero():
    r = fitted("gate").results
    assert r.trace["gradient"].iloc[-1] < 1e-8
    assert r.converged


def test_the_trace_ends_at_the_llf():
    """In working units: the logarithm of the response's scale apart."""
    r = fitted("gate").results
    jacobian = r.nobs * np.log(r.coordinates.y.scale[0])
    close(r.trace["loglik"].iloc[-1] - jacobian, r.llf)


def test_a_fit_that_was_stopped_has_not_converged():
    X, y = two_lines()
    with pytest.warns(ConvergenceWarning, match="not converged"):
        results = ms.fit(ms.MixtureOfExperts(n_experts=2), X, y, n_starts=1, solver=ms.solvers.EM(max_iter=2))
    assert not results.converged


# --------------------------------------------------------------------------------------- the table
@every_case
def test_the_table_has_what_its_parts_have(case):
    results = fitted(case).results
    table = results.table()
    assert list(table.index) == results.all_names
    estimated = table[table["role"] == "estimated"]
    assert list(estimated.index) == results.names
    np.testing.assert_array_equal(estimated["estimate"], results.estimates)
    np.testing.assert_array_equal(estimated["std_err"], results.bse)
    np.testing.assert_array_equal(estimated[["lower", "upper"]], results.conf_int())
    np.testing.assert_array_equal(table["role"] == "held", results.held)
    assert table.loc[table["role"] != "estimated", "std_err"].isna().all()


def test_the_table_takes_level_and_covariance():
    results = fitted("gate").results
    table = results.table(0.5, kind="sandwich")
    estimated = table[table["role"] == "estimated"]
    np.testing.assert_array_equal(estimated["std_err"], results.standard_errors("sandwich"))
    np.testing.assert_array_equal(estimated[["lower", "upper"]], results.conf_int(0.5, kind="sandwich"))
