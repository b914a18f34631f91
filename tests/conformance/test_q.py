"""Q, the expected log-likelihood of rows and labels, at parameters other than those of the responsibilities.

The same laws for every gate with every expert, soft and hard responsibilities, against `formulas`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import special

from moestat.passes import Passes
from moestat.typing import FloatArray
from tests.conformance import formulas
from tests.conformance.problems import PAIRS, Problem, build, near, over

# As in the laws of the contract: the same sum by another route, and differences by five points.
ROUNDING = 1e-12
DIFFERENCES = 1e-8

soft_and_hard = pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])


@pytest.fixture
def problem(request: pytest.FixtureRequest) -> Problem:
    return build(*request.param)


def assert_close(actual: FloatArray, expected: FloatArray, tolerance: float) -> None:
    np.testing.assert_allclose(
        actual, expected, rtol=0.0, atol=tolerance * max(np.abs(expected).max(initial=0.0), 1e-300)
    )


def differences(f: Callable[[FloatArray], FloatArray], at: FloatArray, step: float = 1e-5) -> FloatArray:
    columns = []
    for e in step * np.eye(at.size):
        columns.append((8 * (f(at + e) - f(at - e)) - (f(at + 2 * e) - f(at - 2 * e))) / (12 * step))
    return np.array(columns).reshape(at.size, *np.shape(f(at)))


def passes_of(problem: Problem, hard: bool) -> Passes:
    return problem.passes.hardened if hard else problem.passes


def parts_of_q(problem: Problem, new: FloatArray, hard: bool) -> tuple[float, float]:
    """sum R log pi and sum R log f by the formulas; a joint likelihood has its logits for log pi."""
    rows, p = problem.rows, formulas.fields(problem.layout, new)
    _, posterior = problem.posterior()
    if hard:
        posterior = np.eye(posterior.shape[1])[posterior.argmax(axis=1)]
    R = rows.weight[:, None] * posterior
    h = formulas.logits(problem.gate, p["gate"], rows.Z)
    if problem.gate.normalised:
        h = h - special.logsumexp(h, axis=1, keepdims=True)
    b = formulas.log_density(problem.expert, p["expert"], rows.X, rows.y, rows.offset)
    gate, expert = (float(np.sum(R * np.where(R > 0, values, 0.0))) for values in (h, b))
    return gate, expert


@soft_and_hard
@over(PAIRS)
def test_both_parts_are_those_of_the_formula(problem: Problem, hard: bool) -> None:
    passes, new = passes_of(problem, hard), near(problem)
    gate, expert = parts_of_q(problem, new, hard)
    assert_close(passes.gate_q(problem.theta, new).value, gate, ROUNDING)
    assert_close(passes.expert_q(problem.theta, new).value, expert, ROUNDING)


@soft_and_hard
@over(PAIRS)
def test_scores_and_informations_are_derivatives(problem: Problem, hard: bool) -> None:
    passes, old, new, n = passes_of(problem, hard), problem.theta, near(problem), problem.terms.n_gate

    def at(values: FloatArray, part: slice) -> FloatArray:
        theta = new.copy()
        theta[part] = values
        return theta

    for q, part in ((passes.gate_q, slice(0, n)), (passes.expert_q, slice(n, None))):
        here = q(old, new)
        slope = differences(lambda v, q=q, part=part: np.array(q(old, at(v, part)).value), new[part])
        # differences of a sum of this size lose its rounding over the step
        np.testing.assert_allclose(
            here.score, slope, rtol=0, atol=1e-8 * max(np.abs(slope).max(initial=0.0), abs(here.value))
        )
        bend = differences(lambda v, q=q, part=part: q(old, at(v, part)).score, new[part])
        np.testing.assert_allclose(
            here.information,
            -bend,
            rtol=0,
            atol=DIFFERENCES * max(np.abs(bend).max(initial=0.0), np.abs(here.score).max(initial=0.0), 1e-300)
            + ROUNDING * problem.source.total_weight,  # terms that cancel
        )


@soft_and_hard
@over(PAIRS)
def test_at_the_old_parameters_it_has_the_score_of_em(problem: Problem, hard: bool) -> None:
    """Fisher's identity; with hard assignments the same for the classification log-likelihood."""
    passes, theta = passes_of(problem, hard), problem.theta
    em, n = passes.em(theta), problem.terms.n_gate
    gate, expert = passes.gate_q(theta, theta), passes.expert_q(theta, theta)
    assert_close(np.concatenate([gate.score, expert.score]), em.score, ROUNDING)
    if not problem.gate.closed_form:
        assert_close(gate.information, em.gate_information, ROUNDING)
    if hard:
        assert em.classification is not None
        assert_close(np.array(gate.value + expert.value), np.array(em.classification), ROUNDING)
    assert em.score.size == n + expert.score.size


@over(PAIRS)
def test_the_classification_loglik_is_that_of_the_formula(problem: Problem) -> None:
    """sum_i w_i max_k (log pi_k + log f_k), beside the log-likelihood of the mixture."""
    sums = problem.passes.hardened.em(problem.theta)
    gate, expert = parts_of_q(problem, problem.theta, hard=True)
    assert_close(np.array(sums.classification), np.array(gate + expert), ROUNDING)
    assert sums.loglik == problem.passes.em(problem.theta).loglik
    assert problem.passes.em(problem.theta).classification is None
