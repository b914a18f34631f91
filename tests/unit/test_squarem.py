"""SQUAREM: the formula, the safeguard, and what it is for."""

from __future__ import annotations

import numpy as np
import pytest

import moestat as ms
from moestat.passes import Passes
from moestat.solvers import EM, SQUAREM, Stop, solve, squarem
from tests.unit.ascents import STEPS, a_problem, anywhere, assert_never_falls
from tests.unit.samples import problem_of, sample


@pytest.fixture
def passes_made(monkeypatch):
    """Number of EM passes over the data, as a list of one entry per pass."""
    made = []
    em = Passes.em
    monkeypatch.setattr(Passes, "em", lambda self, theta: made.append(1) or em(self, theta))
    return made


def em_steps(problem, theta, steps):
    """Points of plain EM."""
    points = [theta]
    solve(problem, EM(max_iter=steps, **STEPS), theta, callback=lambda state: points.append(state.theta))
    return points


def overspecified():
    """Three experts for rows of two: EM creeps."""
    rows = sample(2, n=400, seed=6)
    problem = problem_of(ms.MixtureOfExperts(n_experts=3), rows.X, rows.y)
    return problem, em_steps(problem, anywhere(problem, 1), 100)[-1]


def test_a_step_is_the_formula_of_varadhan_and_roland():
    problem, start = overspecified()
    zero, one, two = em_steps(problem, start, 2)
    r, v = one - zero, two - 2 * one + zero
    alpha = -np.linalg.norm(r) / np.linalg.norm(v)
    assert alpha < -1
    (_, want) = em_steps(problem, problem.admit(zero - 2 * alpha * r + alpha**2 * v), 1)
    solution = solve(problem, SQUAREM(max_iter=1, **STEPS), start)
    np.testing.assert_allclose(solution.theta, want, rtol=1e-9, atol=1e-12)
    assert solution.loglik > problem.passes.loglik(two)


def test_it_takes_fewer_passes_to_the_same_maximum(passes_made):
    problem, start = overspecified()
    passes_made.clear()
    rules = STEPS | {"gtol": 1e-7, "max_iter": 100_000}
    ends, passes = [], []
    for solver in (EM(**rules), SQUAREM(**rules)):
        passes_made.clear()
        ends.append(solve(problem, solver, start))
        passes.append(len(passes_made))
    assert [end.stop for end in ends] == [Stop.GRADIENT] * 2
    assert ends[1].loglik == pytest.approx(ends[0].loglik, abs=1e-6)
    assert passes[1] < 0.5 * passes[0]


def test_a_step_makes_four_passes(passes_made):
    problem, start = overspecified()
    passes_made.clear()
    solve(problem, SQUAREM(max_iter=1, **STEPS), start)
    assert len(passes_made) == 1 + 4


def test_without_extrapolation_a_step_is_three_of_em(monkeypatch, passes_made):
    problem, start = overspecified()
    monkeypatch.setattr(squarem, "_extrapolated", lambda *points: None)
    passes_made.clear()
    solution = solve(problem, SQUAREM(max_iter=1, **STEPS), start)
    assert len(passes_made) == 1 + 3
    np.testing.assert_array_equal(solution.theta, em_steps(problem, start, 3)[-1])


@pytest.mark.parametrize("far", [1e3, 1e300, np.inf, np.nan], ids=str)
def test_a_bad_extrapolation_leaves_the_second_step(monkeypatch, far):
    problem, start = overspecified()
    monkeypatch.setattr(squarem, "_extrapolated", lambda start, first, second: np.full_like(start, far))
    solution = solve(problem, SQUAREM(max_iter=1, **STEPS), start)
    np.testing.assert_array_equal(solution.theta, em_steps(problem, start, 2)[-1])
    assert solution.loglik == solution.trace[-1].loglik


@pytest.mark.parametrize(
    ("points", "extrapolates"),
    [
        ([0.0, 1.0, 1.9], True),
        ([0.0, 1.0, 2.0], False),  # a straight line: no curvature to tell how far
        ([0.0, 1.0, 0.5], False),  # the steps turn back
        ([0.0, 0.0, 0.0], False),
    ],
)
def test_steps_that_do_not_slow_down_are_not_extrapolated(points, extrapolates):
    found = squarem._extrapolated(*np.array(points)[:, None])
    assert (found is not None) == extrapolates
    if extrapolates:  # a geometric sequence has its limit
        np.testing.assert_allclose(found, 1 / (1 - 0.9))


@pytest.mark.parametrize("seed", [4, 9, 14])
def test_what_is_held_stays_and_the_floor_is_kept(seed):
    problem = a_problem(seed)
    assert not problem.free.all()
    solution = solve(problem, SQUAREM(max_iter=20, **STEPS), anywhere(problem, seed))
    np.testing.assert_array_equal(problem.admit(solution.theta), solution.theta)


def test_a_degenerate_start_ends_on_the_floor():
    """Extrapolation towards a spike is cut at the variance floor."""
    x = np.r_[np.linspace(0, 1, 30), np.full(10, 0.5)]
    y = np.r_[np.random.default_rng(2).standard_normal(30), np.full(10, 5.0)]
    problem = problem_of(ms.MixtureOfExperts(), x, y)
    solution = solve(problem, SQUAREM(), anywhere(problem, 3))
    assert (solution.theta >= problem.lower).all()
    assert np.isfinite(solution.loglik)
    assert_never_falls(solution.trace)


@pytest.mark.parametrize("expert", ["gaussian", "multinomial"])
def test_one_expert(expert):
    rows = sample(2, n=100, expert=expert)
    problem = problem_of(ms.MixtureOfExperts(expert=expert, n_experts=1), rows.X, rows.y)
    fast, slow = (solve(problem, solver(rtol=None), anywhere(problem)) for solver in (SQUAREM, EM))
    assert fast.stop is slow.stop is Stop.GRADIENT
    assert fast.loglik == pytest.approx(slow.loglik, rel=1e-12)


def test_rows_of_the_trace_bear_its_name():
    problem = sample(2).problem
    solution = solve(problem, SQUAREM(em=EM(m_step="exact")), anywhere(problem))
    assert {row.method for row in solution.trace} == {"squarem"}
    assert solution.n_iter == len(solution.trace) - 1
    assert solution.converged
