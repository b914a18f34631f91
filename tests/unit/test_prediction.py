"""Standard errors of experts' means and gate weights: the delta method against differences and draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import moestat as ms
from moestat.inference.prediction import Estimated, expert_means_jacobian, gate_weights_jacobian
from tests.unit.fitted import CASES, fitted

every_case = pytest.mark.parametrize("case", list(CASES))

#: Central differences with this step keep ten digits of functions of size one.
STEP = 1e-5


def rows(case, n=7):
    f = fitted(case)
    Z = None if f.Z is None else np.asarray(f.Z)[:n]
    return np.asarray(f.X)[:n], Z


def differences(function, theta):
    """Derivative (P, ...) of a function of theta."""
    steps = STEP * np.eye(theta.size)
    return np.stack([(function(theta + step) - function(theta - step)) / (2 * STEP) for step in steps])


@every_case
def test_experts_means_move_as_differences_say(case):
    results = fitted(case).results
    terms, block = results._terms, results._block(*rows(case))
    by_formula = expert_means_jacobian(terms, results.theta, block)
    by_steps = differences(lambda theta: terms.expert.mean(theta[terms.expert_columns], block), results.theta)
    np.testing.assert_allclose(by_formula, by_steps, atol=1e-8)


@every_case
def test_gate_weights_move_as_differences_say(case):
    results = fitted(case).results
    terms, block = results._terms, results._block(*rows(case))
    by_formula = gate_weights_jacobian(terms, results.theta, block)
    by_steps = differences(lambda theta: terms.gate_weights(theta, block), results.theta)
    np.testing.assert_allclose(by_formula, by_steps, atol=1e-8)


@pytest.mark.parametrize("case", ["gate", "classes", "three experts"])
def test_errors_are_the_spread_over_draws_of_the_estimates(case):
    """4000 draws, shrunk a hundredfold to where functions are linear, know a spread to 1 %; allowed are 6 %."""
    results = fitted(case).results
    X, Z = rows(case)
    terms, block = results._terms, results._block(X, Z)
    jacobian = gate_weights_jacobian(terms, results.theta, block)
    covariance = results._information.working_covariance(jacobian)
    draws = np.random.default_rng(0).multivariate_normal(np.zeros(terms.size), covariance, 4000, method="eigh")
    thetas = results.theta + 0.01 * draws
    weights = np.stack([terms.gate_weights(theta, block).T for theta in thetas])
    means = np.stack([terms.expert.mean(theta[terms.expert_columns], block) for theta in thetas])
    estimated = results.get_gate_weights(X, Z)
    np.testing.assert_allclose(100 * weights.std(axis=0), estimated.se, rtol=0.06)
    scale = 1.0 if results.schema.classes else results.coordinates.y.scale[0]
    spread = 100 * scale * np.moveaxis(means.std(axis=0), -1, 0)
    np.testing.assert_allclose(spread, results.get_expert_means(X, Z).se, rtol=0.06)


@every_case
def test_values_are_those_without_errors(case):
    results = fitted(case).results
    X, Z = rows(case)
    means, weights = results.get_expert_means(X, Z), results.get_gate_weights(X, Z)
    assert np.array_equal(means.value, results.expert_means(X, Z))
    assert np.array_equal(weights.value, results.gate_weights(X, Z))
    assert means.se.shape == means.value.shape
    assert weights.se.shape == weights.value.shape


def test_one_expert_is_the_whole_mixture():
    results = fitted("one expert").results
    X, Z = rows("one expert")
    np.testing.assert_allclose(results.get_expert_means(X, Z).se[:, 0], results.get_prediction(X, Z).se, rtol=1e-9)
    assert np.array_equal(results.get_gate_weights(X, Z).se, np.zeros((len(X), 1)))


def test_two_weights_are_equally_sure():
    X, Z = rows("gate")
    se = fitted("gate").results.get_gate_weights(X, Z).se
    np.testing.assert_allclose(se[:, 0], se[:, 1], rtol=1e-9)


def test_the_kind_of_covariance_can_be_chosen():
    X, Z = rows("gate")
    results = fitted("gate").results
    assert not np.allclose(results.get_gate_weights(X, Z, kind="sandwich").se, results.get_gate_weights(X, Z).se)


def test_gate_weights_need_rows():
    with pytest.raises(ms.InputError, match=r"X \(or Z\) is needed"):
        fitted("gate").results.get_gate_weights()


def test_what_is_not_identified_has_no_errors():
    x = np.linspace(-1, 1, 60)
    y = np.where(x < 0, x, 3 - x) + np.random.default_rng(0).normal(0, 0.05, 60)  # the gate separates the rows
    with pytest.warns(ms.SeparationWarning):
        results = ms.fit(ms.MixtureOfExperts(n_experts=2), x, y, n_starts=4)
    with pytest.raises(ms.NotIdentifiedError):
        results.get_gate_weights(x)
    assert (results.get_expert_means(x).se > 0).all()  # the experts do not care where the gate turns


# --------------------------------------------------------------------------------------- limits
def test_limits_lie_symmetrically_about_a_mean():
    lower, upper = Estimated(np.array([1.0]), np.array([0.5])).limits(0.05)
    np.testing.assert_allclose([lower[0], upper[0]], 1.0 + 0.5 * 1.959963985 * np.array([-1, 1]), rtol=1e-7)


def test_limits_of_a_proportion_stay_proportions():
    value = np.array([0.001, 0.3, 0.999])
    estimated = Estimated(value, np.array([0.003, 0.1, 0.003]), proportion=True)
    lower, upper = estimated.limits()
    assert ((lower > 0) & (lower < value) & (value < upper) & (upper < 1)).all()
    other = replace(estimated, value=1 - value).limits()  # success and failure are alike
    np.testing.assert_allclose(other[0], 1 - upper, atol=1e-12)


def test_a_proportion_that_is_one_to_rounding_has_no_limits():
    lower, upper = Estimated(np.array([1.0, 0.0]), np.zeros(2), proportion=True).limits()
    assert np.isnan([lower, upper]).all()


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 2])
def test_a_level_outside_zero_and_one_is_refused(alpha):
    with pytest.raises(ms.InputError, match=f"alpha must lie between 0 and 1; got {alpha}"):
        Estimated(np.ones(1), np.ones(1)).limits(alpha)


# --------------------------------------------------------------------------------------- joint gates, several responses
def two_lines(n=200):
    rng = np.random.default_rng(11)
    first = rng.random(n) < 0.5
    x = np.where(first, -1.0, 1.0) + 0.7 * rng.standard_normal(n)
    line = np.where(first, x, 2.0 - x)
    return x[:, None], np.column_stack([line, 1e3 * line - 5e3]) + [0.2, 300.0] * rng.standard_normal((n, 2))


def test_weights_of_a_joint_gate_move_as_differences_say():
    x, Y = two_lines()
    results = ms.fit(ms.MixtureOfExperts(gate="gaussian(likelihood='joint')", n_experts=2), x, Y[:, 0], n_starts=2)
    terms, block = results._terms, results._gate_block(x[:9], None)
    by_steps = differences(lambda theta: terms.gate_weights(theta, block), results.theta)
    by_formula = gate_weights_jacobian(terms, results.theta, block)
    np.testing.assert_allclose(by_formula, by_steps, atol=1e-7 * np.abs(by_steps).max())
    np.testing.assert_allclose(results.get_gate_weights(x).value.sum(axis=1), 1.0, rtol=1e-14)


def test_means_of_several_responses_have_their_own_units():
    x, Y = two_lines()
    model = ms.MixtureOfExperts(expert="multivariate_gaussian", n_experts=1)
    several = ms.fit(model, x, Y)
    together, prediction = several.get_expert_means(x), several.get_prediction(x)
    assert together.value.shape == together.se.shape == (len(x), 1, 2)
    np.testing.assert_allclose(together.se[:, 0], prediction.se, rtol=1e-10)
    for c in range(2):  # one regressor for all responses: each as if it were alone
        alone = ms.fit(ms.MixtureOfExperts(n_experts=1), x, Y[:, c]).get_expert_means(x)
        np.testing.assert_allclose(together.value[:, :, c], alone.value, rtol=1e-8)
        np.testing.assert_allclose(together.se[:, :, c], alone.se, rtol=1e-6)
