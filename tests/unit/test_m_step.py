"""The M-step: what it maximises, inside which box, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize, special
from sklearn.linear_model import LogisticRegression

import moestat as ms
from moestat.experts import Gaussian
from moestat.solvers import EM, Stop, solve
from moestat.solvers.m_step import _move_inside, newton_move
from tests.unit import samples
from tests.unit.ascents import STEPS, a_problem, anywhere, assert_never_falls
from tests.unit.draws import normal
from tests.unit.samples import problem_of, sample

ONE_EXACT_STEP = EM(max_iter=1, m_step="exact", **STEPS)
each_m_step = pytest.mark.parametrize("m_step", ["newton", "exact"])


def weights_of(rows):
    return np.random.default_rng(1).gamma(2.0, size=rows.y.size)


def exact_step(rows, weight):
    """Parameters after one step from the truth, and the responsibilities there (n, K)."""
    problem = problem_of(rows.model, rows.X, rows.y, None, weight)
    schema, at = problem.passes.source.schema, problem.passes.source.coordinates
    solution = solve(problem, ONE_EXACT_STEP, rows.model.to_theta(rows.truth, schema, at))
    return rows.model.from_theta(solution.theta, schema, at), rows.model.responsibilities(rows.truth, rows.X, rows.y)


# ------------------------------------------------------------------------------------ against other software
@pytest.mark.parametrize("expert", ["gaussian", "multinomial"])
def test_two_experts_gate_is_a_binomial_regression(expert):
    """On responsibilities as fractions of successes, as statsmodels fits it."""
    rows = sample(2, d=2, expert=expert)
    weight = weights_of(rows)
    new, resp = exact_step(rows, weight)
    features = sm.add_constant(rows.X)
    binomial = sm.GLM(resp[:, 0], features, family=sm.families.Binomial(), freq_weights=weight).fit(tol=1e-14)
    contrast = [new.gate.intercepts[0] - new.gate.intercepts[1], *(new.gate.slopes[0] - new.gate.slopes[1])]
    np.testing.assert_allclose(contrast, binomial.params, rtol=1e-9)


def test_several_experts_gate_maximises_its_part_of_q():
    """SciPy on the same sum over rows; its gradient ends near 1e-6 of 200 rows, the exact step's at 1e-10 a row."""
    rows = sample(3, d=2, seed=2)
    weight = weights_of(rows)
    new, resp = exact_step(rows, weight)
    features = sm.add_constant(rows.X)

    def minus_q(free):
        logits = np.column_stack([features @ free.reshape(2, 3).T, np.zeros(len(features))])
        slope = (weight[:, None] * (resp - special.softmax(logits, axis=1)))[:, :2]
        return -np.sum(weight[:, None] * resp * special.log_softmax(logits, axis=1)), -(slope.T @ features).ravel()

    best = optimize.minimize(minus_q, np.zeros(6), jac=True, method="BFGS", options={"gtol": 1e-9})
    contrasts = np.column_stack([new.gate.intercepts - new.gate.intercepts[-1], new.gate.slopes - new.gate.slopes[-1]])
    np.testing.assert_allclose(contrasts[:2].ravel(), best.x, atol=1e-7)
    assert -minus_q(contrasts[:2].ravel())[0] >= -best.fun - 1e-12 * abs(best.fun)


