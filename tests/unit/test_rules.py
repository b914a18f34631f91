"""Stopping rules: every solver that has them stops where they say, and not before."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from moestat.errors import InputError
from moestat.solvers import EM, SQUAREM, ClassificationEM, Rules, State, Stop, TrustRegionNewton, solve
from tests.unit.ascents import STEPS, anywhere
from tests.unit.samples import sample

SOLVERS = [EM, ClassificationEM, SQUAREM]
each_solver = pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: s.__name__)
with_newton = pytest.mark.parametrize("solver", [*SOLVERS, TrustRegionNewton], ids=lambda s: s.__name__)


@cache
def ascent(solver, **rules):
    """A solver on one problem by some rules, and the points it went through."""
    problem = sample(2).problem
    points = [anywhere(problem)]
    solution = solve(problem, solver(**STEPS | rules), points[0], callback=lambda state: points.append(state.theta))
    return solution, points


def first_of(small):
    """Whether the last of these, and no other, is true."""
    return len(small) > 1 and small == [False] * (len(small) - 1) + [True]


def gains(solution):
    return [(b.climbed - a.climbed, abs(b.climbed)) for a, b in pairwise(solution.trace)]


@with_newton
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_stops_at_a_small_relative_gain(solver, offset):
    solution, _ = ascent(solver, rtol=1e-4, rtol_offset=offset)
    assert solution.stop is Stop.LOGLIK
    assert solution.converged
    assert first_of([gain <= 1e-4 * (size + offset) for gain, size in gains(solution)])


@with_newton
def test_stops_at_a_small_gain(solver):
    solution, _ = ascent(solver, atol=1e-3)
    assert solution.stop is Stop.LOGLIK
    assert first_of([gain <= 1e-3 for gain, _ in gains(solution)])


@with_newton
def test_stops_at_a_small_move(solver):
    solution, points = ascent(solver, xtol=1e-2)
    assert solution.stop is Stop.PARAMETERS
    assert first_of([np.abs(b - a).max() <= 1e-2 for a, b in pairwise(points)])


@each_solver
def test_stops_at_a_small_gradient(solver):
    solution, _ = ascent(solver, gtol=1e-3)
    assert solution.stop is Stop.GRADIENT
    assert first_of([row.gradient <= 1e-3 for row in solution.trace])
    assert solution.gradient == solution.trace[-1].gradient


@each_solver
@pytest.mark.parametrize("max_iter", [0, 1, 200])
def test_with_every_rule_off_it_runs_to_its_limit(solver, max_iter):
    """Also long after nothing changes any more: 200 steps are many more than this problem needs."""
    solution, points = ascent(solver, max_iter=max_iter)
    assert solution.stop is Stop.LIMIT
    assert solution.n_iter == max_iter == len(points) - 1
    assert not solution.converged


# ------------------------------------------------------------------------------------ the rules alone
def a_state(**values):
    """A state where no rule of ones holds, but for what is asked."""
    rest = {"gradient": 5.0, "iteration": 5, "gain": 5.0, "move": 5.0, "loglik": -2.0, "method": "", "score": 0}
    return State(**{"theta": np.zeros(1)} | rest | values)


RULES = Rules(max_iter=9, rtol=1.0, atol=1.0, xtol=1.0, gtol=1.0)


@pytest.mark.parametrize(
    ("values", "stop"),
    [
        ({}, None),
        ({"gradient": 1.0}, Stop.GRADIENT),
        ({"gain": 2.0}, Stop.LOGLIK),  # relative
        ({"gain": 1.0, "loglik": -0.5}, Stop.LOGLIK),  # absolute
        ({"gain": 4.0, "objective": -4.0}, Stop.LOGLIK),  # relative to what is climbed
        ({"gain": 2.0, "objective": -1.0}, None),
        ({"move": 1.0}, Stop.PARAMETERS),
        ({"iteration": 9}, Stop.LIMIT),
        ({"gradient": 0.0, "gain": 0.0, "move": 0.0, "iteration": 9}, Stop.GRADIENT),
        ({"gain": 0.0, "move": 0.0, "iteration": 9}, Stop.LOGLIK),
        ({"move": 0.0, "iteration": 9}, Stop.PARAMETERS),
        ({"gradient": np.nan, "gain": np.nan, "move": np.nan}, None),
    ],
)
def test_the_first_rule_that_holds_is_the_reason(values, stop):
    assert RULES.stop(a_state(**values)) is stop


def test_a_solver_that_is_stuck_says_so_unless_the_gradient_is_small():
    assert RULES.stop(a_state(), Stop.STALLED) is Stop.STALLED
    assert RULES.stop(a_state(gain=0.0, iteration=9), Stop.STALLED) is Stop.STALLED
    assert RULES.stop(a_state(gradient=0.5), Stop.STALLED) is Stop.GRADIENT


def test_at_the_start_nothing_has_been_gained_yet():
    """Gain and move count as infinite before the first step."""
    start = State(np.zeros(1), -2.0, np.zeros(1), 5.0, 0, "")
    assert RULES.stop(start) is None


def test_rules_that_are_off_never_hold():
    still = a_state(gradient=0.0, gain=-1.0, move=0.0, iteration=5)
    assert Rules(max_iter=9, **STEPS).stop(still) is None


@with_newton
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *[
            ({"max_iter": bad}, f"max_iter must be a whole number of at least 0; got {bad!r}")
            for bad in (-1, 2.0, True)
        ],
        *[({name: -1e-3}, rf"{name} must be a number of at least 0, or None; got -0\.001") for name in STEPS],
        *[({name: bad}, f"{name} must be .* got {bad!r}. None switches") for name in STEPS for bad in (np.nan, "x")],
        ({"rtol_offset": -1.0}, r"rtol_offset must be a number of at least 0; got -1\.0"),
        ({"rtol_offset": None}, "rtol_offset must be a number of at least 0; got None"),
    ],
)
def test_settings_that_are_refused(solver, settings, message):
    with pytest.raises(InputError, match=message):
        solver(**settings)


@pytest.mark.parametrize("solver", [EM, ClassificationEM])
@pytest.mark.parametrize("bad", ["Newton", None, ["newton"]])
def test_an_unknown_m_step_is_refused(solver, bad):
    with pytest.raises(InputError, match=r"m_step must be 'newton' .* or 'exact' .*; got") as error:
        solver(m_step=bad)
    assert repr(bad) in str(error.value)


def test_squarem_extrapolates_em_alone():
    with pytest.raises(InputError, match=r"em must be a solver EM\(\.\.\.\), .*; got 'em'"):
        SQUAREM(em="em")


def test_numpy_numbers_are_numbers():
    assert EM(max_iter=np.int64(3), rtol=np.float32(0.5)).max_iter == 3
