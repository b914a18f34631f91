"""Ascents on a sample of the rows first: most of the way to a maximum asks little of its data.

At a strict maximum of the sample a few steps of Newton are left to that of all rows, and the sample's Hessian, scaled
by the share of the weight, is good for the first of them. What a sample leads to that is no such point is not followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from moestat.data import Data
from moestat.solvers.default import NEWTON, EMThenNewton
from moestat.solvers.em import EMState
from moestat.solvers.loop import Solution, Stop, solve
from moestat.solvers.newton import NewtonState, QuadraticModel
from moestat.solvers.problem import Problem
from moestat.typing import FloatArray

#: The share of the rows that a single ascent begins on.
SHARE = 0.1

#: Gradient per row that counts as zero.
GRADIENT = 1e-8

#: At a maximum of the sample every expert has rows there, more than so many for each of its parameters: on fewer the
#: maximum may be a spike.
FEW = 3


def thinned(problem: Problem, n_rows: int) -> Problem | None:
    """The same problem on a sample of so many rows.

    None where that is no use: where rows are not in memory, where weights jump, or where there is no EM.
    """
    passes = problem.passes
    if not (isinstance(passes.source, Data) and passes.has_em and passes.terms.gate.continuous):
        return None
    return replace(problem, passes=replace(passes, source=passes.source.thinned(n_rows)))


def from_sample(problem: Problem, few: Problem, end: Solution) -> NewtonState | None:
    """Newton's state on all rows at a strict maximum of a sample; None where a solution on the sample is no such point.

    Parameters
    ----------
    problem, few : Problem
        All rows, and a sample of them.
    end : Solution
        What a solver found on the sample.
    """
    if end.second_order is None or not _is_sound(few, end, end.second_order.hessian):
        return None
    sums = problem.passes.score(end.theta)
    hessian = end.second_order.hessian * (problem.total_weight / few.total_weight)
    model = QuadraticModel.of(problem, end.theta, sums.score, hessian)
    return replace(NEWTON.at(problem, end.theta, sums), method="sample", model=model)


def _is_sound(problem: Problem, end: Solution, hessian: FloatArray) -> bool:
    """Whether a solution is a strict maximum, maybe on the user's bounds, at which no expert rests on few rows."""
    model, terms = QuadraticModel.of(problem, end.theta, end.score, hessian), problem.passes.terms
    if end.gradient > GRADIENT or not model.strict:
        return False
    if (problem.near_limit(end.theta) | problem.on_floor(end.theta) & ~model.movable).any():
        return False
    few = FEW * terms.expert_columns.shape[1] * problem.weight_of_a_row
    return bool(problem.passes.shares(end.theta).mass.min() > few)


@dataclass(frozen=True)
class SampleFirst:
    """EM and Newton's method, the way walked on a sample of the rows where that is short.

    From a strict maximum of the sample that is higher than the start on all rows, Newton's steps go on, with its
    Hessian; otherwise everything begins at the start, on all rows. States are those on all rows: the whole way on the
    sample is one step.

    Parameters
    ----------
    on_all : EMThenNewton
        The solver on all rows.
    on_few : EMThenNewton
        The solver on the sample, whose limit says which way is short.
    """

    on_all: EMThenNewton = field(default_factory=EMThenNewton)
    on_few: EMThenNewton = field(default_factory=lambda: EMThenNewton(newton=replace(NEWTON, max_iter=10)))

    def init(self, problem: Problem, theta: FloatArray) -> EMState | NewtonState:
        """EM's first state, on all rows."""
        return self.on_all.init(problem, theta)

    def step(self, problem: Problem, state: EMState | NewtonState) -> EMState | NewtonState:
        """First the way on the sample, if it leads anywhere, then steps on all rows."""
        if state.iteration == 0 and isinstance(state, EMState):
            return self._sampled(problem, state) or self.on_all.step(problem, state)
        return self.on_all.step(problem, state)

    def _sampled(self, problem: Problem, state: EMState) -> NewtonState | None:
        few = thinned(problem, round(SHARE * problem.passes.source.n_rows))
        found = None if few is None else from_sample(problem, few, solve(few, self.on_few, state.theta))
        if found is None or not found.loglik >= state.loglik:
            return None
        move = float(np.abs(found.theta - state.theta).max(initial=0.0))
        return replace(found, iteration=1, gain=found.loglik - state.loglik, move=move)

    def finished(self, state: EMState | NewtonState) -> Stop | None:
        """As on all rows."""
        return self.on_all.finished(state)