def test_class_probabilities_are_weighted_logistic_regressions():
    """Each expert's part is a multinomial regression with the responsibilities as weights, as scikit-learn fits it."""
    rows = sample(2, n=400, d=2, seed=4, expert="multinomial")
    weight = weights_of(rows)
    new, resp = exact_step(rows, weight)
    for k in range(2):
        theirs = LogisticRegression(C=np.inf, solver="newton-cg", tol=1e-10, max_iter=1000)
        theirs.fit(rows.X, rows.y, sample_weight=weight * resp[:, k])
        slopes, intercepts = theirs.coef_[1:] - theirs.coef_[0], theirs.intercept_[1:] - theirs.intercept_[0]
        np.testing.assert_allclose(new.expert.slopes[k], slopes, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(new.expert.intercepts[k], intercepts, rtol=1e-5, atol=1e-6)


def test_lines_are_those_of_weighted_least_squares():
    rows = sample(2, d=2)
    weight = weights_of(rows)
    new, resp = exact_step(rows, weight)
    for k in range(2):
        fit = sm.WLS(rows.y, sm.add_constant(rows.X), weights=weight * resp[:, k]).fit()
        np.testing.assert_allclose([new.expert.intercepts[k], *new.expert.slopes[k]], fit.params, rtol=1e-10)
        variance = np.average(fit.resid**2, weights=weight * resp[:, k])
        assert new.expert.variances[k] == pytest.approx(variance, rel=1e-10)


# ------------------------------------------------------------------------------------ what maximal means
@pytest.mark.parametrize("seed", range(10))
def test_an_exact_step_leaves_q_without_gradient(seed):
    """Of gate and experts, projected to what may move, per row."""
    problem = a_problem(seed)
    old = solve(problem, EM(max_iter=5, **STEPS), anywhere(problem, seed, scale=0.2)).theta
    new = solve(problem, ONE_EXACT_STEP, old).theta
    score = np.concatenate([problem.passes.gate_q(old, new).score, problem.passes.expert_q(old, new).score])
    assert problem.gradient_norm(new, score) <= 1e-10
    assert problem.gradient_norm(old, problem.passes.score(old).score) > 1e-5


@pytest.mark.parametrize("seed", range(10))
def test_both_m_steps_end_at_a_stationary_point(seed):
    problem = a_problem(seed)
    start = solve(problem, EM(max_iter=20, **STEPS), anywhere(problem, seed)).theta
    for m_step in ("newton", "exact"):
        solution = solve(problem, EM(m_step=m_step, max_iter=20000, **STEPS | {"gtol": 1e-7}), start)
        assert solution.stop is Stop.GRADIENT


def test_one_expert_has_no_gate_to_learn():
    """A single exact step is ordinary least squares, and the gate's parameters stay where they were."""
    x, y = normal(2, 50, seed=3)
    problem = problem_of(ms.MixtureOfExperts(n_experts=1), x, y)
    start = anywhere(problem)
    solution = solve(problem, EM(m_step="exact", rtol=None), start)
    n, source = problem.passes.terms.n_gate, problem.passes.source
    line = ms.MixtureOfExperts(n_experts=1).from_theta(solution.theta, source.schema, source.coordinates).expert
    slope, intercept = np.polyfit(x, y, 1)
    assert solution.n_iter == 1
    np.testing.assert_allclose([line.intercepts[0], line.slopes[0, 0]], [intercept, slope], rtol=1e-12)
    np.testing.assert_array_equal(solution.theta[:n], start[:n])


def test_one_expert_of_classes_is_a_multinomial_regression():
    rows = sample(2, n=300, d=2, seed=1, expert="multinomial")
    model = ms.MixtureOfExperts(expert="multinomial", n_experts=1)
    problem = problem_of(model, rows.X, rows.y)
    solution = solve(problem, EM(m_step="exact", rtol=None), np.zeros(problem.layout.size))
    theirs = sm.MNLogit(rows.y, sm.add_constant(rows.X)).fit(method="newton", disp=0, tol=1e-14)
    got = model.from_theta(solution.theta, problem.passes.source.schema, problem.passes.source.coordinates).expert
    assert solution.n_iter == 1
    assert solution.stop is Stop.GRADIENT
    np.testing.assert_allclose(got.intercepts[0], theirs.params[0], rtol=1e-7)
    np.testing.assert_allclose(got.slopes[0].T, theirs.params[1:], rtol=1e-7)
    assert solution.loglik == pytest.approx(theirs.llf, rel=1e-12)


@each_m_step
def test_a_gate_that_separates_ends_cleanly(m_step):
    """Two clouds without overlap: Q has no maximiser, so the logits grow until the gradient is gone."""
    x = np.r_[np.linspace(-2, -1, 30), np.linspace(1, 2, 30)]
    y = np.where(x > 0, 5.0, -5.0) + 0.1 * normal(60, seed=1)
    problem = problem_of(ms.MixtureOfExperts(), x, y)
    solution = solve(problem, EM(m_step=m_step, **STEPS | {"gtol": 1e-9}), anywhere(problem, 1))
    assert np.isfinite(solution.theta).all()
    assert np.isfinite(solution.loglik)
    assert solution.stop is Stop.GRADIENT
    assert_never_falls(solution.trace)


def test_an_information_that_knows_nothing_moves_nothing():
    move = newton_move(np.diag([2.0, 0.0, 4.0]), np.array([1.0, 1.0, 1.0]), np.array([True, True, False]))
    np.testing.assert_array_equal(move, [0.5, 0.0, 0.0])


# ------------------------------------------------------------------------------------ the box
def test_what_would_cross_its_bound_stays_and_the_rest_is_solved_again():
    """The first score points inside, but the second's pull sends it out: on the edge, Newton's move is 1 / 1."""
    information, score = np.array([[1.0, 0.9], [0.9, 1.0]]), np.array([0.1, 1.0])
    ends = SimpleNamespace(
        lower=np.zeros(2),
        upper=np.full(2, np.inf),
        free=np.full(2, True),
        movable=lambda theta, s: np.full(2, True),
        invariances=lambda theta, movable: np.zeros((0, 2)),
    )
    np.testing.assert_array_equal(_move_inside(ends, np.array([0.0, 3.0]), score, information, slice(0, 2)), [0.0, 1.0])
    free = _move_inside(ends, np.array([9.0, 9.0]), score, information, slice(0, 2))
    np.testing.assert_allclose(free, np.linalg.solve(information, score))


def boxed(problem, **ends):
    """The problem with ends of some entries: ``index=(lower, upper)`` by position."""
    lower, upper = problem.lower.copy(), problem.upper.copy()
    for index, (low, high) in ends.items():
        lower[int(index[1:])], upper[int(index[1:])] = low, high
    return replace(problem, lower=np.maximum(lower, problem.lower), upper=upper)


def named(problem, path):
    return problem.layout.index(path)


@pytest.fixture
def crossing():
    """Correlated covariates, so that a bound on one slope moves all others of its line."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((300, 2)) @ np.array([[1.0, 0.9], [0.0, 0.5]])
    right = rng.random(300) < special.expit(1.5 * X[:, 0])
    y = np.where(right, 1 + X @ [1.0, 0.7], -1 + X @ [-1.0, 0.5]) + 0.4 * rng.standard_normal(300)
    problem = problem_of(ms.MixtureOfExperts(), X, y)
    return problem, solve(problem, EM(**STEPS | {"gtol": 1e-9}), anywhere(problem, 2)).theta


def constrained_peak(problem, start):
    """SciPy's maximum inside the box, along the score."""
    bounds = list(zip(problem.lower, problem.upper, strict=True))
    found = optimize.minimize(
        lambda t: -problem.passes.loglik(t),
        start,
        jac=lambda t: -problem.passes.score(t).score,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-7},
    )
    return -found.fun


