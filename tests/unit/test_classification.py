"""Classification EM, against the same algorithm written with least squares and statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

import moestat as ms
from moestat.solvers import EM, ClassificationEM, Stop, solve
from tests.unit import samples
from tests.unit.ascents import ROUND_OFF, STEPS, a_problem, anywhere
from tests.unit.draws import normal
from tests.unit.samples import problem_of, sample

EXACT = ClassificationEM(m_step="exact", **STEPS | {"rtol": 0.0})


def overlapping(K=2, n=300, seed=3):
    """Lines whose rows lie side by side everywhere, so that no gate separates them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 1))
    logits = np.column_stack([0.4 * k * X[:, 0] for k in range(K)]) + rng.gumbel(size=(n, K))
    label = logits.argmax(axis=1)
    return X, 3.0 * label + (label - 1) * X[:, 0] + 0.6 * rng.standard_normal(n)


def joint(gate, lines, X, y):
    """log pi_k + log f_k (n, K); gate and lines are rows of coefficients, lines end in a variance."""
    features = sm.add_constant(X)
    logits = features @ gate.T
    log_pi = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    variance = lines[:, -1]
    gap = y[:, None] - features @ lines[:, :-1].T
    return log_pi - 0.5 * (np.log(2 * np.pi * variance) + gap**2 / variance)


def brute_force(gate, lines, X, y, weight, steps):
    """Celeux and Govaert's algorithm; returns coefficients and the objective before every step."""
    features, K = sm.add_constant(X), len(lines)
    objective = []
    for _ in range(steps):
        scores = joint(gate, lines, X, y)
        labels = scores.argmax(axis=1)
        objective.append(float(weight @ scores.max(axis=1)))
        lines = lines.copy()
        for k in range(K):
            own = labels == k
            fit = sm.WLS(y[own], features[own], weights=weight[own]).fit()
            lines[k] = [*fit.params, np.average(fit.resid**2, weights=weight[own])]
        gate = np.zeros_like(gate)
        repeated = np.repeat(np.arange(y.size), weight.astype(int))
        fit = sm.MNLogit(labels[repeated], features[repeated]).fit(method="newton", disp=0, tol=1e-14)
        gate[1:] = fit.params.T
    return gate, lines, objective


