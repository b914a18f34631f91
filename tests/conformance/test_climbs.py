"""Every solver of the EM kind, with every gate and every expert: monotone, finite, and up to a stationary point."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import moestat as ms
from moestat.solvers import EM, SQUAREM, ClassificationEM, Problem, Solver, solve
from tests.conformance.problems import ALL_EXPERTS, ALL_GATES, EACH_EXPERT, EACH_GATE, build, n_experts

STEPS = {"rtol": None, "gtol": None}
SOLVERS = {
    "em": EM(max_iter=25, **STEPS),
    "em exact": EM(max_iter=6, m_step="exact", **STEPS),
    "cem": ClassificationEM(max_iter=25, **STEPS),
    "cem exact": ClassificationEM(max_iter=6, m_step="exact", **STEPS),
    "squarem": SQUAREM(max_iter=8, **STEPS),
}

#: weights that jump when an expert is switched off: an M-step may end at the edge, short of a zero gradient
JUMPS = [name for name in ALL_GATES if "topk" in name or "threshold" in name]

#: the same rows are described ever better by a lower temperature and closer centres: Q has no maximiser
RUNS_AWAY = ["temperature(laplace)", "temperature(hierarchical)"]

#: a tanh that becomes a step, a bend at a kink: Q need not have a maximiser where its gradient is zero
BENT = [f"gaussian({form})" for form in ("tanh", "sigmoid", "gelu", "relu")]

#: Q is largest where a row lies on the kink of an activation (to 2e-10; the next one is 1e-2 away)
KINKED = ["temperature(norga(relu))"]

#: Q is largest where a row's weight of an expert is about to leave zero, with a slope that jumps there (alpha >= 2)
AT_AN_EDGE = ["entmax", "entmax(2.25)", "hierarchical(softmax, (entmax, sparsemax))"]

pair = pytest.mark.parametrize(("gate", "expert"), [*EACH_GATE, *EACH_EXPERT[1:]], ids=lambda name: name)


def problem_of(gate: str, expert: str) -> tuple[Problem, np.ndarray]:
    """The fit of a conformance problem's rows, and its parameters in raw coordinates, carried into working ones."""
    drawn = build(gate, expert)
    family = ALL_EXPERTS[expert](n_experts(ALL_GATES[gate]))
    model = ms.MixtureOfExperts(gate=ALL_GATES[gate], expert=family, n_experts=n_experts(ALL_GATES[gate]))
    problem = Problem.of(model, model.prepare(drawn.rows.data()))
    return problem, problem.admit(drawn.theta)


@pair
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_it_climbs(gate: str, expert: str, solver: Solver) -> None:
    problem, theta = problem_of(gate, expert)
    solution = solve(problem, solver, theta)
    climbed = np.array([row.climbed for row in solution.trace])
    assert np.isfinite(climbed).all()
    assert np.isfinite(solution.theta).all()
    assert max(a - b for a, b in pairwise(climbed)) <= 1e-12 * abs(climbed[-1])
    assert climbed[-1] > climbed[0]


@pair
def test_an_exact_step_leaves_q_without_gradient(gate: str, expert: str) -> None:
    problem, theta = problem_of(gate, expert)
    new = solve(problem, EM(max_iter=1, m_step="exact", **STEPS), theta).theta
    q = problem.passes.gate_q(theta, new), problem.passes.expert_q(theta, new)
    score = np.concatenate([part.score for part in q])
    n = problem.passes.terms.n_gate
    if gate in JUMPS + RUNS_AWAY + KINKED + AT_AN_EDGE:
        score[:n] = 0.0
    if expert in BENT:
        score[n:] = 0.0
    assert problem.gradient_norm(new, score) <= 2e-10
    before = problem.passes.gate_q(theta, theta).value
    # with one active expert the gate's part of Q is zero whatever its parameters
    assert q[0].value > before or not n or q[0].value == before == 0.0 == np.abs(score[:n]).max()