BOXES = {
    "upper end of a slope": ("expert.slopes", lambda v: (-np.inf, v - 0.3)),
    "lower end of a slope": ("expert.slopes", lambda v: (v + 0.3, np.inf)),
    "narrow box of an intercept": ("expert.intercepts", lambda v: (v + 0.2, v + 0.25)),
    "upper end of a variance": ("expert.variances", lambda v: (-np.inf, v - 0.5)),
    "lower end of a variance": ("expert.variances", lambda v: (v + 0.5, np.inf)),
    "upper end of a gate slope": ("gate.slopes", lambda v: (-np.inf, v - 0.5)),
    "box that nothing meets": ("expert.slopes", lambda v: (v - 5.0, v + 5.0)),
}


@each_m_step
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_em_climbs_to_the_maximum_of_the_box(crossing, box, m_step):
    problem, peak = crossing
    path, ends = box
    index = int(named(problem, path).ravel()[0])
    inside = boxed(problem, **{f"i{index}": ends(peak[index])})
    solution = solve(inside, EM(m_step=m_step, max_iter=20000, **STEPS | {"gtol": 1e-8}), peak + 0.1)
    assert solution.stop is Stop.GRADIENT
    np.testing.assert_array_equal(inside.admit(solution.theta), solution.theta)
    assert_never_falls(solution.trace)
    highest = constrained_peak(inside, inside.admit(peak + 0.1))
    assert solution.loglik >= highest - 1e-9 * abs(highest)
    # two maxima in the box would be two answers: here there is one
    assert solution.loglik == pytest.approx(highest, abs=1e-5)