@pytest.mark.parametrize("K", [2, 3])
def test_it_is_the_algorithm_of_celeux_and_govaert(K):
    X, y = overlapping(K)
    weight = np.random.default_rng(0).integers(1, 4, size=y.size).astype(float)
    model = ms.MixtureOfExperts(n_experts=K)
    problem = problem_of(model, X, y, None, weight)
    source = problem.passes.source
    gate = np.zeros((K, 2))
    lines = np.column_stack([3.2 * np.arange(K) + 0.1, np.linspace(-0.5, 0.5, K), np.full(K, 1.0)])
    experts = {"intercepts": lines[:, 0], "slopes": lines[:, 1:2], "variances": lines[:, 2]}
    start = model.params(gate={"intercepts": gate[:, 0], "slopes": gate[:, 1:]}, expert=experts)
    theta = model.to_theta(start, source.schema, source.coordinates)
    steps = 4
    solution = solve(problem, ClassificationEM(max_iter=steps, m_step="exact", **STEPS), theta)
    want_gate, want_lines, objective = brute_force(gate, lines, X, y, weight, steps)
    got = model.from_theta(solution.theta, source.schema, source.coordinates)
    contrasts = np.column_stack([got.gate.intercepts, got.gate.slopes])
    np.testing.assert_allclose(contrasts - contrasts[0], want_gate, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(
        np.column_stack([got.expert.intercepts, got.expert.slopes]), want_lines[:, :2], rtol=1e-8
    )
    np.testing.assert_allclose(got.expert.variances, want_lines[:, 2], rtol=1e-8)
    # in working units densities are per unit of the scaled response
    unit = weight.sum() * np.log(source.coordinates.y.scale[0])
    np.testing.assert_allclose([row.objective - unit for row in solution.trace[:-1]], objective, rtol=1e-9)


def test_states_tell_both_log_likelihoods():
    X, y = overlapping()
    problem = problem_of(ms.MixtureOfExperts(), X, y)
    states = []
    solution = solve(problem, ClassificationEM(max_iter=6, **STEPS), anywhere(problem), callback=states.append)
    source = problem.passes.source
    unit = y.size * np.log(source.coordinates.y.scale[0])
    for state, row in zip(states, solution.trace[1:], strict=True):
        params = ms.MixtureOfExperts().from_theta(state.theta, source.schema, source.coordinates)
        mixture = samples.gate_weights(params.gate, X) * samples.expert_density(params.expert, X, y)
        assert state.loglik == row.loglik == pytest.approx(np.log(mixture.sum(axis=1)).sum() + unit, rel=1e-12)
        assert state.objective == row.objective == pytest.approx(np.log(mixture.max(axis=1)).sum() + unit, rel=1e-12)
        assert state.objective < state.loglik
        assert row.method == "classification_em"


def test_other_solvers_have_no_objective():
    problem = sample(2).problem
    assert {row.objective for row in solve(problem, EM(max_iter=2, **STEPS), anywhere(problem)).trace} == {None}


def test_the_gradient_is_that_of_what_is_climbed():
    """By differences along every parameter, away from changes of label."""
    X, y = overlapping()
    problem = problem_of(ms.MixtureOfExperts(), X, y)
    solution = solve(problem, ClassificationEM(max_iter=3, **STEPS), anywhere(problem, 1))

    def objective(theta):
        return problem.passes.hardened.em(theta).classification

    slope = [
        (objective(solution.theta + e) - objective(solution.theta - e)) / 2e-6 for e in 1e-6 * np.eye(len(X.T) * 10)
    ]
    np.testing.assert_allclose(solution.score, slope, atol=1e-4)


def test_the_exact_algorithm_ends_when_labels_do():
    """Finitely many partitions: after the last change of label, nothing rises any more."""
    X, y = overlapping()
    problem = problem_of(ms.MixtureOfExperts(), X, y)
    points = []
    solution = solve(problem, EXACT, anywhere(problem), callback=lambda state: points.append(state.theta))
    assert solution.stop is Stop.LOGLIK
    assert solution.n_iter < 100
    labels = [
        np.hstack([t.R.argmax(axis=0) for t in problem.passes.terms.tiles(p, problem.passes.source.blocks())])
        for p in points[-3:]
    ]
    np.testing.assert_array_equal(labels[-1], labels[-2])
    assert solution.trace[-1].objective == pytest.approx(solution.trace[-2].objective, rel=ROUND_OFF)


def test_the_observed_loglik_may_fall():
    """It is another objective: from the maximum of the likelihood, CEM goes down."""
    X, y = overlapping()
    problem = problem_of(ms.MixtureOfExperts(), X, y)
    peak = solve(problem, EM(**STEPS | {"gtol": 1e-9}), anywhere(problem))
    solution = solve(problem, ClassificationEM(), peak.theta)
    assert solution.loglik < peak.loglik - 1e-3
    assert solution.trace[-1].objective > solution.trace[0].objective + 1e-3


@pytest.mark.parametrize("expert", ["gaussian", "multinomial"])
@pytest.mark.parametrize("m_step", ["newton", "exact"])
def test_equal_experts_leave_all_rows_to_the_first(expert, m_step):
    """Every row ties; the second expert keeps its parameters, to the last bit, and loses its gate weight."""
    rows = sample(2, n=100, expert=expert)
    problem = rows.problem
    terms = problem.passes.terms
    theta = np.zeros(problem.layout.size)
    solution = solve(problem, ClassificationEM(m_step=m_step, **STEPS | {"rtol": 1e-9}), theta)
    np.testing.assert_array_equal(solution.theta[terms.expert_columns[1]], 0.0)
    assert np.abs(solution.theta[terms.expert_columns[0]]).min() > 0.0
    assert np.isfinite(solution.theta).all()
    block = next(problem.passes.source.blocks())
    assert (terms.gate_weights(solution.theta, block)[1] < 1e-4).all()


@pytest.mark.parametrize("expert", ["gaussian", "multinomial"])
def test_one_expert_has_nothing_to_classify(expert):
    """Then it is EM, step for step."""
    rows = sample(2, n=100, expert=expert)
    problem = problem_of(ms.MixtureOfExperts(expert=expert, n_experts=1), rows.X, rows.y)
    soft, hard = (solve(problem, solver, anywhere(problem)) for solver in (EM(), ClassificationEM(rtol=1e-6)))
    np.testing.assert_array_equal(hard.theta, soft.theta)
    assert hard.trace[-1].objective == pytest.approx(soft.loglik, rel=ROUND_OFF)


def test_rows_on_a_separating_gate_end_cleanly():
    x = np.r_[np.linspace(-2, -1, 30), np.linspace(1, 2, 30)]
    y = np.where(x > 0, 5.0, -5.0) + 0.1 * normal(60, seed=1)
    problem = problem_of(ms.MixtureOfExperts(), x, y)
    for m_step in ("newton", "exact"):
        solution = solve(problem, ClassificationEM(m_step=m_step), anywhere(problem, 1))
        assert solution.converged
        assert np.isfinite(solution.theta).all()


@pytest.mark.parametrize("seed", [4, 9, 14])
def test_what_is_held_stays(seed):
    problem = a_problem(seed)
    assert not problem.free.all()
    solution = solve(problem, ClassificationEM(), anywhere(problem, seed))
    np.testing.assert_array_equal(solution.theta[~problem.free], problem.held[~problem.free])