@each_m_step
@pytest.mark.parametrize("seed", range(8))
def test_any_box_is_climbed_in(crossing, seed, m_step):
    """Boxes around the peak that cut through many entries at once: monotone, inside, and never stalled."""
    problem, peak = crossing
    rng = np.random.default_rng(seed)
    centre, width = peak + 0.3 * rng.standard_normal(peak.size), rng.uniform(0.05, 0.6, peak.size)
    inside = replace(problem, lower=np.maximum(centre - width, problem.lower), upper=centre + width)
    solution = solve(inside, EM(m_step=m_step, max_iter=20000, **STEPS | {"gtol": 1e-7}), centre)
    assert solution.stop is Stop.GRADIENT
    np.testing.assert_array_equal(inside.admit(solution.theta), solution.theta)
    assert_never_falls(solution.trace)


@each_m_step
def test_a_bounded_variance_leaves_the_lines_in_closed_form(crossing, m_step):
    """One step: least squares, and variances cut at their ends."""
    problem, _ = crossing
    index = named(problem, "expert.variances")
    old = anywhere(problem, 3)
    old[index] = -3.0  # far below what the next step makes of these lines
    free = solve(problem, EM(max_iter=1, m_step=m_step, **STEPS), old).theta
    upper = problem.upper.copy()
    upper[index[0]] = free[index[0]] - 0.4
    cut = solve(replace(problem, upper=upper), EM(max_iter=1, m_step=m_step, **STEPS), old).theta
    lines = np.r_[named(problem, "expert.slopes").ravel(), named(problem, "expert.intercepts")]
    np.testing.assert_array_equal(cut[index], [upper[index[0]], free[index[1]]])
    np.testing.assert_array_equal(cut[lines], free[lines])


@pytest.mark.parametrize("expert", [Gaussian(), Gaussian(variance="common")], ids=["own", "common"])
def test_held_variances_leave_the_lines_in_closed_form(expert):
    """One step is least squares, to all digits, as if the variances were free."""
    rows = sample(2, d=2)
    field = "expert.variances" if expert.variance == "own" else "expert.variance"
    model = ms.MixtureOfExperts(expert=expert, fixed={field: 0.3})
    problem = problem_of(model, rows.X, rows.y)
    schema, at = problem.passes.source.schema, problem.passes.source.coordinates
    start = anywhere(problem, 4)
    old = model.from_theta(start, schema, at)
    resp = samples.gate_weights(old.gate, rows.X) * samples.expert_density(old.expert, rows.X, rows.y)
    resp /= resp.sum(axis=1, keepdims=True)
    new = model.from_theta(solve(problem, EM(max_iter=1, **STEPS), start).theta, schema, at).expert
    for k in range(2):
        fit = sm.WLS(rows.y, sm.add_constant(rows.X), weights=resp[:, k]).fit()
        np.testing.assert_allclose([new.intercepts[k], *new.slopes[k]], fit.params, rtol=1e-10)
    np.testing.assert_allclose(np.ravel(getattr(new, field[7:])), 0.3, rtol=1e-15)


@each_m_step
def test_held_slopes_are_kept_and_the_rest_maximised(m_step):
    rows = sample(2, d=2)
    model = ms.MixtureOfExperts(fixed={"expert.slopes": rows.truth.expert.slopes})
    problem = problem_of(model, rows.X, rows.y)
    source = problem.passes.source
    truth = rows.model.to_theta(rows.truth, source.schema, source.coordinates)
    solution = solve(problem, EM(m_step=m_step, **STEPS | {"gtol": 1e-9}), truth)
    assert solution.stop is Stop.GRADIENT
    expert = model.from_theta(solution.theta, source.schema, source.coordinates).expert
    np.testing.assert_allclose(expert.slopes, rows.truth.expert.slopes, rtol=1e-12)
